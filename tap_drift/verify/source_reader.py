"""Reads what Drift has now by running the tap into the store."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

from tap_drift.exceptions import (
    ItemFailedError,
    ItemNotFoundError,
    RequestRefusedError,
    StreamsFailedError,
)
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
    from collections.abc import Callable, Collection

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
        # With `batch_config`, the tap would write its records to files instead of the recorder.
        config = {name: value for name, value in config.items() if name != "batch_config"}
        self._tap = TapDrift(
            config=config, parse_env_config=env, message_writer=Recorder(store, on_progress)
        )
        self._store = store
        self._probe_streams: dict[type[PerConversationStream], PerConversationStream] = {}
        self._unread_probes: Counter[str] = Counter()
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

    def read(self, names: Collection[str]) -> StatusCounts | None:
        """Read streams into the store.

        Args:
            names: The streams to read. Conversations are read as well for their child streams.

        Returns:
            Drift's counts of conversations; None if they do not apply to these streams or settings,
            or cannot be read.

        Raises:
            StreamsFailedError: If conversations, or all streams, could not be read.
        """
        for stream in self._tap.drift_streams:
            stream.selected = stream.name in names
        if not any(each.selected for each in self._tap.drift_streams if _uses_listing(each)):
            self._sync()
            return None
        # Comparing a child's record requires the conversation's last update.
        self._tap.streams[ConversationsStream.name].selected = True
        counts = self._sync_and_count()
        extracted = set(names) - self.failed_streams
        if ContactsStream.name in extracted:
            self._probe_contacts()
        self._probe_conversations(extracted)
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

    def _fetch_counts(self) -> dict[str, int]:
        """Fetch Drift's counts by status; empty if not comparable with the listing."""
        if (
            "start_date" in self._tap.config
            or not Shard.from_config(self._tap.config).is_whole_account
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
        children = [
            stream
            for stream in self._tap.drift_streams
            if stream.name in names and isinstance(stream, ConversationChildStream)
        ]
        for (conversation_id,) in self._store.execute(_UNLISTED_CONVERSATIONS).fetchall():
            context = {"conversationId": conversation_id}
            self._probe(ConversationDetailsStream, ConversationsStream.name, context)
            for child in children:
                self._probe(type(child), child.name, context)

    def _probe(self, kind: type[PerConversationStream], name: str, context: dict[str, int]) -> None:
        """Request single records and store them as records of stream `name`."""
        # New stream objects: those of the tap have ended and no longer accept responses.
        if kind not in self._probe_streams:
            self._probe_streams[kind] = kind(self._tap, self._tap.client)
            self._probe_streams[kind].outages = self._outages
        try:
            records = self._probe_streams[kind].fetch(context).records
        except ItemNotFoundError:
            return
        except ItemFailedError as error:
            logger.warning("%s", error)
            self._unread_probes[name] += 1
            return
        if name == ConversationsStream.name:  # a record of its details has more fields
            declared = self._store.fields[name].declared
            records = [{field: record.get(field) for field in declared} for record in records]
        for record in records:
            self._store.add(Side.SOURCE, name, record, None)


def _uses_listing(stream: object) -> bool:
    return isinstance(stream, (ConversationsStream, ConversationChildStream, ContactsStream))
