"""Failed items: what the other streams lack, as a stream of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_drift.streams.full_table import FullTableStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record


class FailedItemsStream(FullTableStream):
    """Conversations and contacts that could not be read, and those that were read after all.

    It sends no request: the items are in the state. The tap syncs it last.
    """

    name = "failed_items"
    path = ""
    primary_keys = ("stream", "id")
    scope = ""

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        if not self.shard.is_whole_account:
            self._stream_version = None  # targets must not delete the rows of other shards
        return self._drift_tap.failed_item_records()
