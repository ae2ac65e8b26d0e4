"""Asking Drift for what it has now: the tap itself, once more, into the store."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

from tap_drift.api.client import RequestRefusedError
from tap_drift.exceptions import StreamsFailedError
from tap_drift.streams.conversation_children import (
    ContactsStream,
    ConversationChildStream,
    ConversationDetailsStream,
)
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.stats import ConversationStatsStream
from tap_drift.sync.shards import Shard
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift
from tap_drift.timestamps import spell
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from singer_sdk.helpers.types import Record

    from tap_drift.streams.per_conversation import PerConversationStream
    from tap_drift.verify.store import Store

logger = logging.getLogger("drift-verify")

_UNLISTED = """
SELECT DISTINCT conversation FROM record AS a
WHERE side = 0 AND conversation IS NOT NULL AND stream <> 'meetings' AND NOT EXISTS (
    SELECT 1 FROM record
    WHERE side = 1 AND stream = 'conversations' AND key = CAST(a.conversation AS TEXT)
)
"""
# Contacts that arrived or are referred to, and that the tap did not ask for just now.
_UNASKED = """
SELECT key FROM (
    SELECT key FROM record WHERE side = 0 AND stream = 'contacts'
    UNION SELECT key FROM reference WHERE side = 0 AND stream = 'contacts'
) WHERE key NOT IN (SELECT key FROM reference WHERE side = 1 AND stream = 'contacts')
"""


class Recorder(MessageWriter):
    """Notes records instead of writing them."""

    def __init__(self, store: Store, tell: Callable[[int], None]) -> None:
        """Begin with none.

        Args:
            store: Where to note them.
            tell: Takes how many records there are so far.
        """
        super().__init__()
        self._store = store
        self._tell = tell
        self._records = 0

    @override
    def write_record(
        self, stream: str, record: Record, version: int | None, read_at: datetime | None
    ) -> None:
        self._store.note(Side.DRIFT, stream, record, None)
        self._records += 1
        self._tell(self._records)

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, RecordMessage):
            self.write_record(message.stream, message.record, None, None)

    @override
    def flush(self) -> None:
        pass


class Counts(NamedTuple):
    """What Drift counts by itself, and what it lists, by status."""

    before: dict[str, int]
    """Its own counts before the listing was read."""

    after: dict[str, int]
    """And afterwards."""

    listed: dict[str, int]
    """How many the listing had."""

    moved: int
    """How many conversations were updated while all this was asked."""

    def differing(self) -> list[str]:
        """Name the statuses of which the listing has more or less than Drift counts.

        Whatever was updated while it was read may stand in either count, or in both.

        Returns:
            The statuses.
        """
        return [
            status
            for status in self.before
            if not (
                min(self.before[status], self.after.get(status, 0)) - self.moved
                <= self.listed.get(status, 0)
                <= max(self.before[status], self.after.get(status, 0)) + self.moved
            )
        ]


class Drift:
    """An account, as Drift has it now."""

    def __init__(
        self, config: dict[str, Any], store: Store, tell: Callable[[int], None], *, env: bool
    ) -> None:
        """Know how to ask; nothing is asked yet.

        Args:
            config: The tap's settings.
            store: Where to note what there is.
            tell: Takes how many records were read so far.
            env: Whether the environment has settings too.

        Raises:
            ConfigValidationError: If the settings are wrong.
        """
        config = {name: value for name, value in config.items() if name != "batch_config"}
        self._store = store
        self.failed: set[str] = set()
        """The names of the streams that could not be asked for."""

        self._strangers: dict[type[PerConversationStream], PerConversationStream] = {}
        self._tap = TapDrift(
            config=config, parse_env_config=env, message_writer=Recorder(store, tell)
        )

        settings = self._tap.config
        store.is_narrowed = bool(settings.get("statuses") or settings.get("start_date"))

    @property
    def lookback(self) -> timedelta:
        """How far listings may lag behind."""
        return timedelta(seconds=int(self._tap.config["lookback_seconds"]))

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return sum(self._tap.client.sent.values())

    def read(self, names: Collection[str]) -> Counts | None:
        """Note all that there is now.

        Args:
            names: The streams to read.

        Returns:
            Drift's own counts; None if there are none to compare with.

        Raises:
            StreamsFailedError: If the listing, or no stream at all, could be read.
        """
        for stream in self._tap.drift_streams:
            stream.selected = stream.name in names
        family = [each for each in self._tap.drift_streams if _is_of_conversations(each)]
        if not any(stream.selected for stream in family):
            self._sync()
            return None
        # The children's rows are judged by their conversations.
        self._tap.streams[ConversationsStream.name].selected = True
        began = datetime.now(timezone.utc)
        before = self._counts()
        self._sync()
        after, listed = self._counts(), self._listed()
        counts = Counts(before, after, listed, self._moved(began)) if before else None
        self._ask_for_the_unlisted(set(names) - self.failed)
        return counts

    def _sync(self) -> None:
        try:
            self._tap.sync_all()
        except StreamsFailedError:
            self.failed = {each.name for each in self._tap.drift_streams if each.failure}
            selected = {each.name for each in self._tap.drift_streams if each.selected}
            if ConversationsStream.name in self.failed or self.failed >= selected:
                raise

    def _counts(self) -> dict[str, int]:
        """Drift's own counts of what the listing should have; none if it cannot say."""
        if "start_date" in self._tap.config or not Shard.from_config(self._tap.config).is_all:
            return {}
        wanted = self._tap.config.get("statuses")
        stats = ConversationStatsStream(self._tap, self._tap.client)
        try:
            records = list(stats.get_records(None))
        except RequestRefusedError:
            return {}  # if that is for the token, the listing will say so
        except FatalSyncError as error:
            logger.warning("Drift's own counts could not be read: %s", error)
            return {}
        counts = {record["status"].lower(): record["conversationCount"] for record in records}
        return {each: count for each, count in counts.items() if not wanted or each in wanted}

    def _listed(self) -> dict[str, int]:
        return dict(
            self._store.rows(
                "SELECT status, count(*) FROM record WHERE side = 1 AND stream = 'conversations' "
                "GROUP BY status"
            )
        )

    def _moved(self, began: datetime) -> int:
        """Count what is above where the walk began: it may have moved away under it."""
        since = spell(began - self.lookback)
        moved: set[int] = set()
        stream = ConversationsStream(self._tap, self._tap.client)
        for page in stream.pages():
            records = stream.to_records(page.rows)
            found = {record["id"] for record in records if record["updatedAt"] >= since}
            moved |= found
            if len(found) < len(records):
                break
        return len(moved)

    def _ask_for_the_unlisted(self, names: Collection[str]) -> None:
        """Ask, one by one, for what arrived or is referred to, and was not met.

        What was updated meanwhile has moved away under the walk, and with `statuses` it may have
        another one by now: that it is not listed does not say that it is gone.
        """
        taken = [stream for stream in self._tap.drift_streams if stream.name in names]
        children = [stream for stream in taken if isinstance(stream, ConversationChildStream)]
        if ContactsStream.name in names:
            for (key,) in self._store.rows(_UNASKED):
                for record in self._each(ContactsStream, {"contactId": int(key)}):
                    self._store.note(Side.DRIFT, ContactsStream.name, record, None)
        for (number,) in self._store.rows(_UNLISTED):
            context = {"conversationId": number}
            for record in self._each(ConversationDetailsStream, context):
                self._store.note(Side.DRIFT, ConversationsStream.name, record, None)
            for child in children:
                for record in self._each(type(child), context):
                    self._store.note(Side.DRIFT, child.name, record, None)

    def _each(self, kind: type[PerConversationStream], context: dict[str, int]) -> list[Record]:
        # Streams of its own: the tap's no longer wait for answers.
        if kind not in self._strangers:
            self._strangers[kind] = kind(self._tap, self._tap.client)
        stream = self._strangers[kind]
        return _found(lambda: list(stream.get_records(context)))


def _is_of_conversations(stream: object) -> bool:
    return isinstance(stream, (ConversationsStream, ConversationChildStream, ContactsStream))


def _found(ask: Callable[[], list[Record]]) -> list[Record]:
    """What there is; nothing, if Drift has no such thing."""
    try:
        return ask()
    except RequestRefusedError as refusal:
        if not refusal.is_gone:
            raise
        return []
