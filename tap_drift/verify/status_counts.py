"""Status counts: the numbers of conversations by status, as Drift counts and as it lists them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.mapper import SameRecordTransform

from tap_drift.exceptions import RequestRefusedError
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.stats import ConversationStatsStream, selected_counts
from tap_drift.sync.new_rows import MAX_PAGES_WITHOUT_NEW_ROWS, NewRowsCheck
from tap_drift.sync.shards import Shard

if TYPE_CHECKING:
    from tap_drift.tap import TapDrift

logger = logging.getLogger("drift-verify")


class StatusCounts(NamedTuple):
    """Conversations by status: as Drift's stats count them and as its listing returns them."""

    counted_before: dict[str, int]
    """Drift's stats before the listing was read."""

    counted_after: dict[str, int]
    """Drift's stats after the listing was read."""

    listed: dict[str, int]

    updated: int
    """Number of conversations updated in the meantime."""

    def mismatches(self) -> list[str]:
        """List the statuses whose counts differ by more than `updated` explains.

        A conversation that is updated in the meantime may be in either count, or in both.
        """
        return [status for status in self.counted_before if not self._matches(status)]

    def _matches(self, status: str) -> bool:
        low, high = sorted((self.counted_before[status], self.counted_after.get(status, 0)))
        return low - self.updated <= self.listed.get(status, 0) <= high + self.updated


class StatusCounter:
    """Requests Drift's counts, and counts the conversations that were updated in the meantime."""

    def __init__(self, tap: TapDrift) -> None:
        """Create a counter; it sends no request yet."""
        self._tap = tap

    @property
    def _is_mapped(self) -> bool:
        """Whether a stream map can exclude conversations."""
        maps = self._tap.streams[ConversationsStream.name].stream_maps
        return any(not isinstance(each, SameRecordTransform) for each in maps)

    def fetch(self) -> dict[str, int]:
        """Fetch Drift's counts by status; empty if not comparable with the listing."""
        if (
            "start_date" in self._tap.config
            or not Shard.from_config(self._tap.config).is_whole_account
            or self._is_mapped
        ):
            return {}
        stats = ConversationStatsStream(self._tap, self._tap.client)
        try:
            records = list(stats.get_records(None))
        except RequestRefusedError:
            return {}  # a refused token makes the listing fail as well, which is reported
        except FatalSyncError as error:
            logger.warning("Could not read Drift's conversation counts: %s", error)
            return {}
        return selected_counts(records, self._tap.config)

    def updated_since(self, since: str) -> int:
        """Count the conversations updated since a time; the listing has the newest first."""
        updated: set[int] = set()
        stream = ConversationsStream(self._tap, self._tap.client)
        new_rows = NewRowsCheck(stream.path, MAX_PAGES_WITHOUT_NEW_ROWS)
        for page in stream.pages():
            records = stream.to_records(page.rows)
            new_rows.add_page(str(record["id"]) for record in records)
            found = {record["id"] for record in records if record["updatedAt"] >= since}
            updated |= found
            if len(found) < len(records):
                break
        return len(updated)
