"""The streams, a module a family."""

from tap_drift.streams.conversations import ConversationsStream

__all__ = ["ConversationsStream"]
