"""Progress display on a terminal."""

from __future__ import annotations

import sys

_RECORDS_PER_UPDATE = 1000
_CLEAR_LINE = "\r\x1b[K"


class TerminalProgress:
    """Rewrites one line on standard error; prints nothing if that is not a terminal."""

    def __init__(self) -> None:
        self._is_enabled = sys.stderr.isatty()

    def on_extracted(self, records: int) -> None:
        """Show how many records of the extraction were read so far."""
        self._show(records, f"Reading the messages: {records:,} records")

    def on_source(self, records: int) -> None:
        """Show how many records were read from Drift so far."""
        self._show(records, f"Reading Drift: {records:,} records")

    def clear(self) -> None:
        """Erase the line."""
        self._write("")

    def _show(self, records: int, text: str) -> None:
        if records and records % _RECORDS_PER_UPDATE == 0:
            self._write(text)

    def _write(self, text: str) -> None:
        if self._is_enabled:
            sys.stderr.write(f"{_CLEAR_LINE}{text}")
            sys.stderr.flush()
