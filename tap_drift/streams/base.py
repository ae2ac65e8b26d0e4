"""What all streams of Drift's have in common: from request to page, to record, to message."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import requests
from singer_sdk.exceptions import FatalSyncError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import StreamSchema
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_drift.api.auth import DRIFT
from tap_drift.api.client import RequestContext
from tap_drift.api.paginators import NextLinkPaginator
from tap_drift.api.responses import parse_rows
from tap_drift.exceptions import sentences, traceback
from tap_drift.logs import is_news
from tap_drift.schemas import SCHEMAS
from tap_drift.sync.progress import Progress
from tap_drift.sync.shards import Shard
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record
    from singer_sdk.streams.rest import HTTPRequest

    from tap_drift.api.client import DriftClient
    from tap_drift.api.paginators import PagePaginator
    from tap_drift.api.responses import Page, Row
    from tap_drift.sync.writer import MessageWriter

# What a key of each type in a schema is in Python.
_TYPES = {"integer": int, "string": str}


class DriftStream(RESTStream[str]):
    """A stream that asks Drift for pages, and makes records of their rows."""

    schema = StreamSchema(SCHEMAS)
    selected_by_default = False

    host: ClassVar[str] = DRIFT
    """Whom to ask, unless `api_url` says otherwise."""

    scope: ClassVar[str]
    """The scope that the token's app needs for this stream."""

    read: Callable[[requests.Response], Page] = staticmethod(parse_rows)
    """Makes a page of an answer, or raises `UnexpectedResponseError`."""

    first_params: ClassVar[dict[str, Any]] = {}
    """The parameters of the request for the first page; the others follow links."""

    # Records are JSON from JSON: there is nothing to conform.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        """Know what to ask, and whom.

        Args:
            tap: The tap.
            client: What sends the requests of all its streams.
        """
        super().__init__(tap)
        self.client = client
        self.logger.addFilter(is_news)
        self.failure: Exception | None = None
        """What ended the stream in this run, if something did."""
        self._warned: set[str] = set()
        self._read_at: datetime | None = None
        # Drift's keys, whichever a catalog may choose for the target.
        self._keys = tuple(self.primary_keys)

    @property
    @override
    def url_base(self) -> str:
        """The host to ask, and the path that its API begins at; without a slash at the end."""
        return str(self.config.get("api_url", self.host)).rstrip("/")

    @property
    @override
    def authenticator(self) -> Auth:
        """What puts the token into each request."""
        return self.client.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        """The connections to Drift."""
        return self.client.session

    @property
    def writer(self) -> MessageWriter:
        """Where the messages go."""
        return cast("MessageWriter", self._tap.message_writer)

    @cached_property
    def shard(self) -> Shard:
        """Which conversations this process reads, and all that belongs to them."""
        return Shard.from_config(self.config)

    def warn_once(self, message: str) -> None:
        """Warn, unless that was said before.

        Args:
            message: What to say.
        """
        if message not in self._warned:
            self._warned.add(message)
            self.log(message, level=logging.WARNING)

    # From request to page

    def is_awaited(self) -> bool:
        """Whether anybody waits for an answer to this stream."""
        return self.failure is None

    @override
    def get_new_paginator(self) -> PagePaginator:
        """Give a paginator that goes from the first page to the last."""
        return NextLinkPaginator(self.read)

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
            request.params = self.first_params
        return request

    def pages(
        self, paginator: PagePaginator | None = None, context: Context | None = None
    ) -> Iterator[Page]:
        """Ask for one page after the other, each when the one before has been dealt with.

        Args:
            paginator: Where to begin, and where to go after each page.
            context: What the stream's path names, for streams that ask for one thing at a time.

        Yields:
            The pages.
        """
        paginator = paginator or self.get_new_paginator()

        def checked(response: requests.Response) -> requests.Response:
            paginator.read(response)
            return response

        while not paginator.finished:
            request = self._prepared(paginator.current_value, context)
            asker = RequestContext(
                self.name, self.endpoint(context), self.scope, self.logger, self.is_awaited
            )
            response = self.client.send(request, asker, checked)
            yield paginator.read(response)
            paginator.advance(response)

    def _prepared(self, query: str | None, context: Context | None) -> requests.PreparedRequest:
        request = self.get_http_request(page=PageContext(context, query))
        return self.build_prepared_request(
            method=request.method,
            url=request.url,
            params=request.encode_params(),
            headers=request.headers,
        )

    def endpoint(self, context: Context | None) -> str:
        """Name what is asked for.

        Args:
            context: What the stream's path names.

        Returns:
            The path, below the host's.
        """
        return (self.path or "").format(**(context or {}))

    # From row to record

    @cached_property
    def _date_times(self) -> list[str]:
        properties = self.schema["properties"].items()
        return [name for name, kind in properties if kind.get("format") == "date-time"]

    def to_records(self, rows: list[Row]) -> list[Record]:
        """Turn Drift's epoch milliseconds into date-times where the schema has date-times.

        Args:
            rows: Rows of a page, as Drift sent them; they become the records.

        Returns:
            The records.

        Raises:
            FatalSyncError: If a row has no key, or something else where a time should be.
        """
        for key in self._keys:
            kind = _TYPES[self.schema["properties"][key]["type"]]
            if not all(type(row.get(key)) is kind for row in rows):
                raise FatalSyncError(f"Drift sent a row of `{self.name}` without a usable `{key}`.")
        for name in self._date_times:
            for row in rows:
                time = row.get(name)
                if time is not None:
                    try:
                        row[name] = from_epoch_ms(time)
                    except (TypeError, OverflowError):
                        raise self._no_time(row, name) from None
        return rows

    def _no_time(self, row: Row, name: str) -> FatalSyncError:
        key = ", ".join(str(row[key]) for key in self._keys)
        return FatalSyncError(
            f"Drift sent no epoch milliseconds in `{name}` of `{self.name}` {key}."
        )

    # From record to message

    @cached_property
    def _is_plain(self) -> bool:
        """Whether records go out whole and as they are: no stream map, nothing flattened."""
        return (
            [type(each) for each in self.stream_maps] == [SameRecordTransform]
            and not self.stream_maps[0].flattening_enabled
            and all(self.mask.values())
        )

    # Private to the SDK, whose own does for every record what need be done once for a stream. A
    # test in tests/test_writer.py fails if it is no longer called.
    @override
    def _write_record_message(self, record: Record) -> None:
        if self._is_plain:
            self.writer.write_record(self.name, record, self._stream_version, self._read_at)
            self.state_manager.is_flushed = False
        else:
            super()._write_record_message(record)

    # State

    def write_state(self) -> None:
        """Write a STATE message, unless it would say what the last one said."""
        self._tap.state_writer.write_state(self.tap_state)

    # How it ends

    @property
    def is_suspect(self) -> bool:
        """Whether what came so far is too odd to be claimed before all has come."""
        return False

    def check(self) -> None:
        """End the stream if what it got cannot be all that there is."""

    def fail(self, error: Exception) -> None:
        """End the stream, and not the run: the other streams go on.

        Args:
            error: What went wrong.
        """
        self.failure = error
        self.log("Traceback:\n%s", traceback(error), level=logging.DEBUG)
        streams = [cast("DriftStream", stream) for stream in self._tap.streams.values()]
        if any(stream.selected and stream.failure is None for stream in streams):
            reason = " ".join(sentences(error))
            self.log("%s failed: %s The others go on.", self.name, reason, level=logging.WARNING)

    # Both are private to the SDK, whose own lets an error end the run, and tells targets to delete
    # the old rows before the new ones are read. Tests in tests/streams/test_full_tables.py fail if
    # they are no longer called.
    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, None, None]:
        try:
            yield from super()._sync_records(context, write_messages=write_messages)
        except Exception as error:
            if is_of_output(error):
                raise
            self.writer.flush()
            self.write_state()
            self.fail(error)
        else:
            if write_messages and self._stream_version is not None:
                super()._write_activate_version_message(self._stream_version)

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        pass


class FullTableStream(DriftStream):
    """A stream that is read whole in every run, by the first shard alone."""

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read all pages.

        Args:
            context: Not used: the stream has no partitions.

        Yields:
            The records; none where the first shard reads them.
        """
        if not self.shard.is_first:
            self._stream_version = None  # nothing was read, and nothing is deleted
            self.log("%s are left to shard 0.", self.name)
            return
        paginator, progress = self.get_new_paginator(), Progress(self.logger, self.name)
        total = 0
        for page in self.pages(paginator):
            self._read_at = datetime.now(timezone.utc)
            rows = page.rows if paginator.is_whole(page) else []
            yield from self.to_records(rows)
            self.writer.flush()
            progress.page(len(rows))
            total = max(total, page.total or 0)
        progress.end([], self.client.sent[self.name], "The next run reads them all again.")
        if progress.records < total:
            self._doubt(progress.records, total)

    def _doubt(self, records: int, total: int) -> None:
        """Warn that not all came, and let nothing be taken for deleted.

        Whether Drift counts what it does not list, or the account changed meanwhile, nobody knows.
        """
        self._stream_version = None
        self.log(
            "Drift says that it has %s %s, and sent %s.",
            f"{total:,}",
            self.name,
            f"{records:,}",
            level=logging.WARNING,
        )


def is_of_output(error: Exception) -> bool:
    """Tell whether records had nowhere to go: then no stream can go on.

    Args:
        error: What was raised.

    Returns:
        True if it was standard output, or a file, that failed.
    """
    return isinstance(error, OSError) and not isinstance(error, requests.RequestException)
