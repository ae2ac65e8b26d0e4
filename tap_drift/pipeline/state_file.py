"""The state file of `drift-run`: locked during the run, and replaced as a whole."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING

from tap_drift.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class StateLockedError(Exception):
    """Another run uses the state file."""


class StateFile:
    """A file with a Singer state, locked against other runs."""

    def __init__(self, path: Path) -> None:
        """Lock the file.

        Raises:
            OSError: If its folder cannot be written to, or it is a device or a pipe, which a new
                state would replace.
            StateLockedError: If another run holds the lock.
        """
        self.path = path
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        # A file of its own, because a rename replaces the state file and with it a lock on it.
        # It stays: to remove it would let two runs lock two files of the same name.
        lock_path = f"{path}.lock"
        self.lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            raise StateLockedError(
                f"another run uses {path}: it holds the lock on {lock_path}. Wait for its end, or "
                "use another state file."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing would not release the lock while a process of the target is still running.
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)

    def save(self, state: str) -> None:
        """Replace the state.

        Raises:
            OSError: If it could not be written; the old state is unchanged.
        """
        write_atomically(self.path.resolve(), f"{state}\n")  # replace the file, not a link to it


def parse_state(line: bytes) -> str | None:
    """Return the state that a target wrote as a line.

    Returns:
        None if the line is not a whole JSON object, or has no bookmarks: neither half a line nor an
        empty state may replace a good one.
    """
    try:
        text = line.decode().strip()
        content = json.loads(text)
    except (RecursionError, ValueError):
        return None
    bookmarks = content.get("bookmarks") if isinstance(content, dict) else None
    return text if bookmarks and isinstance(bookmarks, dict) else None
