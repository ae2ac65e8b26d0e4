"""The data that is verified: messages of the tap, a database, or a folder."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

from tap_drift.verify.database import describe_url, read_database
from tap_drift.verify.extraction import read_messages
from tap_drift.verify.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from pathlib import Path

    from tap_drift.verify.extraction import Extraction
    from tap_drift.verify.store import Store


class Input(NamedTuple):
    """Where the data lies: in a database or a folder, if they are given, or in messages."""

    messages: IO[bytes]
    database: str | None
    schema: str | None
    folder: Path | None
    extracted_at: datetime | None
    """When the last run began; None if the data shall tell."""

    @property
    def is_messages(self) -> bool:
        """Whether the data are messages."""
        return self.database is None and self.folder is None

    def describe(self) -> str:
        """Name the data, without a password."""
        if self.database is not None:
            schema = f", schema {self.schema}" if self.schema else ""
            return f"{describe_url(self.database)}{schema}"
        name = getattr(self.messages, "name", "standard input")
        return str(self.folder) if self.folder else f"messages ({name})"

    def read(
        self, store: Store, lookback: timedelta, on_progress: Callable[[int], None]
    ) -> Extraction:
        """Store all records.

        Args:
            store: Where to store them.
            lookback: The longest delay with which a change appears in Drift's listings.
            on_progress: Called with the number of records so far.

        Raises:
            FatalSyncError: If the data cannot be read.
        """
        if self.database is not None:
            data = read_database(self.database, self.schema, store, lookback, on_progress)
        elif self.folder is not None:
            data = read_folder(self.folder, store, lookback, on_progress)
        else:
            data = read_messages(self.messages, store, lookback, on_progress)
        if self.extracted_at:
            for run in data.runs.values():
                run.started_at = self.extracted_at
        return data
