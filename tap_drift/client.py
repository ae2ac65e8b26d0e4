"""One request to Drift: which host, who we are, its retries, and what an answer must look like."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

import backoff
import requests
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.exceptions import FatalAPIError, FatalSyncError, RetriableAPIError
from singer_sdk.streams import RESTStream

from tap_drift.errors import cause, drift_error, redirect_target
from tap_drift.page import WrongShapeError, read_page
from tap_drift.retries import waits
from tap_drift.timestamps import from_epoch_ms, spell

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record, RequestFunc

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


class HeaderAuthenticator(BearerTokenAuthenticator):
    """Bearer token in the header, and the URL as it is.

    The SDK's own writes the query anew, and so drops the blank `page_token` that Drift requires.
    """

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.auth_headers)
        return request


class DriftStream(RESTStream[str]):
    """What all streams of Drift's have in common."""

    scope: ClassVar[str]
    """The scope that the token's app needs for this stream."""

    # Drift documents no redirect; to follow one could carry the token to another host.
    allow_redirects = False

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap)
        self.logger.addFilter(_says_more_than_the_error)

    @property
    @override
    def url_base(self) -> str:
        return str(self.config.get("api_url", DRIFT)).rstrip("/")

    @cached_property
    @override
    def authenticator(self) -> Auth:
        return HeaderAuthenticator(token=self.config["access_token"].strip())

    @property
    @override
    def timeout(self) -> int:
        return int(self.config["request_timeout"])

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        """Send a request again while it fails in ways that may pass; then give up in words."""
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
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise FatalAPIError(self.response_error_message(response))
        try:
            read_page(response)
        except WrongShapeError as error:
            raise RetriableAPIError(f"Drift sent {error}", response) from error

    @override
    def response_error_message(self, response: requests.Response) -> str:
        """Say what a status of failure means for the user; of the body, only Drift's error."""
        status, error = response.status_code, drift_error(response)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
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
        return f"{status} on {self.path}, with no error of Drift's in the answer: check `api_url`."

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> str | None:
        """The start of the run, which no bookmark passes; spelled as bookmarks are."""
        start = super().get_replication_key_signpost(context)
        return spell(start) if start else None

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """A bookmark wins over `start_date`, which is for first runs.

        The SDK takes the later of the two. A scheduler that sets `start_date` anew for each run
        would then skip what was updated since a run that failed.
        """
        return value

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        return read_page(response).rows

    @cached_property
    def _date_times(self) -> list[str]:
        properties = self.schema["properties"].items()
        return [name for name, kind in properties if kind.get("format") == "date-time"]

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record:
        """Turn Drift's epoch milliseconds into date-times where the schema has date-times.

        Args:
            row: A row, as Drift sent it.
            context: Not used.

        Returns:
            The record.

        Raises:
            FatalSyncError: If the row has no id, or something else where a time should be.
        """
        for key in self.primary_keys:
            if row.get(key) is None:
                raise FatalSyncError(f"Drift sent a row of `{self.name}` without `{key}`.")
        for name in self._date_times:
            if row.get(name) is not None:
                row[name] = self._date_time(row, name)
        return row

    def _date_time(self, row: Record, name: str) -> str:
        try:
            return from_epoch_ms(row[name])
        except (TypeError, OverflowError):
            key = ", ".join(str(row[key]) for key in self.primary_keys)
            raise FatalSyncError(
                f"Drift sent no epoch milliseconds in `{name}` of `{self.name}` {key}."
            ) from None


def _says_more_than_the_error(record: logging.LogRecord) -> bool:
    """Drop the SDK's line before every error that ends a stream: the error speaks for itself."""
    return not record.msg.startswith("An unhandled error occurred")
