"""Reading what arrived: Singer messages of one run, or of several, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.exceptions import FatalSyncError

from tap_drift.timestamps import parse, spell
from tap_drift.verify.store import FAMILY, REFERRED_TO, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from tap_drift.verify.store import Store


class _Message(msgspec.Struct):
    type: str
    stream: str = ""
    key_properties: list[str] | None = None
    record: dict[str, Any] | None = None
    time_extracted: str | None = None
    value: Any = None


_DECODER = msgspec.json.Decoder(_Message)


@dataclass
class Run:
    """What is known of one run."""

    began: datetime | None = None
    """When the first of its records was read; None if it has none."""


@dataclass
class Arrived:
    """What is known of the messages as a whole."""

    runs: dict[str, Run] = field(default_factory=dict)
    """The last run of each stream, by the stream's name."""

    others: set[str] = field(default_factory=set)
    """Names of streams that are none of the tap's."""

    is_cut: bool = False
    """Whether they end in the middle of one."""

    went_on: bool = False
    """Whether the first run went on from where an earlier one had ended."""

    records: int = 0

    @property
    def began(self) -> datetime | None:
        """When the last run of any stream began."""
        return max((run.began for run in self.runs.values() if run.began), default=None)


def read(
    lines: Iterable[bytes], store: Store, lookback: timedelta, tell: Callable[[int], None]
) -> Arrived:
    """Note all records.

    Args:
        lines: Singer messages.
        store: Where to note them.
        lookback: How far Drift's listings may lag behind.
        tell: Takes how many records there are so far.

    Returns:
        What is known of them as a whole.

    Raises:
        FatalSyncError: If a line is no Singer message, or one that cannot be compared.
    """
    reader = _Reader(store, lookback)
    for number, line in enumerate(lines, start=1):
        if reader.takes(line):
            tell(reader.arrived.records)
        elif line.endswith(b"\n"):
            raise FatalSyncError(f"Line {number:,} of the input is not a Singer message.")
        else:
            reader.arrived.is_cut = True
    return reader.arrived


class _Reader:
    """Takes one message after the other."""

    def __init__(self, store: Store, lookback: timedelta) -> None:
        self.arrived = Arrived()
        self._store = store
        self._lookback = lookback
        self._run = Run()
        self._declared: set[str] = set()
        self._has_conversations = False

    def takes(self, line: bytes) -> bool:
        """Take a message, and say whether it is one."""
        try:
            message = _DECODER.decode(line)
            self._take(message)
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        return True

    def _take(self, message: _Message) -> None:
        if message.type == "BATCH":
            raise FatalSyncError(
                "The messages are batches, whose records are in files of their own: run the tap "
                "without `batch_config`, and compare that."
            )
        if message.type == "STATE" and not self.arrived.records:
            self.arrived.went_on |= _has_bookmark(message.value)
        if message.type not in {"SCHEMA", "RECORD"}:
            return
        if message.stream not in self._store.keys:
            self.arrived.others.add(message.stream)
        elif message.type == "SCHEMA":
            self._declare(message)
        else:
            self._note(message)

    def _declare(self, message: _Message) -> None:
        """Take note of a stream; where a run could not declare it any more, a new one has begun.

        Each run declares a stream once, and conversations and their children before their records.
        """
        stream = message.stream
        is_late = self._has_conversations and stream in FAMILY
        if is_late or stream in self._declared:
            self._run, self._declared = Run(), set()
            self._has_conversations = False
        self._declared.add(stream)
        self.arrived.runs[stream] = self._run
        if message.key_properties and stream not in REFERRED_TO:
            self._store.keys[stream] = tuple(message.key_properties)

    def _note(self, message: _Message) -> None:
        if message.record is None:
            raise ValueError
        settled = None
        if message.time_extracted:
            moment = _moment(message.time_extracted)
            self._run.began = min(self._run.began or moment, moment)
            settled = spell(moment - self._lookback)
        self._has_conversations |= message.stream in FAMILY
        self._store.note(Side.ARRIVED, message.stream, message.record, settled)
        self.arrived.runs.setdefault(message.stream, self._run)
        self.arrived.records += 1


# The records of a page have one time.
_moment = lru_cache(maxsize=64)(parse)


def _has_bookmark(state: dict[str, Any]) -> bool:
    bookmarks = state.get("bookmarks") or {}
    return any("replication_key_value" in each or "resume" in each for each in bookmarks.values())
