"""Studies of what the paper leaves open: one file a question, over the engine of `study.py`."""
