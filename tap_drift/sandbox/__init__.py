"""A local Drift for trying and testing the tap: an HTTP server with a generated account."""
