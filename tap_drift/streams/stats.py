"""Conversation statistics, as counted by Drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_drift.api.responses import parse_counts
from tap_drift.streams.full_table import FullTableStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk import Tap

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row

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
    """Request the numbers of conversations that the settings select: once, without retries.

    Raises:
        Exception: If the request fails for any reason.
    """
    page = _ProgressCounts(tap, client).fetch_page(None, retry=False)
    return selected_counts(page.rows, tap.config)


def selected_counts(rows: Iterable[Row], config: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of conversations of each status in `statuses`, or of all, in lower case."""
    counts = {row["status"].lower(): row["conversationCount"] for row in rows}
    wanted = config.get("statuses") or counts
    return {status: count for status, count in counts.items() if status in wanted}
