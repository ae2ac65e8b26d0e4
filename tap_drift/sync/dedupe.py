"""Deduplication: a set of ids that spills to disk."""

from __future__ import annotations

import sqlite3
import weakref


def temporary_database(owner: object) -> sqlite3.Connection:
    """Open a private temporary database, deleted with its owner.

    SQLite keeps 2 MiB of it in memory and the rest in a file that it deletes. Any thread may use
    it, but only one at a time.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    weakref.finalize(owner, database.close)
    return database


class DiskBackedSet:
    """An exact set of ids whose memory does not grow with its size."""

    def __init__(self) -> None:
        self._database = temporary_database(self)
        self._database.execute("CREATE TABLE item (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, item: int | str) -> bool:
        """Add an id; return whether it was new."""
        query = "INSERT OR IGNORE INTO item VALUES (?)"
        return self._database.execute(query, (str(item),)).rowcount == 1
