"""One request to Drift: which host, who we are, its retries, and what an answer must look like."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

import backoff
import requests
from singer_sdk import metrics
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.exceptions import FatalAPIError, FatalSyncError, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_drift.errors import cause, drift_error, redirect_target
from tap_drift.page import WrongShapeError, read_page
from tap_drift.retries import waits
from tap_drift.timestamps import from_epoch_ms, spell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record, RequestFunc
    from singer_sdk.pagination import BaseAPIPaginator

    from tap_drift.page import Page
    from tap_drift.writer import MessageWriter

DRIFT = "https://api.drift.com"
"""The host that Drift documents for its listing of conversations."""

TRANSIENT = (
    RetriableAPIError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.Timeout,
)
"""What may pass by itself: a request that fails so is sent again."""

# The SDK says these at INFO or ERROR; our own lines and the error itself say them better.
_SAID_ALREADY = ("An unhandled error occurred", "Beginning sync of", "Starting incremental sync of")

_TOKEN_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

# What a key of each type in a schema is in Python.
_TYPES = {"integer": int, "string": str}


class PageRefusedError(FatalAPIError):
    """Drift refused a request, and not for its token: perhaps for the page that it asks for."""


class HeaderAuthenticator(BearerTokenAuthenticator):
    """Bearer token in the header, and the URL as it is.

    The SDK's own writes the query anew, and so drops the blank `page_token` that Drift requires.
    """

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.auth_headers)
        return request


class DriftSession(requests.Session):
    """A session that leaves a redirect alone, and its target unread.

    Drift documents none; to follow one could carry the token to another host.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class DriftStream(RESTStream[str]):
    """What all streams of Drift's have in common."""

    scope: ClassVar[str]
    """The scope that the token's app needs for this stream."""

    # Records are JSON from JSON: there is nothing to conform.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap)
        self.logger.addFilter(_is_news)
        self.requests = 0
        self._warned: set[str] = set()
        self._read_at: datetime | None = None
        # Drift's keys, whichever a catalog may choose for the target.
        self._keys = tuple(self.primary_keys)

    @property
    @override
    def url_base(self) -> str:
        """The host to ask, and the path that its API begins at; without a slash at the end."""
        return str(self.config.get("api_url", DRIFT)).rstrip("/")

    @cached_property
    @override
    def authenticator(self) -> Auth:
        """What puts the token into each request."""
        return HeaderAuthenticator(token=self.config["access_token"].strip())

    @cached_property
    @override
    def requests_session(self) -> requests.Session:
        """The connections to Drift."""
        return DriftSession()

    @property
    @override
    def timeout(self) -> int:
        """Seconds to wait for a connection, and for each part of an answer."""
        return int(self.config["request_timeout"])

    @property
    def writer(self) -> MessageWriter:
        """Where the messages go."""
        return cast("MessageWriter", self._tap.message_writer)

    def warn_once(self, message: str) -> None:
        """Warn, unless that was said before.

        Args:
            message: What to say.
        """
        if message not in self._warned:
            self._warned.add(message)
            self.log(message, level=logging.WARNING)

    # One request

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        """Send a request again while it fails in ways that may pass; then give up in words.

        Args:
            func: Sends a request once.

        Returns:
            Sends a request until it succeeds, or raises a `FatalAPIError`.
        """
        retried = backoff.on_exception(
            waits,
            TRANSIENT,
            jitter=None,
            on_backoff=self.backoff_handler,
            on_giveup=self._give_up,
            logger=None,
        )
        return retried(func)

    @override
    def backoff_handler(self, details: Details) -> None:
        """Say what failed, and when it will be tried again.

        Args:
            details: The failure and the wait, as the library `backoff` gives them.
        """
        self.log(
            "%s failed: %s. Asking again in %.1f s.",
            self.path,
            cause(details["exception"]),
            details["wait"],
            level=logging.WARNING,
        )

    def _give_up(self, details: Details) -> None:
        raise FatalAPIError(
            f"{self.path} failed for {details['elapsed'] / 60:.0f} minutes, {details['tries']} "
            f"times; the last time: {cause(details['exception'])}. Nothing is lost: run again "
            "when Drift can be reached."
        )

    @cached_property
    def _transport(self) -> dict[str, Any]:
        """Proxies and certificates as the environment has them, looked up once."""
        session = self.requests_session
        return {**session.merge_environment_settings(self.url_base, {}, None, None, None)}

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request once.

        Args:
            request: A request that carries the token.

        Returns:
            An answer that is a page.

        Raises:
            FatalAPIError: If Drift refuses it.
            RetriableAPIError: If Drift fails, or sends no page.
            requests.RequestException: If Drift cannot be reached.
        """
        self.requests += 1
        response = self.requests_session.send(request, timeout=self.timeout, **self._transport)
        point = metrics.Point(
            "timer",
            metrics.Metric.HTTP_REQUEST_DURATION,
            response.elapsed.total_seconds(),
            {"stream": self.name, "endpoint": self.path, "http_status_code": response.status_code},
        )
        self.metrics_logger.debug("METRIC: %s", point)
        self.validate_response(response)
        return response

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Check that an answer is a page.

        Args:
            response: Drift's answer.

        Raises:
            FatalAPIError: If asking again cannot help.
            RetriableAPIError: If it can.
        """
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RetriableAPIError(self.response_error_message(response), response)
        if status >= HTTPStatus.BAD_REQUEST and status not in _TOKEN_REFUSED:
            raise PageRefusedError(self.response_error_message(response))
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise FatalAPIError(self.response_error_message(response))
        try:
            read_page(response)
        except WrongShapeError as error:
            raise RetriableAPIError(f"Drift sent {error}", response) from error

    @override
    def response_error_message(self, response: requests.Response) -> str:
        """Say what a status of failure means for the user.

        Args:
            response: Drift's answer.

        Returns:
            A sentence or a phrase; of the body it quotes Drift's error, and nothing else.
        """
        status, error = response.status_code, drift_error(response)
        if status in _TOKEN_REFUSED:
            return (
                f"Drift refused the token ({status} on {self.path}): check that `access_token` is "
                f"a current token of an app with the scope `{self.scope}` (an app whose scopes "
                "were changed needs a new token)."
            )
        if status < HTTPStatus.BAD_REQUEST:
            return (
                f"{self.path} answered {status}, a redirect to {redirect_target(response)}. Drift "
                "has none, so it was not followed: check `api_url`."
            )
        if error:
            return f"Drift answered {status} on {self.path}: {error}"
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"{status} on {self.path}, with no error of Drift's in it: check `api_url`"
        return f"{status} on {self.path}"

    # From page to page

    def pages(self, paginator: BaseAPIPaginator[str | None]) -> Iterator[Page]:
        """Walk a listing, asking for each page when the one before has been dealt with.

        Args:
            paginator: Where the walk begins, and where it goes after each page.

        Yields:
            The pages.
        """
        with self.get_http_request_counter() as counter:

            def counted(
                request: requests.PreparedRequest, _context: Context | None
            ) -> requests.Response:
                counter.increment()
                return self.send(request)

            send = self.request_decorator(counted)
            while not paginator.finished:
                place = PageContext(stream_context=None, next_page_token=paginator.current_value)
                request = self.get_http_request(page=place)
                prepared = self.build_prepared_request(
                    method=request.method,
                    url=request.url,
                    params=request.encode_params(),
                    headers=request.headers,
                )
                response = send(prepared, None)
                self._read_at = datetime.now(timezone.utc)
                yield read_page(response)
                paginator.advance(response)

    # From row to record

    @cached_property
    def _date_times(self) -> list[str]:
        properties = self.schema["properties"].items()
        return [name for name, kind in properties if kind.get("format") == "date-time"]

    def to_records(self, rows: list[Record]) -> list[Record]:
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

    def _no_time(self, row: Record, name: str) -> FatalSyncError:
        key = ", ".join(str(row[key]) for key in self._keys)
        return FatalSyncError(
            f"Drift sent no epoch milliseconds in `{name}` of `{self.name}` {key}."
        )

    @override
    def generate_child_contexts(
        self, record: Record, context: Context | None
    ) -> Iterable[Context | None]:
        """Spare every record a copy of itself when there are no children to get it.

        Args:
            record: The record.
            context: The context of the stream.

        Returns:
            A context for each child stream; none without children.
        """
        return super().generate_child_contexts(record, context) if self.child_streams else ()

    # From record to message

    @cached_property
    def _is_plain(self) -> bool:
        """Whether records go out whole and as they are: no stream map, nothing flattened."""
        names = self.schema["properties"]
        return (
            [type(each) for each in self.stream_maps] == [SameRecordTransform]
            and not self.stream_maps[0].flattening_enabled
            and all(self.mask["properties", name] for name in names)
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

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> str | None:
        """Give the start of the run, which no bookmark passes.

        Args:
            context: The context of the stream.

        Returns:
            The moment, spelled as bookmarks are; None if the stream has no bookmarks.
        """
        start = super().get_replication_key_signpost(context)
        return spell(start) if start else None

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """A bookmark wins over `start_date`, which is for first runs.

        The SDK takes the later of the two. A scheduler that sets `start_date` anew for each run
        would then skip what was updated since a run that failed.

        Args:
            value: The bookmark.
            start_date_value: The setting.

        Returns:
            The bookmark.
        """
        return value

    def write_state(self) -> None:
        """Write a STATE message, unless it would say what the last one said."""
        self._tap.state_writer.write_state(self.tap_state)

    # Private to the SDK, which has no public place for it; tests/test_ending.py fails if it is no
    # longer called.
    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, None, None]:
        """Let an error that ends the stream be preceded by a STATE for what was written."""
        try:
            yield from super()._sync_records(context, write_messages=write_messages)
        except Exception:
            self.writer.flush()
            self.write_state()
            raise


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_SAID_ALREADY)
