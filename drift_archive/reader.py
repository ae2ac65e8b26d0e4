"""Reads Singer messages; errors name the line and never show its content."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from singer_sdk.singerlib.exceptions import InvalidInputLine
from typing_extensions import override

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator


class Interrupted(Exception):  # noqa: N818 - not an error
    """Raised by a signal handler while the reader waits for input."""


class MessageReader(GenericSingerReader[str]):
    """Reads the messages up to the end of the input, or until `is_stopped` is set.

    Attributes:
        is_waiting: Whether the reader waits for a line: then an exception ends the input, and no
            message is half processed.
        is_stopped: Whether to read no further line.
    """

    is_waiting = False
    is_stopped = False
    _line_number = 0

    @property
    @override
    def default_input(self) -> IO[str]:
        return sys.stdin

    @override
    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        lines = self._lines(file_input or self.default_input)
        return super().process_lines(cast("IO[str]", lines), callbacks)

    @override
    def deserialize_json(self, line: str) -> dict[str, Any]:
        """Decode a message.

        Raises:
            InvalidInputLine: If the line is not a JSON object.
        """
        try:
            message = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise InvalidInputLine(f"Line {self._line_number} of the input: {error}") from None
        if not isinstance(message, dict):
            raise InvalidInputLine(f"Line {self._line_number} of the input is not a Singer message")
        return message

    @override
    def _process_unknown_message(self, message_dict: dict[str, Any]) -> None:
        raise InvalidInputLine(
            f"Line {self._line_number} of the input has the unknown message type "
            f"{message_dict['type']!r}"
        )

    @staticmethod
    @override
    def assert_line_requires(line_dict: dict[str, Any], requires: set[str]) -> None:
        # The SDK's error contains the message.
        if missing := requires - line_dict.keys():
            raise InvalidInputLine(f"A line of the input has no {', '.join(sorted(missing))}")

    def _lines(self, file_input: IO[str]) -> Iterator[str]:
        """Yield the lines of the input."""
        try:
            while not self.is_stopped:
                self.is_waiting = True
                line = file_input.readline()
                self.is_waiting = False
                if not line:
                    return
                self._line_number += 1
                if line.strip():
                    yield line
        except Interrupted:
            return
        finally:
            self.is_waiting = False
