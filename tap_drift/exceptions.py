"""Exceptions of the tap, and the messages that users see for any exception.

| exception | base | meaning |
|---|---|---|
| `UnexpectedResponseError` | `ValueError` | a response with an unexpected shape; retried |
| `RetriesExhaustedError` | `FatalAPIError` | a request failed until its retries were used up |
| `RequestRefusedError` | `FatalAPIError` | Drift refused a request; retrying cannot help |
| `RequestCancelledError` | `FatalAPIError` | the stream ended while the request was waiting |
| `TokenRefusedError` | `FatalAPIError` | Drift refused to refresh an OAuth token |
| `PaginationLoopError` | `FatalAPIError` | a page links to a page already read |
| `InvalidRecordError` | `FatalSyncError` | a row cannot become a record |
| `StreamsFailedError` | `FatalSyncError` | one or more streams failed; raised at the end |
| `TokenNotSavedError` | `Exception` | a refresh token cannot be saved |

The SDK's `RetriableAPIError` is raised for a response that is retried, its `FatalAPIError` and
`FatalSyncError` for other errors that end a stream, and its `ConfigValidationError` for invalid
settings, catalog and state.
"""

from __future__ import annotations

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
_NOT_FOUND = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class UnexpectedResponseError(ValueError):
    """A response with an unexpected shape. The message does not quote the body."""


class RetriesExhaustedError(FatalAPIError):
    """A request failed until its retries were used up."""


class RequestRefusedError(FatalAPIError):
    """Drift refused a request, and retrying cannot help."""

    def __init__(self, message: str, path: str, status: int) -> None:
        super().__init__(message)
        self.path = path
        self.is_not_found = status in _NOT_FOUND
        """Whether Drift answered 404 or 410."""
        self.rejects_request = status >= HTTPStatus.BAD_REQUEST and status not in TOKEN_REFUSED
        """Whether the status is a client or server error other than 401 and 403."""


class RequestCancelledError(FatalAPIError):
    """The stream ended while the request was waiting to be sent."""


class TokenRefusedError(FatalAPIError):
    """Drift refused to refresh the token of the OAuth app in the settings."""


class PaginationLoopError(FatalAPIError):
    """A page links to a page already read."""


class InvalidRecordError(FatalSyncError):
    """A row cannot become a record; the message quotes no text of the row."""


class TokenNotSavedError(Exception):
    """A refresh token cannot be saved; the message says why."""


class StreamsFailedError(FatalSyncError):
    """One or more streams failed; the other streams are complete."""

    def __init__(self, failures: Mapping[str, Exception], selected: int) -> None:
        """Create the error.

        Args:
            failures: The exception that ended each stream, by the stream's name.
            selected: Number of streams that were read, failed streams included.
        """
        self.failures = dict(failures)
        self.messages = [
            f"{name} failed: {' '.join(user_messages(error))}" for name, error in failures.items()
        ]
        if selected > 1:
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
        return [str(error)]
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
