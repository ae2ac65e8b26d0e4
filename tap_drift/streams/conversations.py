"""The listing of conversations, and what is asked for each of them on the way."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, cast

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.mapper import RemoveRecordTransform
from typing_extensions import override

from tap_drift.api.client import RequestRefusedError
from tap_drift.api.paginators import NextLinkPaginator
from tap_drift.api.responses import parse_listing
from tap_drift.settings import STATUS_IDS
from tap_drift.streams.base import DriftStream
from tap_drift.sync.prefetch import Prefetcher, Workers
from tap_drift.sync.progress import Progress
from tap_drift.sync.walk import Checkpoint, ListingFilter, ResumePoint, SharedWalk, Walk, later
from tap_drift.timestamps import from_epoch_ms, parse, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_drift.api.responses import Row
    from tap_drift.streams.per_conversation import PerConversationStream

LISTING = "https://api.drift.com"
"""The host that Drift documents for its listing of conversations."""

UPDATED_AT = "updatedAt"
"""What the bookmarks of conversations, and of all that belongs to them, are values of."""

PAGES_PER_STATE = 10
"""A walk says where it could be taken up again every so many pages; every page, where each of its
rows cost requests of its own."""

PAGES_AHEAD = 2
"""So many pages are read beyond the one that is being written; more, where pages are small."""


@dataclass(frozen=True, slots=True)
class PageBatch:
    """What came of a page."""

    records: list[Record]
    read_at: datetime
    oldest: int | None
    """The last `updatedAt` on it, in epoch milliseconds."""

    claims: dict[str, Checkpoint]
    """What each stream may say once it has been written."""


class ConversationsStream(DriftStream):
    """Every conversation, most recently updated first: `GET /conversations/list`."""

    name = "conversations"
    path = "/conversations/list"
    primary_keys = ("id",)
    replication_key = UPDATED_AT
    host = LISTING
    scope = "conversation_read"
    selected_by_default = True
    _readers: dict[str, DriftStream]
    """The streams that this run reads: the children that are selected, and itself if it is."""
    _complete: set[str]
    """The names of those that have all that they want."""
    read = staticmethod(parse_listing)

    @override
    def get_new_paginator(self) -> NextLinkPaginator:
        return NextLinkPaginator(self.read)

    @override
    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        if not page.next_page_token:
            request.params = {
                "limit": self.config["page_size"],
                "page_token": "",
                "statusId": [STATUS_IDS[status] for status in self.config.get("statuses", [])],
            }
        return request

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Walk the listing down to where the last run began, or to its end.

        Args:
            context: Not used: the stream has no partitions.

        Yields:
            The records; when the next one is asked for, the one before has been written, and so has
            what was asked for it.
        """
        self._complete = set()
        self._readers = {each.name: each for each in (self, *self._children) if each.selected}
        progress = Progress(
            self.logger, self.name if self.selected else f"{self.name} (not selected)"
        )
        walks = self._begin()
        with ExitStack() as stack:
            for stretch in self._ahead(walks, stack) if self._children else self._stretches(walks):
                self._read_at = stretch.read_at
                yield from stretch.records
                self._claim(stretch, progress)
        self._say_what_came(progress)
        # What was updated meanwhile has moved away unseen: it must not be taken for deleted.
        self._stream_version = None

    @cached_property
    def _children(self) -> list[PerConversationStream]:
        """The streams to ask for each conversation."""
        return [
            cast("PerConversationStream", child) for child in self.child_streams if child.selected
        ]

    def _begin(self) -> SharedWalk:
        """Say what is read, and where the walk of each stream begins and ends."""
        if self._children and isinstance(self.stream_maps[0], RemoveRecordTransform):
            raise FatalSyncError(
                "A stream map takes all `conversations` away, and what belongs to them with it: "
                "deselect `conversations` instead."
            )
        walks = {name: self._walk_of(stream) for name, stream in self._readers.items()}
        plans: dict[str, list[str]] = {}
        for name, walk in walks.items():
            plans.setdefault(self._plan(self._readers[name], walk), []).append(name)
        for plan, names in plans.items():
            self.log("Reading %s: %s", ", ".join(names), plan)
        return SharedWalk(walks)

    def _walk_of(self, stream: DriftStream) -> Walk:
        statuses = tuple(sorted(self.config.get("statuses", [])))
        wanted = ListingFilter(statuses, self._since(stream))
        resume = ResumePoint.from_state(stream.stream_state.get("resume"))
        if resume is None or not self._is_incremental(stream) or not resume.filter.covers(wanted):
            stream.stream_state.pop("resume", None)
            resume = None
        return Walk(wanted, self._tap.initialized_at, resume, self._lookback)

    def _plan(self, stream: DriftStream, walk: Walk) -> str:
        since, statuses, resume = walk.filter.since, walk.filter.statuses, walk.resume_point
        parts = [
            stream.replication_method,
            "everything" if since is None else f"what was updated since {from_epoch_ms(since)}",
            f"statuses {', '.join(statuses)}" if statuses else "all statuses",
            *([] if self.shard.is_all else [str(self.shard)]),
        ]
        cut = f"; going on where a run was cut, at {from_epoch_ms(resume.oldest)}" if resume else ""
        return ", ".join(parts) + cut

    def _since(self, stream: DriftStream) -> int | None:
        """The earliest `updatedAt` that a stream wants. A bookmark wins over `start_date`.

        The SDK takes the later of the two. A scheduler that sets `start_date` anew for each run
        would then skip what was updated since a run that failed.
        """
        if not self._is_incremental(stream):
            return None
        bookmark = self._bookmark(stream)
        if bookmark is not None:
            return bookmark - self._lookback
        start = self.config.get("start_date")
        return to_epoch_ms(parse(start)) if start else None

    @property
    def _lookback(self) -> int:
        return 1000 * int(self.config["lookback_seconds"])

    def _is_incremental(self, stream: DriftStream) -> bool:
        """Whether a catalog leaves a stream its bookmark; a child needs no key of its own."""
        has_key = stream is not self or self.replication_key is not None
        return has_key and stream.replication_method == "INCREMENTAL"

    def _bookmark(self, stream: DriftStream) -> int | None:
        state = stream.stream_state
        value = state.get("replication_key_value")
        if not value or state.get("replication_key") != UPDATED_AT:
            return None
        return to_epoch_ms(parse(value))

    # Reading

    def _ahead(self, walks: SharedWalk, stack: ExitStack) -> Iterator[PageBatch]:
        """Read on while what was read is still being written, and ask for its children."""
        for child in self._children:
            child.begin()
            stack.callback(child.end)
        concurrency = int(self.config["concurrency"])
        workers = stack.enter_context(Workers(concurrency))
        pages = PAGES_AHEAD + 2 * concurrency // int(self.config["page_size"])
        yield from stack.enter_context(Prefetcher(self._stretches(walks, workers), pages))

    def _stretches(self, walks: SharedWalk, workers: Workers | None = None) -> Iterator[PageBatch]:
        try:
            yield from self._walk(walks, workers)
        except RequestRefusedError as refusal:
            if not (walks.jumped and refusal.is_of_request):
                raise
            self.log(
                "%s. The last run was cut, and its page token is of no use any more: reading on "
                "from the top, without emitting again what it had emitted.",
                refusal,
                level=logging.WARNING,
            )
            yield from self._walk(walks.without_query(), workers)

    def _walk(self, walks: SharedWalk, workers: Workers | None) -> Iterator[PageBatch]:
        paginator = self.get_new_paginator()
        for page in self.pages(paginator):
            read_at = datetime.now(timezone.utc)
            taken = walks.take(page.rows)
            if not walks.ordered:
                self.warn_once(
                    "Drift does not list conversations by `updatedAt`, newest first, as it used "
                    "to: this run reads the whole listing."
                )
            records = self.to_records([row for row, _ in taken])
            if not self.shard.is_all:
                taken = [each for each in taken if self.shard.holds(each[0]["id"])]
                records = [row for row, _ in taken]
            if workers:
                self._ask([names for _, names in taken], records, workers)
            paginator.go(walks.after(page.next_query))
            yield PageBatch(records, read_at, walks.oldest, walks.claims)
            for name, stream in self._readers.items():
                if stream.failure is not None:
                    walks.drop(name)

    def _ask(self, wanted: list[set[str]], records: list[Record], workers: Workers) -> None:
        for names, record in zip(wanted, records, strict=True):
            for child in self._children:
                if child.name in names:
                    child.ask(record, workers)

    @override
    def to_records(self, rows: list[Row]) -> list[Record]:
        """Never leave `updatedAt` empty: what was never updated stands as it was created.

        Args:
            rows: Rows of a page, as Drift sent them; they become the records.

        Returns:
            The records.

        Raises:
            FatalSyncError: If a row cannot become a record.
        """
        for row in rows:
            if row.get("updatedAt") is None:
                row["updatedAt"] = row.get("createdAt") or 0
                self.warn_once(
                    "Drift sent conversations without `updatedAt`; `createdAt` stands in for it. "
                    "They are emitted wherever they are met, but a run that reads only what is new "
                    "may not meet them: read everything now and then."
                )
        return super().to_records(rows)

    # Writing

    @override
    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Spare every record a copy of itself when there are no children to get it.

        Args:
            record: The record.
            context: Not used: the stream has no partitions.

        Returns:
            What the children of the record are known by; nothing without children.
        """
        return ({"id": record["id"]},) if self._children else ()

    # Private to the SDK, whose own runs a child from its SCHEMA message to its metrics for every
    # record, one request at a time. A test in tests/streams/test_children.py fails if it is no
    # longer called.
    @override
    def _sync_children(self, child_context: Context | None) -> None:
        for child in self._children:
            child.write((child_context or {})["id"])

    def _claim(self, stretch: PageBatch, progress: Progress) -> None:
        """Put into the state what is true now that a page has been written."""
        self.writer.flush()
        progress.page(len(stretch.records), stretch.oldest)
        for child in self._children:
            child.forget(stretch.records)
        is_last = all(claim.is_complete for claim in stretch.claims.values())
        # A batch is written long after its pages were read: there is no claiming by the page.
        if self.get_batch_config(self.config) is not None and not is_last:
            return
        for name, claim in stretch.claims.items():
            self._put(self._readers[name], claim)
        if not is_last and (self._children or progress.pages % PAGES_PER_STATE == 0):
            self.write_state()

    def _put(self, stream: DriftStream, claim: Checkpoint) -> None:
        if claim.is_complete:
            self._complete.add(stream.name)
            stream.check()
        if stream.failure is not None or (stream.is_suspect and not claim.is_complete):
            return
        state = stream.stream_state
        state.pop("resume", None)
        if not self._is_incremental(stream):
            return
        if claim.resume_point:
            state["resume"] = claim.resume_point.to_state()
        moment = later(self._bookmark(stream), claim.newest)
        if moment is not None:
            state["replication_key"] = UPDATED_AT
            state["replication_key_value"] = from_epoch_ms(moment)
        if not self.shard.is_all:
            state["shard"] = self.shard.to_state()

    # The walk keeps the bookmark, by the page. The SDK would keep one by the record, forget it if
    # the run is cut, and warn of that; it has no public way to say so. The test of the states in
    # tests/streams/test_walks.py fails if this is no longer called.
    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        pass

    # How it ends

    def _say_what_came(self, progress: Progress) -> None:
        others = [f"{child.records:,} {child.name}" for child in self._children]
        requests = sum(self.client.sent[name] for name in {self.name, *self._readers})
        progress.end(others, requests, self._next_start())

    def _next_start(self) -> str:
        whole = [stream for stream in self._readers.values() if stream.failure is None]
        known = [self._since(stream) for stream in whole if self._bookmark(stream) is not None]
        since = min((time for time in known if time is not None), default=None)
        if since is None:
            return "The next run reads everything again."
        return f"The next run starts from what was updated since {from_epoch_ms(since)}."

    @override
    def fail(self, error: Exception) -> None:
        for child in self._children:
            if child.name not in self._complete:
                child.failure = child.failure or FatalSyncError(
                    f"It is read along with `{self.name}`, which failed."
                )
        super().fail(error)
