"""Reads what Drift has now by running the tap into the store."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import FatalSyncError
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

from tap_drift.exceptions import (
    ItemFailedError,
    ItemNotFoundError,
    RequestRefusedError,
    StreamsFailedError,
)
from tap_drift.settings import SETTINGS
from tap_drift.streams.contacts import ContactsStream
from tap_drift.streams.conversation_children import (
    ConversationChildStream,
    ConversationDetailsStream,
)
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.outages import OutageCheck
from tap_drift.streams.per_conversation import PerConversationStream
from tap_drift.streams.stats import ConversationStatsStream
from tap_drift.sync.new_rows import MAX_PAGES_WITHOUT_NEW_ROWS, NewRowsCheck
from tap_drift.sync.shards import Shard
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift
from tap_drift.timestamps import format_timestamp
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from singer_sdk.helpers.types import Record

    from tap_drift.verify.store import Store

logger = logging.getLogger("drift-verify")

# Conversations of extracted records that the listing did not return.
_UNLISTED_CONVERSATIONS = """
SELECT DISTINCT conversation_id FROM record AS extracted
WHERE side = 0 AND conversation_id IS NOT NULL AND stream <> 'meetings' AND NOT EXISTS (
    SELECT 1 FROM record
    WHERE side = 1 AND stream = 'conversations'
        AND key = CAST(extracted.conversation_id AS TEXT)
)
"""
# Contacts that were extracted or are referred to, and that nothing in Drift refers to.
_UNREQUESTED_CONTACTS = """
SELECT key FROM (
    SELECT key FROM record WHERE side = 0 AND stream = 'contacts'
    UNION SELECT key FROM reference WHERE side = 0 AND stream = 'contacts'
) WHERE key NOT IN (SELECT key FROM reference WHERE side = 1 AND stream = 'contacts')
"""


_LEFT_OUT = {
    "attachments_path",  # the tap would download all files again
    "batch_config",  # the tap would write its records to files instead of the recorder
    "flattening_enabled",  # columns of flattened objects are compared with the objects
    "nested_as_json",  # JSON text is compared with what it means
}
"""Settings that are not used to read Drift."""


_CONTACT_OF = """
SELECT contact_id FROM record
WHERE side = 1 AND stream = 'conversations' AND key = :key AND contact_id IS NOT NULL
"""
_CONVERSATIONS_PER_BATCH = 100

_MAX_FAILED_FIRST = 20
"""If so many single requests of a stream fail, and none has succeeded, it is given up."""

_Request: TypeAlias = tuple[type[PerConversationStream], str, dict[str, int]]
"""A kind of stream, the name under which its records are stored, and what is requested."""


class Recorder(MessageWriter):
    """Adds records to a store instead of writing messages."""

    def __init__(self, store: Store, on_progress: Callable[[int], None]) -> None:
        super().__init__()
        self._store = store
        self._on_progress = on_progress
        self._records = 0

    @override
    def write_record(
        self, stream: str, record: Record, version: int | None, read_at: datetime | None
    ) -> None:
        self._store.add(Side.SOURCE, stream, record, None)
        self._records += 1
        self._on_progress(self._records)

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, RecordMessage):
            self.write_record(message.stream, message.record, None, None)

    @override
    def flush(self) -> None:
        pass


class StatusCounts(NamedTuple):
    """Conversations by status: as Drift's stats count them and as its listing returns them."""

    counted_before: dict[str, int]
    """Drift's stats before the listing was read."""

    counted_after: dict[str, int]
    """Drift's stats after the listing was read."""

    listed: dict[str, int]

    updated: int
    """Number of conversations updated in the meantime."""

    def mismatches(self) -> list[str]:
        """List the statuses whose counts differ by more than `updated` explains.

        A conversation that is updated in the meantime may be in either count, or in both.
        """
        return [status for status in self.counted_before if not self._matches(status)]

    def _matches(self, status: str) -> bool:
        low, high = sorted((self.counted_before[status], self.counted_after.get(status, 0)))
        return low - self.updated <= self.listed.get(status, 0) <= high + self.updated


class SourceReader:
    """Reads the records that Drift has now.

    Args:
        on_progress: Called with the number of records so far.
        env: Whether environment variables provide settings as well.

    Raises:
        ConfigValidationError: If the settings are invalid.
    """

    def __init__(
        self, config: dict[str, Any], store: Store, on_progress: Callable[[int], None], *, env: bool
    ) -> None:
        if env:
            config = config | _settings_in_environment()
        config = {name: value for name, value in config.items() if name not in _LEFT_OUT}
        self._tap = TapDrift(
            config=config, parse_env_config=False, message_writer=Recorder(store, on_progress)
        )
        self._store = store
        self._probe_streams: dict[type[PerConversationStream], PerConversationStream] = {}
        self._unread_probes: Counter[str] = Counter()
        self._refused_probes: list[dict[str, Any]] = []
        self._answered: set[str] = set()
        self._probe_lock = threading.Lock()
        self._outages = OutageCheck(ConversationsStream(self._tap, self._tap.client))
        self.failed_streams: set[str] = set()
        """Names of the streams that could not be read."""

        settings = self._tap.config
        store.is_filtered = bool(settings.get("statuses") or settings.get("start_date"))

    @property
    def lookback(self) -> timedelta:
        """The longest delay with which a change appears in Drift's listings."""
        return timedelta(seconds=int(self._tap.config["lookback_seconds"]))

    @property
    def unread_items(self) -> dict[str, int]:
        """The number of items that could not be read, for each stream that has some."""
        streams = self._tap.drift_streams
        counts = self._unread_probes + Counter(
            {
                stream.name: len(stream.failed_items) + stream.unnamed_failures
                for stream in streams
                if isinstance(stream, PerConversationStream)
            }
        )
        return dict(counts)

    @property
    def request_count(self) -> int:
        """The number of requests sent so far."""
        return sum(self._tap.client.request_counts.values())

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the tap that are not secret."""
        properties = SETTINGS.to_dict()["properties"]
        return {
            name: value
            for name, value in self._tap.config.items()
            if name in properties and not properties[name].get("secret")
        }

    def refusals(self) -> list[dict[str, Any]]:
        """List what Drift refused: streams, and single items with their id."""
        found: list[dict[str, Any]] = []
        for stream in self._tap.drift_streams:
            if stream.failure:
                found.append({"stream": stream.name, "reason": str(stream.failure)})
            if isinstance(stream, PerConversationStream):
                found += [
                    {
                        "stream": stream.name,
                        "id": item.id,
                        "reason": item.reason,
                        "httpStatus": item.status,
                        "requestedAt": item.last_failed_at,
                    }
                    for item in stream.failed_items
                ]
        return found + self._refused_probes

    def read(
        self,
        names: Collection[str],
        children_of: Callable[[], Iterable[int]] | None = None,
        *,
        is_sample: bool = False,
    ) -> StatusCounts | None:
        """Read streams into the store.

        Args:
            names: The streams to read. Conversations are read as well for their child streams.
            children_of: Returns the conversations whose child records are read, when the listing
                has been read; None for all.
            is_sample: Whether only these conversations, and their contacts, are compared.

        Returns:
            Drift's counts of conversations; None if they do not apply to these streams or settings,
            or cannot be read.

        Raises:
            StreamsFailedError: If conversations, or all streams, could not be read.
        """
        for stream in self._tap.drift_streams:
            stream.selected = stream.name in names
            if children_of and isinstance(stream, PerConversationStream):
                # Contacts have no update time: they are always read, except in a sample.
                stream.selected &= stream.name == ContactsStream.name and not is_sample
        listed = {each.name for each in self._tap.drift_streams if _uses_listing(each)}
        if not listed & {*names}:
            self._sync()
            return None
        # Comparing a child's record requires the conversation's last update.
        self._tap.streams[ConversationsStream.name].selected = True
        counts = self._sync_and_count()
        if children_of is not None:
            self._read_children(names, children_of(), with_contacts=is_sample)
        extracted = set(names) - self.failed_streams
        if ContactsStream.name in extracted:
            self._probe_contacts()
        self._probe_conversations([] if is_sample else extracted)
        return counts

    def _sync(self) -> None:
        try:
            self._tap.sync_all()
        except StreamsFailedError:
            streams = self._tap.drift_streams
            self.failed_streams = {each.name for each in streams if each.failure}
            selected = {each.name for each in streams if each.selected}
            is_all = self.failed_streams >= selected
            if is_all or ConversationsStream.name in self.failed_streams:
                raise

    def _sync_and_count(self) -> StatusCounts | None:
        started_at = datetime.now(UTC)
        before = self._fetch_counts()
        self._sync()
        after = self._fetch_counts()
        listed = self._store.count_by_status(Side.SOURCE)
        if not before:
            return None
        return StatusCounts(before, after, listed, self._count_updated_since(started_at))

    @property
    def _is_mapped(self) -> bool:
        """Whether a stream map can exclude conversations."""
        maps = self._tap.streams[ConversationsStream.name].stream_maps
        return any(not isinstance(each, SameRecordTransform) for each in maps)

    def _fetch_counts(self) -> dict[str, int]:
        """Fetch Drift's counts by status; empty if not comparable with the listing."""
        if (
            "start_date" in self._tap.config
            or not Shard.from_config(self._tap.config).is_whole_account
            or self._is_mapped
        ):
            return {}
        stats = ConversationStatsStream(self._tap, self._tap.client)
        try:
            records = list(stats.get_records(None))
        except RequestRefusedError:
            return {}  # a refused token makes the listing fail as well, which is reported
        except FatalSyncError as error:
            logger.warning("Could not read Drift's conversation counts: %s", error)
            return {}
        counts = {record["status"].lower(): record["conversationCount"] for record in records}
        wanted = self._tap.config.get("statuses") or counts
        return {status: count for status, count in counts.items() if status in wanted}

    def _count_updated_since(self, started_at: datetime) -> int:
        """Count the conversations updated since then; the listing has the newest first."""
        since = format_timestamp(started_at - self.lookback)
        updated: set[int] = set()
        stream = ConversationsStream(self._tap, self._tap.client)
        new_rows = NewRowsCheck(stream.path, MAX_PAGES_WITHOUT_NEW_ROWS)
        for page in stream.pages():
            records = stream.to_records(page.rows)
            new_rows.add_page(str(record["id"]) for record in records)
            found = {record["id"] for record in records if record["updatedAt"] >= since}
            updated |= found
            if len(found) < len(records):
                break
        return len(updated)

    def _read_children(
        self, names: Collection[str], ids: Iterable[int], *, with_contacts: bool
    ) -> None:
        """Read the child records of some conversations, and their contacts."""
        children = self._children(names)
        contacts: set[int] = set()
        for batch in _batches(ids, _CONVERSATIONS_PER_BATCH):
            context = [{"conversationId": each} for each in batch]
            requests: list[_Request] = [
                (type(child), child.name, each) for each in context for child in children
            ]
            if with_contacts and ContactsStream.name in names:
                new = {*self._contacts_of(batch)} - contacts
                contacts |= new
                requests += [
                    (ContactsStream, ContactsStream.name, {"contactId": each})
                    for each in sorted(new)
                ]
            self._read_concurrently(requests)

    def _contacts_of(self, ids: list[int]) -> Iterator[int]:
        for each in ids:
            for (contact,) in self._store.execute(_CONTACT_OF, key=str(each)):
                yield contact

    def _read_concurrently(self, requests: list[_Request]) -> None:
        requests = [each for each in requests if each[1] not in self.failed_streams]
        with ThreadPoolExecutor(int(self._tap.config["concurrency"])) as pool:
            results = pool.map(self._request, requests)
            for (_, name, _), records in zip(requests, results, strict=True):
                self._add_records(name, records)

    def _children(self, names: Collection[str]) -> list[ConversationChildStream]:
        return [
            stream
            for stream in self._tap.drift_streams
            if stream.name in names and isinstance(stream, ConversationChildStream)
        ]

    def _probe_contacts(self) -> None:
        """Request single contacts that the sync did not request.

        They are not compared, so those that cannot be read count as those that do not exist.
        """
        for (key,) in self._store.execute(_UNREQUESTED_CONTACTS).fetchall():
            self._probe(ContactsStream, ContactsStream.name, {"contactId": int(key)})
        del self._unread_probes[ContactsStream.name]

    def _probe_conversations(self, names: Collection[str]) -> None:
        """Request single conversations that the sync did not return, with their child records.

        An update during the sync moves a conversation out of reach, and a new status can exclude it
        from the listing. Only a request for the conversation itself shows whether it is deleted.
        """
        children = self._children(names)
        for (conversation_id,) in self._store.execute(_UNLISTED_CONVERSATIONS).fetchall():
            context = {"conversationId": conversation_id}
            self._probe(ConversationDetailsStream, ConversationsStream.name, context)
            for child in children:
                self._probe(type(child), child.name, context)

    def _probe(self, kind: type[PerConversationStream], name: str, context: dict[str, int]) -> None:
        """Request single records and store them as records of stream `name`."""
        self._add_records(name, self._request((kind, name, context)))

    def _request(self, request: _Request) -> list[Record] | ItemFailedError:
        """Request single records, in any thread; returns none if Drift does not have them."""
        kind, _, context = request
        try:
            return self._probe_stream(kind).fetch(context).records
        except ItemNotFoundError:
            return []
        except ItemFailedError as error:
            return error

    def _probe_stream(self, kind: type[PerConversationStream]) -> PerConversationStream:
        # New stream objects: those of the tap have ended and no longer accept responses.
        with self._probe_lock:
            if kind not in self._probe_streams:
                self._probe_streams[kind] = kind(self._tap, self._tap.client)
                self._probe_streams[kind].outages = self._outages
            return self._probe_streams[kind]

    def _add_records(self, name: str, records: list[Record] | ItemFailedError) -> None:
        if isinstance(records, ItemFailedError):
            logger.warning("%s", records)
            self._unread_probes[name] += 1
            if self._unread_probes[name] >= _MAX_FAILED_FIRST and name not in self._answered:
                self.failed_streams.add(name)
            self._refused_probes.append(
                {
                    "stream": name,
                    "reason": str(records),
                    "httpStatus": records.status,
                    "requestedAt": format_timestamp(datetime.now(UTC)),
                }
            )
            return
        self._answered.add(name)
        if name == ConversationsStream.name:  # a record of its details has more fields
            declared = self._store.fields[name].declared
            records = [{field: record.get(field) for field in declared} for record in records]
        for record in records:
            self._store.add(Side.SOURCE, name, record, None)


def _batches(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    remaining = iter(ids)
    while batch := [*islice(remaining, size)]:
        yield batch


def _settings_in_environment() -> dict[str, Any]:
    schema = deepcopy(TapDrift.config_jsonschema)
    TapDrift.append_builtin_config(schema)
    return parse_environment_config(schema, "TAP_DRIFT_")


def _uses_listing(stream: object) -> bool:
    return isinstance(stream, (ConversationsStream, ConversationChildStream, ContactsStream))
