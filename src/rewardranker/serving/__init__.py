"""`rewardranker serve`: ranking and best-of-N over HTTP, with the interfaces that clients know."""
