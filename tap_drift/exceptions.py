"""Exceptions of the tap, and the messages that users see for any exception.

| exception | base | meaning |
|---|---|---|
| `UnexpectedResponseError` | `ValueError` | a response with an unexpected shape; retried |
| `RetriesExhaustedError` | `FatalAPIError` | a request failed until its retries were used up |
| `RequestRefusedError` | `FatalAPIError` | Drift refused a request; retrying cannot help |
| `RequestCancelledError` | `FatalAPIError` | the stream ended while the request was waiting |
| `EndlessPaginationError` | `FatalAPIError` | pages do not come to an end |
| `ItemFailedError` | `FatalAPIError` | a single conversation or contact cannot be read |
| `ItemNotFoundError` | `FatalAPIError` | a single conversation or contact does not exist |
| `TokenUnavailableError` | `FatalAPIError` | there is no valid OAuth token |
| `TokenRefusedError` | `TokenUnavailableError` | Drift refused to refresh the OAuth token |
| `TokenNotSavedError` | `TokenUnavailableError` | a refresh token could not be saved |
| `InvalidJsonError` | `ValueError` | a file that the user passed is not JSON |
| `InvalidRecordError` | `FatalSyncError` | a row cannot become a record |
| `FailedItemsError` | `FatalSyncError` | a stream lacks more items than allowed |
| `StreamsFailedError` | `FatalSyncError` | the run is over, and streams failed |

The SDK's `RetriableAPIError` is raised for a response that is retried, its `FatalAPIError` and
`FatalSyncError` for other errors that end a stream, and its `ConfigValidationError` for invalid
settings, catalog and state.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from traceback import format_tb
from typing import TYPE_CHECKING

import requests
from singer_sdk.exceptions import (
    ConfigValidationError,
    FatalAPIError,
    FatalSyncError,
    SingerSDKError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_RUN_AGAIN = " Nothing is lost: run again when Drift is reachable."
_NOT_FOUND = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class UnexpectedResponseError(ValueError):
    """A response with an unexpected shape. The message does not quote the body."""


class InvalidJsonError(ValueError):
    """A file that the user passed is not JSON. The message does not quote it."""


class RetriesExhaustedError(FatalAPIError):
    """A request failed until its retries were used up."""

    def __init__(
        self, message: str, *, attempts: int, status: int | None, failed_before: float
    ) -> None:
        """Build the error.

        Args:
            message: What failed.
            attempts: Number of attempts.
            status: Status of the last response, if there was one.
            failed_before: When the attempt before the last one failed; monotonic seconds.
        """
        super().__init__(message)
        self.attempts = attempts
        self.status = status
        self.failed_before = failed_before


class RequestRefusedError(FatalAPIError):
    """Drift refused a request, and retrying cannot help."""

    def __init__(self, message: str, path: str, status: int) -> None:
        super().__init__(message)
        self.path = path
        self.status = status
        self.is_not_found = status in _NOT_FOUND
        """Whether Drift answered 404 or 410."""
        self.rejects_request = status >= HTTPStatus.BAD_REQUEST and status not in TOKEN_REFUSED
        """Whether the status is a client or server error other than 401 and 403."""


class RequestCancelledError(FatalAPIError):
    """The stream ended while the request was waiting to be sent."""


class TokenUnavailableError(FatalAPIError):
    """There is no valid OAuth token, and none can be had in this run."""


class TokenRefusedError(TokenUnavailableError):
    """Drift refused to refresh the token of the OAuth app in the settings."""


class TokenNotSavedError(TokenUnavailableError):
    """A new refresh token could not be saved, so none is requested."""


class EndlessPaginationError(FatalAPIError):
    """Pages do not come to an end: one links to a page already read, or brings no new row."""


class ItemFailedError(FatalAPIError):
    """The request for a single conversation or contact failed, while Drift answers others."""

    def __init__(self, reason: str, status: int | None = None, *, since: float = -math.inf) -> None:
        """Build the error.

        Args:
            reason: What failed.
            status: Status of the response, if there was one.
            since: If Drift has answered no other request since then (monotonic seconds), the
                failure can be an outage.
        """
        super().__init__(reason)
        is_failure = status is not None and status >= HTTPStatus.MULTIPLE_CHOICES
        self.status = status if is_failure else None
        """HTTP status; None if there was no response, or its content was wrong."""
        self.since = since


class ItemNotFoundError(FatalAPIError):
    """Drift answered 404 or 410 to the request for a single conversation or contact."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not found.")
        self.path = path


class InvalidRecordError(FatalSyncError):
    """A row cannot become a record; the message quotes no text of the row."""


class FailedItemsError(FatalSyncError):
    """A stream is read to its end, but for more items than `max_failed_items` allows."""


class StreamsFailedError(FatalSyncError):
    """The run is over: streams failed, or lack items. All else is complete."""

    def __init__(
        self,
        failures: Mapping[str, Exception],
        selected: int,
        incomplete: Mapping[str, FailedItemsError] | None = None,
    ) -> None:
        """Build the error.

        Args:
            failures: What ended each stream that failed, by the stream's name.
            selected: Number of streams that the run had to read.
            incomplete: The streams that were read, but for single items.
        """
        incomplete = incomplete or {}
        self.failures = {**failures, **incomplete}
        self.messages = [
            f"{name} failed: {' '.join(user_messages(error))}" for name, error in failures.items()
        ]
        self.messages += [f"{name}: {error}" for name, error in incomplete.items()]
        if failures and selected > 1:
            kept = " The state of the other streams is kept." if len(failures) < selected else ""
            self.messages.append(
                f"{len(failures)} of {selected} streams failed: {', '.join(failures)}.{kept}"
            )
        super().__init__("\n".join(self.messages))


def user_messages(error: Exception) -> list[str]:
    """Return the sentences that a user sees for an error that ended a run.

    The text of an unexpected error is omitted, because it can contain a token or a message body.
    """
    if isinstance(error, StreamsFailedError):
        return error.messages
    if isinstance(error, ConfigValidationError):
        return error.errors or [str(error)]
    if isinstance(error, SingerSDKError):
        is_patient = isinstance(error, RetriesExhaustedError) and error.attempts > 1
        return [f"{error}{_RUN_AGAIN if is_patient else ''}"]
    if isinstance(error, requests.RequestException):
        return [f"Cannot send a request to Drift: {root_cause(error)}. Check `api_url`."]
    if isinstance(error, OSError) and error.strerror:
        return [_os_error_message(error)]
    unexpected = (
        f"Unexpected {type(error).__name__}. Set TAP_DRIFT_LOGLEVEL=DEBUG to see where it was "
        "raised, and report it."
    )
    return [unexpected]


def _os_error_message(error: OSError) -> str:
    if error.filename:
        return f"Cannot use {error.filename}: {error.strerror}."
    return f"Cannot write to standard output: {error.strerror}."


def root_cause(error: BaseException) -> str:
    """Return the text of the innermost exception, such as `Connection refused`.

    The HTTP library wraps it in exceptions whose texts repeat the URL. The SDK's exceptions carry
    messages of the tap, and are not unwrapped.
    """
    while error.__context__ is not None and not isinstance(error, SingerSDKError):
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def is_output_error(error: Exception) -> bool:
    """Return whether standard output or a file failed, so that no stream can continue."""
    return isinstance(error, OSError) and not isinstance(error, requests.RequestException)


def traceback_lines(error: BaseException) -> str:
    """Return where an error was raised, without its text, which can contain secrets."""
    return "".join(format_tb(error.__traceback__))
