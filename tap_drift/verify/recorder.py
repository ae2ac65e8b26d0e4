"""Recorder: adds the records that the tap reads to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

from tap_drift.sync.writer import MessageWriter
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from singer_sdk.helpers.types import Record

    from tap_drift.verify.store import Store


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
