"""The listing of conversations."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from singer_sdk.schema.source import StreamSchema
from typing_extensions import override

from tap_drift.bookmarks import Filter, ResumePoint, Walk, bookmark
from tap_drift.client import DriftStream, PageRefusedError
from tap_drift.pagination import Follow, NextLinkPaginator, as_linked
from tap_drift.progress import Progress
from tap_drift.schemas import SCHEMAS
from tap_drift.settings import STATUS_IDS
from tap_drift.timestamps import from_epoch_ms, parse, to_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.streams.rest import HTTPRequest, PageContext

PAGES_PER_STATE = 10
"""A walk says where it could be taken up again every so many pages."""


class ConversationsStream(DriftStream):
    """Every conversation, most recently updated first: `GET /conversations/list`."""

    name = "conversations"
    path = "/conversations/list"
    schema = StreamSchema(SCHEMAS)
    primary_keys = ("id",)
    replication_key = "updatedAt"
    scope = "conversation_read"

    @override
    def get_new_paginator(self, follow: Follow = as_linked) -> NextLinkPaginator:
        """Give a paginator that follows Drift's links from the first page to the last.

        Args:
            follow: Where to go after each page, if not always where its link says.

        Returns:
            The paginator.
        """
        return NextLinkPaginator(follow)

    @override
    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """Ask for the first page as Drift documents it, for any other by the link to it.

        Args:
            page: Its token is the query of the link; None for the first page.

        Returns:
            The request: always to the same endpoint, whatever host the link names.
        """
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.url += f"?{page.next_page_token}"
        else:
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
            The records; when the next one is asked for, the one before has been written.
        """
        state = self.get_context_state(context)
        walk = self._begin(state, context)
        progress = Progress(self.logger, self.name)
        try:
            yield from self._walk(walk, state, progress)
        except PageRefusedError as refusal:
            if not walk.jumped:
                raise
            self.log(
                "%s. The last run was cut, and its page token is of no use any more: reading on "
                "from the top, without emitting again what it had emitted.",
                refusal,
                level=logging.WARNING,
            )
            walk = walk.without_query()
            yield from self._walk(walk, state, progress)
        self._complete(walk, state)
        progress.end(self.requests, self._next_start(state))

    def _begin(self, state: dict[str, Any], context: Context | None) -> Walk:
        lookback = 1000 * int(self.config["lookback_seconds"])
        start = self.get_starting_timestamp(context)
        since = to_epoch_ms(start) if start else None
        if since is not None and self._bookmark(state) is not None:
            since -= lookback
        wanted = Filter(tuple(sorted(self.config.get("statuses", []))), since)
        resume = ResumePoint.from_state(state.get("resume"))
        if resume is None or not self._is_incremental or not resume.filter.covers(wanted):
            state.pop("resume", None)
            resume = None
        self.log(
            "Reading conversations: %s, %s, %s%s",
            self.replication_method,
            "everything" if since is None else f"what was updated since {from_epoch_ms(since)}",
            f"statuses {', '.join(wanted.statuses)}" if wanted.statuses else "all statuses",
            f"; going on where a run was cut, at {from_epoch_ms(resume.oldest)}" if resume else "",
        )
        return Walk(wanted, self._tap.initialized_at, resume, lookback)

    @property
    def _is_incremental(self) -> bool:
        return self.replication_method == "INCREMENTAL"

    def _walk(self, walk: Walk, state: dict[str, Any], progress: Progress) -> Iterator[Record]:
        follow = partial(self._after_page, walk, state, progress)
        for page in self.pages(self.get_new_paginator(follow)):
            records = self.to_records(walk.take(page.rows))
            if not walk.ordered:
                self.warn_once(
                    "Drift does not list conversations by `updatedAt`, newest first, as it used "
                    "to: this run reads the whole listing."
                )
            yield from records
            progress.page(len(records), walk.oldest)

    def _after_page(
        self, walk: Walk, state: dict[str, Any], progress: Progress, next_query: str | None
    ) -> str | None:
        """Claim a page that has been written, and say where to go after it."""
        self.writer.flush()
        query = walk.after(next_query)
        if self._can_resume and walk.resume_point:
            state["resume"] = walk.resume_point.to_state()
        else:
            state.pop("resume", None)
        if query and progress.pages % PAGES_PER_STATE == 0:
            self.write_state()
        return query

    def _complete(self, walk: Walk, state: dict[str, Any]) -> None:
        """Put the bookmark where the resume point was."""
        moment = bookmark(self._bookmark(state), walk)
        if self._is_incremental and moment is not None:
            state["replication_key"] = self.replication_key
            state["replication_key_value"] = from_epoch_ms(moment)
        state.pop("resume", None)

    def _bookmark(self, state: dict[str, Any]) -> int | None:
        value = state.get("replication_key_value")
        if not value or state.get("replication_key") != self.replication_key:
            return None
        return to_epoch_ms(parse(value))

    def _next_start(self, state: dict[str, Any]) -> str:
        since = self._bookmark(state)
        if since is None or not self._is_incremental:
            return "The next run reads everything again."
        since -= 1000 * int(self.config["lookback_seconds"])
        return f"The next run starts from what was updated since {from_epoch_ms(since)}."

    @property
    def _can_resume(self) -> bool:
        """A batch is written long after its pages were read: there is no claiming by the page."""
        return self._is_incremental and self.get_batch_config(self.config) is None

    # The walk keeps the bookmark, by the page. The SDK would keep one by the record, forget it if
    # the run is cut, and warn of that; it has no public way to say so. The test of the states in
    # tests/streams/test_walks.py fails if this is no longer called.
    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        pass

    @override
    def to_records(self, rows: list[Record]) -> list[Record]:
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
