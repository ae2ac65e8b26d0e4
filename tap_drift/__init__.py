"""Singer tap for Drift: extracts an account's conversations, completely and incrementally."""
