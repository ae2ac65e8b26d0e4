"""What Drift counts by itself."""

from __future__ import annotations

from tap_drift.api.responses import parse_counts
from tap_drift.streams.base import FullTableStream


class ConversationStatsStream(FullTableStream):
    """How many conversations have each status: `GET /conversations/stats`."""

    name = "conversation_stats"
    path = "/conversations/stats"
    primary_keys = ("status",)
    scope = "conversation_read"
    read = staticmethod(parse_counts)
