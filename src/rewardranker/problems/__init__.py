"""What is to be solved, what was proposed, what was preferred; where problems come from."""
