"""The generated account: the same objects for the same seed."""
