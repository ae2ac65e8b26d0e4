"""Conversation statistics, as counted by Drift."""

from __future__ import annotations

from tap_drift.api.responses import parse_counts
from tap_drift.streams.full_table import FullTableStream


class ConversationStatsStream(FullTableStream):
    """Number of conversations with each status: `GET /conversations/stats`."""

    name = "conversation_stats"
    path = "/conversations/stats"
    primary_keys = ("status",)
    scope = "conversation_read"
    parse = staticmethod(parse_counts)
