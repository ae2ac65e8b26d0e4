"""A line on the terminal that says how far it has come."""

from __future__ import annotations

import sys

_EVERY = 1000


class Progress:
    """Rewrites one line on standard error, if that is a terminal."""

    def __init__(self) -> None:
        """Begin with an empty line."""
        self._is_seen = sys.stderr.isatty()

    def arrived(self, records: int) -> None:
        """Say how much has arrived.

        Args:
            records: How many records so far.
        """
        self._say(records, f"{records:,} records arrived")

    def asked(self, records: int) -> None:
        """Say how much was read from Drift.

        Args:
            records: How many records so far.
        """
        self._say(records, f"Asking Drift: {records:,} records")

    def end(self) -> None:
        """Leave an empty line behind."""
        if self._is_seen:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _say(self, records: int, words: str) -> None:
        if self._is_seen and records and records % _EVERY == 0:
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()
