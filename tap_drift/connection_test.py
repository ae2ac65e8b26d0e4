"""Connection test: sends one request per selected stream, and writes a line with its result."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from singer_sdk.exceptions import FatalAPIError

from tap_drift.exceptions import (
    ItemFailedError,
    RequestRefusedError,
    RetriesExhaustedError,
    user_messages,
)
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.per_conversation import PerConversationStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_drift.api.client import DriftClient
    from tap_drift.api.responses import Row
    from tap_drift.streams.base import DriftStream
    from tap_drift.streams.items import Item


_MAX_ITEMS = 3
"""Number of conversations or contacts to try: a single one can fail by itself."""


def check_streams(
    streams: Iterable[DriftStream], client: DriftClient, write: Callable[[str], object]
) -> bool:
    """Request each selected stream, and the listing if a child of it is selected.

    Each costs one request, unless a single conversation or contact fails.

    Args:
        streams: All streams of the tap.
        client: Their client.
        write: Called with a line for the token's scopes, if known, and a line for each stream.

    Returns:
        Whether all streams work.
    """
    selected = [
        stream
        for stream in streams
        if stream.path and (stream.selected or stream.has_selected_descendents)
    ]
    if not selected:
        write("No stream is selected.")
        return False
    scopes = client.token_scopes()
    if scopes is not None:
        write(f"scopes of the token: {scopes or 'none'}")
    conversations: list[Row] = []
    is_ok = True
    for stream in sorted(selected, key=lambda stream: isinstance(stream, PerConversationStream)):
        try:
            result = _check(stream, conversations)
        except Exception as error:  # noqa: BLE001 - every error becomes a line
            result, is_ok = " ".join(user_messages(error)), False
        write(f"{stream.name}: {result}")
    return is_ok


def _check(stream: DriftStream, conversations: list[Row]) -> str:
    """Request the first page; the rows of the listing are added to `conversations`."""
    first = stream.get_new_paginator().current_value
    if not isinstance(stream, PerConversationStream):
        page = stream.fetch_page(first, retry=False)
        if isinstance(stream, ConversationsStream):
            conversations += page.rows
        return "works"
    failure = FatalAPIError("Not tested: there is no conversation to test it with.")
    for item in islice(_items(stream, conversations), _MAX_ITEMS):
        try:
            stream.fetch_page(first, item.context, retry=False)
        except RequestRefusedError as error:
            if error.is_not_found:
                return f"works, but {error.path} is not found"
            failure = error
        except RetriesExhaustedError as error:
            failure = error
        else:
            return "works"
    raise failure


def _items(stream: PerConversationStream, conversations: list[Row]) -> Iterator[Item]:
    for conversation in conversations:
        # What cannot be requested says nothing about the others.
        with suppress(ItemFailedError):
            if item := stream.item_of(conversation):
                yield item
