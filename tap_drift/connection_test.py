"""Whether it works: one request for each stream that is selected, and a line to say what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from singer_sdk.exceptions import FatalAPIError

from tap_drift.api.auth import DRIFT
from tap_drift.api.client import RequestRefusedError
from tap_drift.exceptions import sentences
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.per_conversation import PerConversationStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row
    from tap_drift.streams.base import DriftStream


def works(streams: Iterable[DriftStream], client: DriftClient, say: Callable[[str], None]) -> bool:
    """Ask once for each stream that is selected, and for the listing if a child of it is.

    Args:
        streams: All streams of the tap.
        client: What sends their requests.
        say: Takes a line for each stream, and one for the scopes of the token if Drift tells them.

    Returns:
        Whether all of them work.
    """
    chosen = [stream for stream in streams if stream.selected or stream.has_selected_descendents]
    if not chosen:
        say("No stream is selected.")
        return False
    client.tries_once = True
    scopes = _scopes(client, chosen[0].config)
    if scopes is not None:
        say(f"scopes of the token: {scopes or 'none'}")
    conversations: list[Row] = []
    failed = []
    for stream in sorted(chosen, key=lambda stream: isinstance(stream, PerConversationStream)):
        try:
            outcome = _try(stream, conversations)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said in words
            outcome = " ".join(sentences(error))
            failed.append(stream)
        say(f"{stream.name}: {outcome}")
    return not failed


def _try(stream: DriftStream, conversations: list[Row]) -> str:
    if not isinstance(stream, PerConversationStream):
        page = next(stream.pages())
        if isinstance(stream, ConversationsStream):
            conversations += page.rows
        return "works"
    contexts = filter(None, map(stream.context_of, conversations))
    context = next(contexts, None)
    if context is None:
        raise FatalAPIError("Not tried: there is no conversation to try it on.")
    try:
        next(stream.pages(context=context))
    except RequestRefusedError as refusal:
        if not refusal.is_gone:
            raise
        return f"works, though {refusal.path} is gone"
    return "works"


def _scopes(client: DriftClient, config: Mapping[str, Any]) -> str | None:
    """Ask Drift which scopes the token has; it need not answer."""
    url = str(config.get("api_url", DRIFT)).rstrip("/") + "/app/token_info"
    try:
        token = client.authenticator.token()
        answer = client.session.post(
            url,
            json={"access_token": token},
            headers={"User-Agent": config["user_agent"]},
            timeout=int(config["request_timeout"]),
        )
        answer.raise_for_status()
        return str(answer.json()["scope"])
    except (FatalAPIError, KeyError, TypeError, ValueError, requests.RequestException):
        return None
