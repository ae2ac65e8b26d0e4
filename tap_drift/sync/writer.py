"""Writer: Singer messages on standard output, as whole lines, a page at a time."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from singer_sdk.helpers.types import Record

# Decimals are written as numbers with all their digits, types that JSON does not have as text.
ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)

MAX_BUFFER_BYTES = 1 << 20
"""Size of the buffer from which lines are written before `flush`."""


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Buffers RECORD lines until `flush` or the next other message, up to a size.

    Any other message is written at once, after all lines before it, so that a STATE is never
    written before the records that it covers.
    """

    def __init__(self, output: BinaryIO | None = None) -> None:
        """Create an empty buffer.

        Args:
            output: Where lines are written; standard output by default.
        """
        self._output = output
        self._buffer = bytearray()
        self._is_writing = False
        self._deferred: Callable[[], None] | None = None

    @override
    def serialize_message(self, message: Message) -> bytes:
        return ENCODER.encode(message.to_dict()) + b"\n"

    @override
    def write_message(self, message: Message) -> None:
        self.add(self.serialize_message(message))
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_record(
        self, stream: str, record: Record, version: int | None, read_at: datetime | None
    ) -> None:
        """Write a RECORD message for a record that needs no mapping.

        Args:
            stream: Name of the stream.
            record: The record.
            version: Version of a full table, if it has one.
            read_at: When the record was read, UTC.
        """
        before, after = _around_record(stream, version, read_at)
        self.add(before + ENCODER.encode(record) + after)

    def add(self, line: bytes) -> None:
        """Add a line, which ends in a line break, to the buffer."""
        self._buffer += line
        if len(self._buffer) >= MAX_BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all buffered lines.

        Raises:
            OSError: If standard output cannot be written to.
        """
        with self.writing():
            self.write_bytes(self._buffer)

    def write_bytes(self, data: bytearray) -> None:
        """Write the data to standard output, and remove from it what has been written.

        Standard output is raw if PYTHONUNBUFFERED is set: a write that a signal interrupts writes a
        part, and one that does not block possibly nothing.
        """
        output = self._output or sys.stdout.buffer
        while data:
            del data[: output.write(data) or 0]
        output.flush()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Defer the action of `between_lines` until the block has ended; main thread only."""
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False
        action, self._deferred = self._deferred, None
        if action:
            action()

    def between_lines(self, action: Callable[[], None]) -> None:
        """Run an action that can write or exit: now, or after the lines being written."""
        if self._is_writing:
            self._deferred = action
        else:
            action()


@lru_cache(maxsize=32)
def _around_record(
    stream: str, version: int | None, read_at: datetime | None
) -> tuple[bytes, bytes]:
    """Return what is before and after the record in a RECORD line: the same for a whole page."""
    message: dict[str, Any] = {"type": "RECORD", "stream": stream, "record": None}
    if version is not None:
        message["version"] = version
    if read_at is not None:
        message["time_extracted"] = read_at
    before, name, after = ENCODER.encode(message).partition(b'"record":')
    return before + name, after.removeprefix(b"null") + b"\n"
