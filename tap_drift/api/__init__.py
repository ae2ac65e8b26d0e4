"""Drift over HTTP: one request, its retries, its rate limit, and its parsed response."""
