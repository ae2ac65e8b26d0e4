"""Item reader: requests the records of single conversations and contacts into the store."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from tap_drift.exceptions import ItemFailedError, ItemNotFoundError
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.outages import OutageCheck
from tap_drift.timestamps import format_timestamp
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_drift.streams.per_conversation import PerConversationStream
    from tap_drift.tap import TapDrift
    from tap_drift.verify.store import Store

logger = logging.getLogger("drift-verify")

_MAX_FAILED_FIRST = 20
"""If so many single requests of a stream fail, and none has succeeded, it is given up."""

Request: TypeAlias = "tuple[type[PerConversationStream], str, dict[str, int]]"
"""A kind of stream, the name under which its records are stored, and what is requested."""


class ItemReader:
    """Requests single conversations and contacts, without the listing."""

    def __init__(self, tap: TapDrift, store: Store) -> None:
        """Create a reader; it sends no request yet."""
        self._tap = tap
        self._store = store
        self._streams: dict[type[PerConversationStream], PerConversationStream] = {}
        self._answered: set[str] = set()
        self._lock = threading.Lock()
        self._outages = OutageCheck(ConversationsStream(tap, tap.client))
        self.unread: Counter[str] = Counter()
        """Number of items that could not be read, by stream."""

        self.refusals: list[dict[str, Any]] = []
        """Why each of them could not be read."""

        self.failed_streams: set[str] = set()
        """Names of the streams that could not be read, in whatever way."""

    def read_all(self, requests: list[Request]) -> None:
        """Request records, several at a time, and store them; not of streams that have failed."""
        requests = [each for each in requests if each[1] not in self.failed_streams]
        with ThreadPoolExecutor(int(self._tap.config["concurrency"])) as pool:
            results = pool.map(self._request, requests)
            for (_, name, _), records in zip(requests, results, strict=True):
                self._add(name, records)

    def read(self, kind: type[PerConversationStream], name: str, context: dict[str, int]) -> None:
        """Request single records and store them as records of stream `name`."""
        self._add(name, self._request((kind, name, context)))

    def _request(self, request: Request) -> list[Record] | ItemFailedError:
        """Request single records, in any thread; returns none if Drift does not have them."""
        kind, _, context = request
        try:
            return self._stream_of(kind).fetch(context).records
        except ItemNotFoundError:
            return []
        except ItemFailedError as error:
            return error

    def _stream_of(self, kind: type[PerConversationStream]) -> PerConversationStream:
        # New stream objects: those of the tap have ended and no longer accept responses.
        with self._lock:
            if kind not in self._streams:
                self._streams[kind] = kind(self._tap, self._tap.client)
                self._streams[kind].outages = self._outages
            return self._streams[kind]

    def _add(self, name: str, result: list[Record] | ItemFailedError) -> None:
        if isinstance(result, ItemFailedError):
            self._add_refusal(name, result)
        else:
            self._add_records(name, result)

    def _add_refusal(self, name: str, error: ItemFailedError) -> None:
        logger.warning("%s", error)
        self.unread[name] += 1
        if self.unread[name] >= _MAX_FAILED_FIRST and name not in self._answered:
            self.failed_streams.add(name)
        self.refusals.append(
            {
                "stream": name,
                "reason": str(error),
                "httpStatus": error.status,
                "requestedAt": format_timestamp(datetime.now(UTC)),
            }
        )

    def _add_records(self, name: str, records: list[Record]) -> None:
        self._answered.add(name)
        if name == ConversationsStream.name:  # a record of its details has more fields
            declared = self._store.fields[name].declared
            records = [{field: record.get(field) for field in declared} for record in records]
        for record in records:
            self._store.add(Side.SOURCE, name, record, None)
