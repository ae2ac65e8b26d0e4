"""Conversation statistics, as counted by Drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_drift.api.responses import parse_counts
from tap_drift.streams.full_table import FullTableStream

if TYPE_CHECKING:
    from singer_sdk import Tap

    from tap_drift.api.client import DriftClient

_SECONDS_FOR_PROGRESS = 5
"""Seconds to wait for counts that the log can do without."""


class ConversationStatsStream(FullTableStream):
    """Number of conversations with each status: `GET /conversations/stats`."""

    name = "conversation_stats"
    path = "/conversations/stats"
    primary_keys = ("status",)
    scope = "conversation_read"
    parse = staticmethod(parse_counts)


class _ProgressCounts(ConversationStatsStream):
    @property
    @override
    def timeout(self) -> int:
        return min(_SECONDS_FOR_PROGRESS, super().timeout)


def fetch_counts(tap: Tap, client: DriftClient) -> dict[str, int]:
    """Request the number of conversations with each status, in lower case: once, without retries.

    Raises:
        Exception: If the request fails for any reason.
    """
    page = _ProgressCounts(tap, client).fetch_page(None, retry=False)
    return {row["status"].lower(): row["conversationCount"] for row in page.rows}
