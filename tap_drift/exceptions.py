"""Failures of Drift and of the network, in words that name no secret and quote no conversation."""

from __future__ import annotations

from traceback import format_tb
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import requests
from singer_sdk.exceptions import ConfigValidationError, FatalSyncError, SingerSDKError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_QUOTE = 300


class StreamsFailedError(FatalSyncError):
    """Streams failed, and the others are complete."""

    def __init__(self, failures: Mapping[str, Exception], selected: int) -> None:
        """Say which, and why.

        Args:
            failures: What ended each, by the stream's name.
            selected: How many streams there were to read.
        """
        self.failures = dict(failures)
        self.sentences = [
            f"{name} failed: {' '.join(sentences(error))}" for name, error in failures.items()
        ]
        if selected > 1:
            kept = " The state of the others is kept." if len(failures) < selected else ""
            self.sentences.append(
                f"{len(failures)} of {selected} streams failed: {', '.join(failures)}.{kept}"
            )
        super().__init__("\n".join(self.sentences))


def drift_error(response: requests.Response) -> str:
    """Quote the error of Drift's in an answer, and nothing else of it.

    Drift documents `{"error": {"type", "message"}}` and `{"errors": [{"type", "message"}]}`.

    Args:
        response: An answer of any kind.

    Returns:
        `type: message` on one line, or an empty string if the answer holds no error of Drift's.
        The secrets that were sent are masked, should Drift repeat them.
    """
    try:
        answer = response.json()
    except (RecursionError, ValueError):
        return ""
    body = answer if isinstance(answer, dict) else {}
    errors = body.get("errors") or [body.get("error")]
    error = errors[0] if isinstance(errors, list) else None
    parts = [error.get("type"), error.get("message")] if isinstance(error, dict) else []
    text = " ".join(": ".join(part for part in parts if isinstance(part, str)).split())
    for secret in _secrets(response.request):
        text = text.replace(secret, "***")
    return text[:_LONGEST_QUOTE]


def _secrets(request: requests.PreparedRequest) -> list[str]:
    """What nobody may see of a request, the longest first: one may be a part of another."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    form = parse_qs(request.body) if isinstance(request.body, str) else {}
    sent = [token, *form.get("client_secret", ()), *form.get("refresh_token", ())]
    return sorted(filter(None, sent), key=len, reverse=True)


def redirect_target(response: requests.Response) -> str:
    """Name the host that a redirect points to, without path or query.

    Args:
        response: An answer with a status of redirection.

    Returns:
        Scheme and host, or `nowhere`.
    """
    try:
        target = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return "nowhere"
    return f"{target.scheme}://{target.hostname}" if target.hostname else "nowhere"


def cause(error: BaseException) -> str:
    """Say what went wrong underneath a failed request.

    The HTTP library wraps the cause in exceptions whose texts are long and repeat the URL;
    what happened is in the innermost one. The SDK's exceptions carry our own words.

    Args:
        error: What the HTTP library, or the check of an answer, raised.

    Returns:
        A phrase such as `Connection refused`.
    """
    while error.__context__ is not None and not isinstance(error, SingerSDKError):
        error = error.__context__
    words = getattr(error, "strerror", None) or str(error)
    return words or type(error).__name__


def sentences(error: Exception) -> list[str]:
    """Put whatever ended a run into words.

    Args:
        error: What was raised.

    Returns:
        A sentence for each thing that is wrong. The text of an error that nobody foresaw is left
        out, since it can hold anything; at log level DEBUG the run says where it was raised.
    """
    if isinstance(error, StreamsFailedError):
        return error.sentences
    if isinstance(error, ConfigValidationError):
        return error.errors or [str(error)]
    if isinstance(error, SingerSDKError):
        return [str(error)]
    if isinstance(error, requests.RequestException):
        return [f"Drift cannot be asked: {cause(error)}. Check `api_url`."]
    if isinstance(error, OSError) and error.strerror:
        return [f"Cannot use {error.filename or 'standard output'}: {error.strerror}."]
    unforeseen = (
        f"The run failed with a {type(error).__name__} that tap-drift did not foresee. Set "
        "TAP_DRIFT_LOGLEVEL=DEBUG to see where, and report it."
    )
    return [unforeseen]


def traceback(error: BaseException) -> str:
    """Say where an error was raised, and not what it says: that can hold anything.

    Args:
        error: What was raised.

    Returns:
        Lines of code, for the log level DEBUG.
    """
    return "".join(format_tb(error.__traceback__))
