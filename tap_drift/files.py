"""Files: replaces a file as a whole, so that it is never half written."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file beside the old one, and rename it when it is on the disk.

    Keeps owner and mode of the old file; a new file can be read by its owner only.

    Args:
        path: The file. A link is replaced, so resolve it first.
        text: The content.

    Raises:
        OSError: If the file could not be written; the old one is unchanged.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            with suppress(FileNotFoundError):
                _copy_permissions(path, temporary)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _copy_permissions(path: Path, temporary: Path) -> None:
    original = path.stat()
    with suppress(OSError):  # only root can change the owner
        os.chown(temporary, original.st_uid, original.st_gid)
    temporary.chmod(original.st_mode & 0o7777)


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
