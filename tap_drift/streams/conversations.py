"""The listing of conversations, and the state of all streams that follow it."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.mapper import CustomStreamMap, PluginMapper, RemoveRecordTransform
from typing_extensions import override

from tap_drift.api.responses import parse_listing
from tap_drift.logs import counted
from tap_drift.settings import STATUS_IDS
from tap_drift.streams.base import DriftStream
from tap_drift.streams.listing import ListingReader
from tap_drift.streams.stats import fetch_counts
from tap_drift.sync.checkpoints import (
    UPDATED_AT,
    discard_progress_of_other_rows,
    discard_resume_point,
    read_bookmark,
    write_checkpoint,
)
from tap_drift.sync.estimate import ListingEstimate
from tap_drift.sync.plan import WalkPlanner
from tap_drift.sync.progress import Progress
from tap_drift.sync.shared_walk import SharedWalk
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record

    from tap_drift.api.responses import Row
    from tap_drift.streams.listing import PageBatch
    from tap_drift.streams.per_conversation import PerConversationStream
    from tap_drift.sync.checkpoints import Checkpoint

LISTING_HOST = "https://api.drift.com"
"""Host of the listing of conversations (Drift's documentation)."""

_OTHER_ROWS = (
    "%s: an earlier version of the tap shared the contacts out among the shards by conversation. "
    "This run reads all contacts of the shard again."
)

PAGES_PER_STATE = 10
"""Pages between two STATE messages; with children, each page has one."""


class ConversationsStream(DriftStream):
    """Conversations, most recently updated first: `GET /conversations/list`."""

    name = "conversations"
    path = "/conversations/list"
    primary_keys = ("id",)
    replication_key = UPDATED_AT
    host = LISTING_HOST
    scope = "conversation_read"
    selected_by_default = True
    parse = staticmethod(parse_listing)

    _active: dict[str, DriftStream]
    """The streams that this run reads: the selected children, and itself if it is selected."""
    _finished: set[str]
    """Names of the active streams whose walk is complete."""

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, Any]:
        if next_page_token:
            return {}
        return {
            "limit": self.config["page_size"],
            "page_token": "",
            "statusId": [STATUS_IDS[status] for status in self.config.get("statuses", [])],
        }

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the listing down to the bookmarks, or to its end.

        After each record, the records of its children are written; after each page, the state.
        """
        self._active = {each.name: each for each in (self, *self._children) if each.selected}
        self._finished = set()
        noun = self.name if self.selected else f"unselected {self.name}"
        walk = self._start_walk()
        counts = partial(fetch_counts, self._tap, self.client)
        estimate = ListingEstimate(counts) if self._can_estimate(walk) else None
        progress = Progress(self.logger, noun, estimate)
        reader = ListingReader(self, walk, self._active, self._children, self._new_filter())
        with reader.open() as batches:
            for batch in batches:
                self._read_at = batch.read_at
                yield from self._with_children(batch.records)
                for child, item in batch.items:
                    child.write(item)
                if estimate:
                    estimate.add(batch.statuses)
                self._commit_page(batch, progress)
        self._log_summary(progress)
        # Conversations updated during the run can be missing, so targets must not delete rows.
        self._stream_version = None

    @override
    def to_records(self, rows: list[Row]) -> list[Record]:
        """Turn rows into records; a row without `updatedAt` gets its `createdAt`."""
        for row in rows:
            if row.get("updatedAt") is None:
                row["updatedAt"] = row.get("createdAt") or 0
                self.warn_once(
                    "Drift sent conversations without `updatedAt`; they get `createdAt` instead. "
                    "An incremental run can miss them: read everything from time to time."
                )
        return super().to_records(rows)

    @override
    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Return nothing: `get_records` writes the children, with concurrent requests."""
        return ()

    @override
    def fail(self, error: Exception) -> None:
        """End the stream, and the children whose walk is not complete."""
        for child in self._children:
            if child.name not in self._finished and not child.failure:
                child.failure = FatalSyncError(
                    f"It is read along with `{self.name}`, which failed."
                )
                child.failure.__cause__ = error
        super().fail(error)

    # `_commit_page` writes the bookmark, once per page. The SDK would write a bookmark per record,
    # discard it if the run is interrupted, and log a warning.
    # Tests: tests/streams/test_incremental.py.
    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        pass

    @cached_property
    def _children(self) -> list[PerConversationStream]:
        return [
            cast("PerConversationStream", child) for child in self.child_streams if child.selected
        ]

    @cached_property
    def _planner(self) -> WalkPlanner:
        return WalkPlanner.from_config(self.config, self._tap.initialized_at)

    @property
    def _has_batches(self) -> bool:
        """Whether the SDK writes this stream's records to batch files."""
        return self.get_batch_config(self.config) is not None

    def _start_walk(self) -> SharedWalk:
        """Create the walk of each active stream, and log which streams read what."""
        if self._children and isinstance(self.stream_maps[0], RemoveRecordTransform):
            raise FatalSyncError(
                "A stream map removes all `conversations`, and the streams that are read along "
                "with them: deselect `conversations` instead."
            )
        walks = {}
        plans: dict[str, list[str]] = {}
        for name, stream in self._active.items():
            is_incremental = self._is_incremental(stream)
            if discard_progress_of_other_rows(stream.stream_state, stream.shard):
                stream.log(_OTHER_ROWS, name, level=logging.WARNING)
            plan = self._planner.plan(stream.stream_state, is_incremental=is_incremental)
            description = self._planner.describe(plan, stream.replication_method)
            plans.setdefault(description, []).append(name)
            walks[name] = plan.walk
        for description, names in plans.items():
            self.log("Reading %s: %s", ", ".join(names), description)
        if self._children and self._has_batches:
            children = [child.name for child in self._children]
            self.log("%s: written as RECORD messages, without batch files", ", ".join(children))
        return SharedWalk(walks)

    def _can_estimate(self, walk: SharedWalk) -> bool:
        """Return whether Drift's counts apply; with one request at a time, theirs would delay."""
        return walk.is_whole and int(self.config["concurrency"]) > 1

    def _new_filter(self) -> Callable[[Record], bool]:
        """Return the `__filter__` of this stream's map, for use in another thread.

        The SDK's maps keep the record that they evaluate, so each thread needs its own.
        """
        if not isinstance(self.stream_maps[0], CustomStreamMap):
            return self.stream_maps[0].get_filter_result
        mapper = PluginMapper(dict(self.config), self.logger)
        mapper.register_raw_stream_schema(self.name, self.schema, self.primary_keys)
        return mapper.stream_maps[self.name][0].get_filter_result

    def _is_incremental(self, stream: DriftStream) -> bool:
        """Return whether the catalog lets a stream use its bookmark; children need no key."""
        has_key = stream is not self or self.replication_key is not None
        return has_key and stream.replication_method == "INCREMENTAL"

    def _with_children(self, records: list[Record]) -> Iterator[Record]:
        """Yield this shard's records; after each record, of any shard, write its children."""
        if not self._children:
            yield from records
            return
        for record in records:
            if self.shard.contains_row(record):
                yield record
            for child in self._children:
                child.write(record)

    def _commit_page(self, batch: PageBatch, progress: Progress) -> None:
        """Flush the output, and write the checkpoints of a page that has been written."""
        self.writer.flush()
        if batch.items:
            if not self._has_batches:
                self.write_state()
            return
        if self.selected:
            count = self.record_count - progress.records
        else:
            count = sum(map(self.shard.contains_row, batch.records))
        progress.add_page(count, batch.oldest)
        is_last = all(checkpoint.is_complete for checkpoint in batch.checkpoints.values())
        # Records of a batch file are written long after their page: only the last page counts.
        if self._has_batches and not is_last:
            return
        for name, checkpoint in batch.checkpoints.items():
            self._write_checkpoint(self._active[name], checkpoint)
        if not is_last and (self._children or progress.pages % PAGES_PER_STATE == 0):
            self.write_state()

    def _write_checkpoint(self, stream: DriftStream, checkpoint: Checkpoint) -> None:
        if checkpoint.is_complete:
            self._finished.add(stream.name)
            stream.check_result()
        if stream.failure is not None or (stream.holds_back_state and not checkpoint.is_complete):
            return
        if self._is_incremental(stream):
            write_checkpoint(stream.stream_state, checkpoint, stream.shard)
        else:
            discard_resume_point(stream.stream_state)

    def _log_summary(self, progress: Progress) -> None:
        others = [counted(child.record_count, child.name) for child in self._children]
        names = {self.name, *self._active}
        requests = sum(self.client.request_counts[name] for name in names)
        progress.log_summary(others, requests, self._describe_next_run())

    def _describe_next_run(self) -> str:
        states = [
            stream.stream_state
            for stream in self._active.values()
            if stream.failure is None and self._is_incremental(stream)
        ]
        since = [self._planner.since(state) for state in states if read_bookmark(state) is not None]
        earliest = min((time for time in since if time is not None), default=None)
        if earliest is None:
            return "The next run reads everything again."
        return f"The next run starts from updates since {from_epoch_ms(earliest)}."
