"""Items: a conversation or contact that a stream requests, its records, and its failure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tap_drift.exceptions import (
    EndlessPaginationError,
    InvalidRecordError,
    ItemFailedError,
    ItemNotFoundError,
    RequestRefusedError,
    RetriesExhaustedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from datetime import datetime

    from singer_sdk.helpers.types import Record

    from tap_drift.api.responses import Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The records of one conversation or contact."""

    records: list[Record]
    read_at: datetime
    size: int
    """Size of the responses in bytes."""

    attachments: list[Row] = field(default_factory=list)
    """The attachments of messages, for the stream `attachments`."""

    authors: set[int] = field(default_factory=set)
    """The contacts that are authors of messages."""

    contacts: list[tuple[Item, Future[FetchResult]]] = field(default_factory=list)
    """The requests for `authors`."""

    missing: list[str] = field(default_factory=list)
    """Paths of the item's parts that were answered 404 or 410."""

    failure: ItemFailedError | None = None
    """Why some of the item's parts could not be read; its other records are in `records`."""

    is_proof: bool = True
    """Whether the requests show that token and path are right."""


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation or contact that a stream requests."""

    id: int
    context: dict[str, Any]
    """Values for the placeholders in the path."""


def send_for_item(request: Callable[[], T], path: str) -> T:
    """Send a request for an item; errors that can be the item's become those of an item.

    Args:
        request: Sends the request.
        path: Path of the item, for messages.

    Raises:
        ItemNotFoundError: If Drift answers 404 or 410.
        ItemFailedError: If the item cannot be read.
    """
    started = time.monotonic()
    try:
        return request()
    except RequestRefusedError as error:
        if error.is_not_found:
            raise ItemNotFoundError(error.path) from None
        raise ItemFailedError(str(error), error.status, since=started) from None
    except RetriesExhaustedError as error:
        raise ItemFailedError(str(error), error.status, since=error.failed_before) from None
    except EndlessPaginationError as error:
        raise ItemFailedError(str(error)) from None
    except InvalidRecordError as error:
        raise ItemFailedError(f"{path}: {error}") from None
