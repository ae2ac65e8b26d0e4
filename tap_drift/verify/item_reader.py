"""Item reader: requests the records of single conversations and contacts into the store."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tap_drift.exceptions import ItemFailedError, ItemNotFoundError
from tap_drift.streams.attachments import AttachmentsStream
from tap_drift.streams.conversation_children import MessagesStream
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.outages import OutageCheck
from tap_drift.timestamps import format_timestamp
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from singer_sdk.helpers.types import Record

    from tap_drift.streams.items import FetchResult
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
        pool = ThreadPoolExecutor(int(self._tap.config["concurrency"]))
        try:
            futures = self._submit(pool, requests)
            for (_, name, _), future in zip(requests, futures, strict=True):
                self._add(name, future.result)
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, kind: type[PerConversationStream], name: str, context: dict[str, int]) -> None:
        """Request single records and store them as records of stream `name`."""
        self._add(name, partial(self._stream_of(kind).fetch, context))

    def _submit(
        self, pool: ThreadPoolExecutor, requests: list[Request]
    ) -> list[Future[FetchResult]]:
        """Submit requests; attachments are read from their messages, if these are requested."""
        futures = []
        messages: dict[int, Future[FetchResult]] = {}
        for kind, _, context in requests:
            stream, conversation_id = self._stream_of(kind), context.get("conversationId", 0)
            if isinstance(stream, AttachmentsStream) and conversation_id in messages:
                future = pool.submit(stream.fetch_from, messages[conversation_id], context)
            else:
                future = pool.submit(stream.fetch, context)
            if isinstance(stream, MessagesStream):
                messages[conversation_id] = future
            futures.append(future)
        return futures

    def _stream_of(self, kind: type[PerConversationStream]) -> PerConversationStream:
        # New stream objects: those of the tap have ended and no longer accept responses.
        if kind not in self._streams:
            self._streams[kind] = kind(self._tap, self._tap.client)
            self._streams[kind].outages = self._outages
        return self._streams[kind]

    def _add(self, name: str, fetch: Callable[[], FetchResult]) -> None:
        """Store what was requested; nothing if Drift does not have it."""
        try:
            records = fetch().records
        except ItemNotFoundError:
            records = []
        except ItemFailedError as error:
            self._add_refusal(name, error)
            return
        self._add_records(name, records)

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
        for stream_map in self._tap.streams[name].stream_maps:
            for record in records:
                mapped = stream_map.transform(record)
                if mapped is not None:  # not filtered out
                    self._store.add(Side.SOURCE, stream_map.stream_alias, mapped, None)
