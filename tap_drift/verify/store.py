"""Database of the records that were extracted and those that Drift has now."""

from __future__ import annotations

import time
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from tap_drift.streams import STREAMS
from tap_drift.streams.failed_items import FailedItemsStream
from tap_drift.sync.dedupe import temporary_database
from tap_drift.timestamps import from_epoch_ms
from tap_drift.verify.fields import StreamFields

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers.types import Record

    from tap_drift.verify.canonical import Value

# record.digest, full_digest, parts: see `Digest`.
# reference.referenced_at: the earliest `updatedAt` of the records that refer to `key`.
_TABLES = """
CREATE TABLE record (
    side INTEGER, stream TEXT, key TEXT,
    conversation_id INTEGER, status TEXT, created_at TEXT, updated_at TEXT, covered_until TEXT,
    contact_id INTEGER, digest BLOB, full_digest BLOB, parts BLOB, version INTEGER,
    PRIMARY KEY (side, stream, key)
) WITHOUT ROWID;
CREATE TABLE reference (
    side INTEGER, stream TEXT, key TEXT, referenced_at TEXT,
    PRIMARY KEY (side, stream, key)
) WITHOUT ROWID;
CREATE TABLE file (key TEXT PRIMARY KEY, path TEXT, size INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE finding (stream TEXT, key TEXT, kind TEXT, PRIMARY KEY (stream, key, kind));
"""

# Streams without a creation time use the time of the last update instead.
_CREATED_AT = {"accounts": "createDateTime", "messages": "createdAt", "users": "createdAt"}

_REFERENCES = {
    "accounts": {"ownerId": "users"},
    "conversation_details": {
        "contactId": "contacts",
        "participants": "users",
        "relatedPlaybookId": "playbooks",
    },
    "conversations": {"contactId": "contacts"},
    "landing_pages": {"playbookId": "playbooks"},
    "meetings": {"agentId": "users", "bookedBy": "users", "schedulerId": "contacts"},
    "playbooks": {"createdAuthorId": "users", "updatedAuthorId": "users"},
    "teams": {"members": "users", "owner": "users"},
}
REFERENCED_STREAMS = {"contacts", "conversations", "playbooks", "users"}
"""Streams that other records refer to by `id`; their key cannot be changed in the catalog."""

# Failed items are not Drift's: the tap keeps them in its state.
_STREAMS: Sequence[Any] = [stream for stream in STREAMS if stream is not FailedItemsStream]
CONVERSATION_STREAMS = {each.name for each in _STREAMS if each.parent_stream_type} | {
    "conversations"
}
"""Conversations and their child streams."""

_CONTACT_SOURCES = {"conversations", "messages", "meetings"}
_AUTHOR_STREAMS = {"contact": "contacts", "user": "users"}


_EARLIEST_TIME = 1_300_000_000_000
"""A time in epoch milliseconds, of 2011, before there was Drift: smaller numbers are no times."""


class Side(IntEnum):
    """The origin of a record, as stored in the column `side`."""

    EXTRACTED = 0
    SOURCE = 1
    UNSAMPLED = 2
    """Extracted, and not part of the sample that is compared."""


class Store:
    """The fields needed to compare records, in a temporary database on disk."""

    def __init__(self) -> None:
        self._db = temporary_database(self)
        self._db.executescript(_TABLES)
        self.primary_keys = {each.name: tuple(each.primary_keys) for each in _STREAMS}
        """The key properties of each stream, by its name."""

        self.fields = {each.name: StreamFields(each.name) for each in _STREAMS}
        """The fields of each stream that the data has, by the stream's name."""

        self.is_filtered = False
        """Whether the settings exclude conversations: contacts known only from meetings are then
        excluded too."""

    def add(
        self,
        side: Side,
        stream: str,
        record: Record,
        covered_until: str | None,
        version: int | None = None,
    ) -> None:
        """Store a record; replaces an earlier record with the same key, as a target does.

        Args:
            side: Where the record comes from.
            stream: The stream's name.
            record: The record.
            covered_until: Everything that Drift had at this time was visible when the record was
                read; None if unknown.
            version: The version of the stream that its message names, if any.

        Raises:
            KeyError: If a key property is absent.
        """
        fields = self.fields[stream]
        record = fields.canonical_record(record)
        digest = fields.digest(record, is_source=side is Side.SOURCE)
        key = self._key_of(stream, record)
        updated_at = _update_time(stream, record)
        created_at = record.get(_CREATED_AT[stream]) if stream in _CREATED_AT else updated_at
        is_conversation = stream == "conversations"
        conversation_id = record["id"] if is_conversation else record.get("conversationId")
        status = record.get("status") if is_conversation else None
        self._db.execute(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                side,
                stream,
                key,
                conversation_id,
                status,
                created_at,
                updated_at,
                covered_until,
                record.get("contactId") if is_conversation else None,
                digest.compared,
                digest.all if digest.all != digest.compared else None,
                digest.parts,
                version,
            ),
        )
        if stream == "attachments" and side is Side.EXTRACTED:
            file = [record.get(name) for name in ("path", "size", "sha256")]
            self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?)", (key, *file))
        if side is Side.EXTRACTED or stream in _CONTACT_SOURCES:
            self._add_references(side, stream, record, updated_at or created_at)

    def delete(self, side: Side, stream: str, record: Record) -> None:
        """Delete a record, if there is one with this key.

        Raises:
            KeyError: If a key property is absent.
        """
        key = self._key_of(stream, self.fields[stream].canonical_record(record))
        self.execute(
            "DELETE FROM record WHERE side = :side AND stream = :stream AND key = :key",
            side=side,
            stream=stream,
            key=key,
        )
        if stream == "attachments":
            self.execute("DELETE FROM file WHERE key = :key", key=key)

    def delete_other_versions(self, stream: str, version: int) -> None:
        """Delete the extracted records that a version of a stream lacks, as a target does."""
        self.execute(
            "DELETE FROM record WHERE side = 0 AND stream = :stream AND version IS NOT :version",
            stream=stream,
            version=version,
        )

    def add_finding(self, stream: str, key: str, kind: str) -> None:
        """Store what was found wrong with a record, by its key as in the table `record`."""
        self._db.execute("INSERT INTO finding VALUES (?, ?, ?)", (stream, key, kind))

    def execute(self, sql: str, **parameters: object) -> sqlite3.Cursor:
        """Run one SQL statement with named parameters."""
        return self._db.execute(sql, parameters)

    def count_by_status(self, side: Side) -> dict[str, int]:
        """Count the conversations of one side by status."""
        return dict(
            self.execute(
                "SELECT status, count(*) FROM record "
                "WHERE side = :side AND stream = 'conversations' GROUP BY status",
                side=side,
            )
        )

    def _key_of(self, stream: str, record: Record) -> str:
        return _encode_key([record[name] for name in self.primary_keys[stream]])

    def _add_references(
        self, side: Side, stream: str, record: Record, referenced_at: str | None
    ) -> None:
        """Store what a record refers to; of Drift's, the contacts that the tap requests for it."""
        self._db.executemany(
            "INSERT INTO reference VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET referenced_at = min(referenced_at, excluded.referenced_at)",
            [
                (side, target, _encode_key([target_id]), referenced_at)
                for target, target_id in self._references(stream, record)
                if side is Side.EXTRACTED or target == "contacts"
            ],
        )

    def _references(self, stream: str, record: Record) -> Iterator[tuple[str, int]]:
        """Yield the stream and id of each record that this record refers to."""
        if stream == "messages":
            author = record.get("author") or {}
            target = _AUTHOR_STREAMS.get(author.get("type", ""))
            if target and isinstance(author["id"], int):
                yield target, author["id"]
        for name, target in _REFERENCES.get(stream, {}).items():
            if self.is_filtered and (stream, target) == ("meetings", "contacts"):
                continue
            value = record.get(name)
            for target_id in value if isinstance(value, list) else [value]:
                if isinstance(target_id, int):
                    yield target, target_id


def _update_time(stream: str, record: Record) -> str | None:
    """Return when Drift last updated a record; None if it has no such time."""
    if stream == "contacts":
        return _latest_time(record.get("attributes"))
    return record.get("updatedAt") or record.get("updateDateTime")


def _latest_time(attributes: Value) -> str | None:
    """Return the latest time in the attributes of a contact, which have epoch milliseconds.

    A time in the future, such as that of a planned meeting, is not a time of an update.
    """
    latest, now = 0, time.time() * 1000
    values = [attributes]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif type(value) is int and latest < value <= now:
            latest = value
    return from_epoch_ms(latest) if latest > _EARLIEST_TIME else None


def _encode_key(key: list[Any]) -> str:
    return msgspec.json.encode(key[0] if len(key) == 1 else key).decode()
