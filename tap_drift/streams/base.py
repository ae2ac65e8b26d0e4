"""Base stream: from a request to a page of rows, and from rows to records."""

from __future__ import annotations

import sys
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import urlsplit

import backoff
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_drift.api.auth import API_HOST
from tap_drift.api.client import RequestContext, status_message
from tap_drift.api.paginators import NextLinkPaginator
from tap_drift.api.responses import Page, parse_rows
from tap_drift.api.retry import (
    TRANSIENT_ERRORS,
    is_transient_status,
    retry_message,
    wait_times,
)
from tap_drift.exceptions import RequestRefusedError
from tap_drift.streams.emitted_schema import EmittedSchema, declared
from tap_drift.streams.isolated import IsolatedStream
from tap_drift.streams.json_columns import JsonColumns
from tap_drift.streams.open_objects import OpenObjects
from tap_drift.streams.records import RecordConverter
from tap_drift.sync.shards import BY_CONVERSATION, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import requests
    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record
    from singer_sdk.streams.rest import HTTPRequest

    from tap_drift.api.client import DriftClient
    from tap_drift.api.paginators import PagePaginator
    from tap_drift.api.responses import Row

P = ParamSpec("P")
T = TypeVar("T")


class DriftStream(IsolatedStream):
    """A stream of Drift's API.

    A subclass declares name, path, keys and scope. The hooks of the SDK's `RESTStream` below can
    be overridden as usual: the client calls them for each request.
    """

    schema = EmittedSchema()
    selected_by_default = False

    host: ClassVar[str] = API_HOST
    """Host of the endpoint, unless `api_url` is set."""

    scope: ClassVar[str]
    """OAuth scope that the endpoint requires."""

    parse: Callable[[requests.Response], Page] = staticmethod(parse_rows)
    """Parses a response; raises `UnexpectedResponseError` for an unexpected shape."""

    is_item: ClassVar[bool] = False
    """Whether a request is for a single conversation or contact."""

    shared_by: ClassVar[str] = BY_CONVERSATION
    """Field of a listed conversation that determines the shard which reads its row."""

    first_params: ClassVar[dict[str, Any]] = {}
    """Query parameters of the first page; other pages use the query of their link."""

    def __init__(self, tap: Tap, client: DriftClient) -> None:
        super().__init__(tap)
        self.client = client
        # Drift's keys, before a catalog chooses others.
        self._converter = RecordConverter(
            self.name, declared(self.name), self.primary_keys, warn=self.warn_once
        )

    @cached_property
    def shard(self) -> Shard:
        """The shard that this process reads."""
        return Shard.from_config(self.config, self.shared_by)

    # From request to page

    @property
    @override
    def url_base(self) -> str:
        """Base URL of the endpoint, without a slash at the end."""
        return str(self.config.get("api_url", self.host)).rstrip("/")

    @property
    @override
    def authenticator(self) -> Auth:
        return self.client.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.client.session

    @property
    @override
    def timeout(self) -> int:
        """Seconds to wait for a connection, and for each read."""
        return int(self.config["request_timeout"])

    @override
    def get_new_paginator(self) -> PagePaginator:
        return NextLinkPaginator(self.path or "")

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, Any]:
        """Return query parameters beside those of the link to the page."""
        return {} if next_page_token else dict(self.first_params)

    @override
    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """Build the request for a page.

        Args:
            page: Its token is the query of the link to the page; None for the first page. Of the
                link only the query is used: requests are sent to the configured host.
        """
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.url += f"?{page.next_page_token}"
        return request

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Check the status.

        Raises:
            RetriableAPIError: For 429, 500 or higher, and `extra_retry_statuses`.
            RequestRefusedError: For any other status outside 200 to 299.
        """
        status = response.status_code
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        message = self.response_error_message(response)
        if is_transient_status(status) or status in self.extra_retry_statuses:
            raise RetriableAPIError(message, response)
        raise RequestRefusedError(message, self._path_of(response.request), status)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        """Return the message for a failed request; of the body, only Drift's error."""
        path, setting = self._path_of(response.request), self.client.authenticator.setting
        return status_message(response, path, scope=self.scope, setting=setting)

    @override
    def parse_response(self, response: requests.Response) -> Page:
        """Parse a response into a page, which iterates over its rows.

        Raises:
            UnexpectedResponseError: If its shape is unexpected; the request is retried.
        """
        return self.parse(response)

    @override
    def request_decorator(self, func: Callable[P, T]) -> Callable[P, T]:
        """Wrap a request in retries, as the hooks `backoff_*` define them.

        Unlike the SDK's decorator, it logs each retry once, in `backoff_handler`.
        """
        return backoff.on_exception(
            self.backoff_wait_generator,
            TRANSIENT_ERRORS,
            max_tries=self.backoff_max_tries,
            jitter=self.backoff_jitter,
            on_backoff=self.backoff_handler,
            logger=None,
        )(func)

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        return wait_times(self.client.circuit_breaker)

    @override
    def backoff_max_tries(self) -> int:
        """Return no limit: `backoff_wait_generator` limits the time instead."""
        return sys.maxsize

    @override
    def backoff_jitter(self, value: float) -> float:
        """Return the wait unchanged: `backoff_wait_generator` includes jitter."""
        return value

    @override
    def backoff_handler(self, details: Details) -> None:
        self.logger.warning(*retry_message(self._path_of(details["args"][0]), details))

    def fetch_page(
        self, query: str | None, context: Context | None = None, *, retry: bool = True
    ) -> Page:
        """Request one page.

        Args:
            query: Query of the link to the page; None for the first page.
            context: Values for the placeholders in the stream's path.
            retry: Whether transient failures are retried.
        """
        request = self.get_http_request(page=PageContext(context, query))
        prepared = self.build_prepared_request(
            method=request.method,
            url=request.url,
            params=request.encode_params(),
            headers=request.headers,
            json=request.data,
        )
        request_context = RequestContext(
            stream=self.name,
            path=self.endpoint(context),
            timeout=self.timeout,
            validate=self.validate_response,
            parse=self.parse_response,
            retry=self.request_decorator,
            cancelled=self.cancelled,
            is_item=self.is_item,
        )
        page = self.client.send(prepared, request_context, retry=retry)
        if page.errors:
            self.warn_once(f"Drift reports an error beside the rows of {self.path}: {page.errors}")
        return page

    def pages(self, context: Context | None = None) -> Iterator[Page]:
        """Request all pages, each when it is needed."""
        paginator = self.get_new_paginator()
        while not paginator.finished:
            page = self.fetch_page(paginator.current_value, context)
            yield page
            paginator.follow(page)

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Request all pages, and yield their records."""
        for page in self.pages(context):
            yield from self.to_records(page.rows)

    def endpoint(self, context: Context | None) -> str:
        """Return the path below the host."""
        return (self.path or "").format(**(context or {}))

    def _path_of(self, request: requests.PreparedRequest) -> str:
        return urlsplit(str(request.url)).path.removeprefix(urlsplit(self.url_base).path)

    # From row to record

    def to_records(self, rows: list[Row]) -> list[Record]:
        """Turn rows into records, in place.

        Raises:
            InvalidRecordError: If a row has no key, or an invalid value in a date-time field.
        """
        self._converter.check_keys(rows)
        self._converter.convert_times(rows)
        self._fit(rows)
        return rows

    def _fit(self, records: list[Record]) -> None:
        """Make records fit the SCHEMA message, in place."""
        self._converter.fit_nested(records)
        self._converter.complete(records)
        self._json_columns.encode(records)
        if self.config.get("nested_as_json"):
            self._converter.sort_fields(records)
        if self._open_objects:
            self._open_objects.complete(records)

    @cached_property
    def _json_columns(self) -> JsonColumns:
        # After the catalog has been applied.
        return JsonColumns(declared(self.name), self.effective_schema, self.mask)

    @cached_property
    def _open_objects(self) -> OpenObjects | None:
        if not self.config.get("flattening_enabled"):
            return None
        return OpenObjects(self.effective_schema, int(self.config.get("flattening_max_depth") or 0))

    # State, for streams that follow the listing

    @property
    def holds_back_state(self) -> bool:
        """Whether no state is written before the end: the responses so far are implausible."""
        return False

    def check_result(self) -> None:
        """Fail the stream if its responses are implausible as a whole."""
