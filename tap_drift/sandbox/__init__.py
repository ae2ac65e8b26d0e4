"""A Drift to try the tap on: a server on loopback with an account made from a seed."""
