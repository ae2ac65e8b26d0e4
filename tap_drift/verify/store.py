"""What arrived and what Drift has now, side by side, without filling the memory."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from tap_drift.streams import STREAMS
from tap_drift.sync.dedupe import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers.types import Record

_TABLES = """
CREATE TABLE record (
    side INTEGER, stream TEXT, key TEXT,
    conversation INTEGER, status TEXT, made TEXT, version TEXT, settled TEXT,
    PRIMARY KEY (side, stream, key)
) WITHOUT ROWID;
CREATE TABLE reference (
    side INTEGER, stream TEXT, key TEXT, made TEXT,
    PRIMARY KEY (side, stream, key)
) WITHOUT ROWID;
CREATE TABLE finding (stream TEXT, key TEXT, what TEXT);
"""

# When a row came into being; for the others, when it was last updated has to do.
_MADE = {"accounts": "createDateTime", "messages": "createdAt", "users": "createdAt"}

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
REFERRED_TO = {"contacts", "conversations", "playbooks", "users"}
"""The streams whose rows others refer to, by `id`; the others may have any key."""

_STREAMS: Sequence[Any] = STREAMS
FAMILY = {each.name for each in _STREAMS if each.parent_stream_type} | {"conversations"}
"""Conversations, and the streams that are read along with them."""

_AUTHORS = {"contact": "contacts", "user": "users"}


class Side(IntEnum):
    """Where a record was met."""

    ARRIVED = 0
    DRIFT = 1


class Store:
    """Of each record, what is needed to compare it; on disk, once there are many."""

    def __init__(self) -> None:
        self.db = temporary_database(self)
        self.db.executescript(_TABLES)
        self.keys = {each.name: tuple(each.primary_keys) for each in _STREAMS}
        """The properties that are the key of each stream."""

        self.is_narrowed = False
        """Whether the settings leave conversations out; those who only met are left out too."""

    def note(self, side: Side, stream: str, record: Record, settled: str | None) -> None:
        """Note a record; the last one of a key counts, as it does in a target.

        Args:
            side: Where it was met.
            stream: Its stream.
            record: The record.
            settled: What was there by then was read along with it, as records spell times; None if
                nobody knows.

        Raises:
            KeyError: If it has no key.
        """
        key = [record[name] for name in self.keys[stream]]
        version = record.get("updatedAt") or record.get("updateDateTime")
        made = record.get(_MADE[stream]) if stream in _MADE else version
        conversation = record["id"] if stream == "conversations" else record.get("conversationId")
        status = record.get("status") if stream == "conversations" else None
        self.db.execute(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (side, stream, _text(key), conversation, status, made, version, settled),
        )
        # Of Drift's side, only what the tap goes by when it asks for contacts.
        if side is Side.ARRIVED or stream == "conversations":
            self.db.executemany(
                "INSERT INTO reference VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET made = min(made, excluded.made)",
                [
                    (side, target, _text([to]), version)
                    for target, to in self._references(stream, record)
                ],
            )

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask.

        Args:
            query: SQL.
            values: What its parameters stand for.

        Returns:
            The rows.
        """
        return self.db.execute(query, values).fetchall()

    def _references(self, stream: str, record: Record) -> Iterator[tuple[str, int]]:
        """What a record refers to: a stream and an id each."""
        author = record.get("author") or {}
        if (
            stream == "messages"
            and author.get("type") in _AUTHORS
            and isinstance(author["id"], int)
        ):
            yield _AUTHORS[author["type"]], author["id"]
        for name, target in _REFERENCES.get(stream, {}).items():
            if self.is_narrowed and (stream, target) == ("meetings", "contacts"):
                continue
            value = record.get(name)
            for to in value if isinstance(value, list) else [value]:
                if isinstance(to, int):
                    yield target, to


def _text(key: list[Any]) -> str:
    return msgspec.json.encode(key[0] if len(key) == 1 else key).decode()
