"""Drift's error body without secrets, for messages and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import requests

_MAX_LENGTH = 300


def error_text(response: requests.Response) -> str:
    """Return `type: message` of Drift's error body on one line; empty if there is none.

    Drift documents `{"error": {"type", "message"}}` and `{"errors": [{"type", "message"}]}`.
    Nothing else of the body is quoted. Secrets of the request are masked, in case Drift repeats
    them.
    """
    try:
        body = response.json()
    except (RecursionError, ValueError):
        return ""
    content = body if isinstance(body, dict) else {}
    errors = content.get("errors") or [content.get("error")]
    error = errors[0] if isinstance(errors, list) else None
    parts = [error.get("type"), error.get("message")] if isinstance(error, dict) else []
    text = " ".join(": ".join(part for part in parts if isinstance(part, str)).split())
    for secret in _secrets(response.request):
        text = text.replace(secret, "***")
    return text[:_MAX_LENGTH]


def redirect_host(response: requests.Response) -> str:
    """Return scheme and host of a redirect's target, without path or query."""
    try:
        target = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        return "an unknown host"
    return f"{target.scheme}://{target.hostname}" if target.hostname else "an unknown host"


def _secrets(request: requests.PreparedRequest) -> list[str]:
    """Return the secrets of a request, longest first: one can be a part of another."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    form = parse_qs(request.body) if isinstance(request.body, str) else {}
    sent = [token, *form.get("client_secret", ()), *form.get("refresh_token", ())]
    return sorted(filter(None, sent), key=len, reverse=True)
