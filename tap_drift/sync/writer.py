"""Singer messages to standard output: whole lines, a page at a time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from singer_sdk.helpers.types import Record

ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
"""Decimals are numbers that must keep their digits; what else JSON does not know becomes text."""


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Collects RECORD lines and hands them over when told to, or with the next other message.

    A message that is not a RECORD goes out at once, after all that came before it: a STATE never
    overtakes the records that it claims.
    """

    def __init__(self, output: BinaryIO | None = None) -> None:
        """Begin with nothing to say.

        Args:
            output: Where the lines go; standard output, if not given.
        """
        self._output = output
        self._lines = bytearray()
        self._writing = False
        self._afterwards: Callable[[], None] | None = None

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
        """Write a RECORD message for a record that goes out as it is.

        Args:
            stream: The stream's name.
            record: The record.
            version: The version of a full table; None if the stream has none.
            read_at: When its page was read, UTC.
        """
        message: dict[str, Any] = {"type": "RECORD", "stream": stream, "record": record}
        if version is not None:
            message["version"] = version
        if read_at is not None:
            message["time_extracted"] = read_at
        self.add(ENCODER.encode(message) + b"\n")

    def add(self, line: bytes) -> None:
        """Let a line wait for its turn.

        Args:
            line: One message, with its line end.
        """
        self._lines += line

    def flush(self) -> None:
        """Hand over all lines.

        Raises:
            OSError: If standard output cannot take them.
        """
        self._writing = True
        try:
            output = self._output or sys.stdout.buffer
            output.write(self._lines)
            output.flush()
            self._lines.clear()
        finally:
            self._writing = False
        action, self._afterwards = self._afterwards, None
        if action:
            action()

    def between_lines(self, action: Callable[[], None]) -> None:
        """Do something that may write or end the run, but not in the middle of a line.

        Args:
            action: What to do: at once, or as soon as the lines on their way out are out.
        """
        if self._writing:
            self._afterwards = action
        else:
            action()
