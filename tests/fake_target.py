"""FakeTarget: a Singer target in memory, compared with the account it was loaded from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift

WALK_STREAMS = {
    "conversations": ("id", "status", "updatedAt"),
    "conversation_details": ("id", "status", "updatedAt"),
    "messages": ("id", "conversationId"),
    "transcripts": ("conversationId", "transcript"),
    "contacts": ("id",),
}
"""The streams of the conversation walk, each with its key and the other fields to compare."""

FULL_TABLES = {"accounts": ("accountId",), "meetings": ("slug",)}
"""Some streams that are read completely in each run, with their keys."""

_FIELDS = WALK_STREAMS | FULL_TABLES


def _comparable(stream: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the compared fields of a row of Drift's or of a record."""
    fields = {name: row.get(name) for name in _FIELDS[stream]}
    updated_at = fields.get("updatedAt")
    if isinstance(updated_at, int):
        fields["updatedAt"] = from_epoch_ms(updated_at)
    return tuple(fields.values())


class FakeTarget:
    """A target that upserts by key, and commits its rows and the state at each STATE message.

    Records of an interrupted run after its last STATE are lost.
    """

    def __init__(self, messages: list[dict[str, Any]] | None = None) -> None:
        self.tables: dict[str, dict[Any, tuple[Any, ...]]] = {name: {} for name in _FIELDS}
        self.state: dict[str, Any] | None = None
        self.load(messages or [])

    @property
    def conversations(self) -> dict[Any, tuple[Any, ...]]:
        """The committed conversations by id."""
        return self.tables["conversations"]

    def load(self, messages: list[dict[str, Any]]) -> None:
        """Load the messages of a run, up to the last STATE."""
        uncommitted: list[tuple[str, tuple[Any, ...]]] = []
        for message in messages:
            if message["type"] == "RECORD":
                stream = message["stream"]
                uncommitted.append((stream, _comparable(stream, message["record"])))
            if message["type"] == "STATE":
                for stream, row in uncommitted:
                    self.tables[stream][row[0]] = row
                uncommitted = []
                self.state = message["value"]

    def missing(self, drift: FakeDrift, *streams: str) -> set[tuple[Any, ...]]:
        """Return the rows in which target and account differ; of `conversations` by default."""
        return {
            (stream, *row)
            for stream in streams or ("conversations",)
            for row in {_comparable(stream, row) for row in drift.source_rows(stream)}
            ^ set(self.tables[stream].values())
        }
