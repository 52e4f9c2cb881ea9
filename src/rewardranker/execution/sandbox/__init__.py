"""What runs inside a slot: the isolation, the fork server and the forked child. Standard library only."""
