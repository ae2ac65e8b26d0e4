"""What was met before in this run: on disk, since it grows with the account."""

from __future__ import annotations

import sqlite3
import weakref


def temporary_database(owner: object) -> sqlite3.Connection:
    """Open a database that nobody else sees, and that is gone when its owner is.

    Args:
        owner: Who uses it; from any thread, but one at a time.

    Returns:
        The database. With no name, SQLite keeps 2 MiB of it in memory, and the rest in a file that
        it deletes.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    weakref.finalize(owner, database.close)
    return database


class DiskBackedSet:
    """A set of ids: exact, and without filling the memory."""

    def __init__(self) -> None:
        self._ids = temporary_database(self)
        self._ids.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def is_new(self, number: int | str) -> bool:
        """Note an id.

        Args:
            number: The id.

        Returns:
            Whether it was not met before.
        """
        met = self._ids.execute("INSERT OR IGNORE INTO seen VALUES (?)", (str(number),))
        return met.rowcount == 1
