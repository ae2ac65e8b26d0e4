"""Failures of Drift and of the network, in words that name no secret and quote no conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from singer_sdk.exceptions import SingerSDKError

if TYPE_CHECKING:
    import requests

_LONGEST_QUOTE = 300


def drift_error(response: requests.Response) -> str:
    """Quote the error of Drift's in an answer, and nothing else of it.

    Drift documents `{"error": {"type", "message"}}` and `{"errors": [{"type", "message"}]}`.

    Args:
        response: An answer of any kind.

    Returns:
        `type: message` on one line, or an empty string if the answer holds no error of Drift's.
        The token that was sent is masked, should Drift repeat it.
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
    token = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    return (text.replace(token, "***") if token else text)[:_LONGEST_QUOTE]


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
