"""Compares the saved files of attachments with their records: size and SHA-256."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import fsspec.core
from singer_sdk.exceptions import FatalSyncError

from tap_drift.sync.attachment_store import size_and_sha256

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from tap_drift.verify.store import Store

STREAM = "attachments"
FILE_REASONS = {
    "file missing": "its file does not exist",
    "file different": "the size or the SHA-256 of its file is not that of the record",
}


class FileCheck(NamedTuple):
    """Result of checking files."""

    checked: int
    """Number of records with a file."""

    unsaved: int
    """Number of records without a file."""

    findings: dict[str, int]
    """Number of files by kind: those of `FILE_REASONS`."""

    @property
    def is_complete(self) -> bool:
        """Whether there are records, and each file is that of its record."""
        return not self.findings and self.checked + self.unsaved > 0


def check_files(url: str, store: Store) -> FileCheck:
    """Compare each file with its record; the findings are added to the store.

    Args:
        url: What `attachments_path` was when the files were saved: a folder, or a URL that fsspec
            knows.
        store: The extracted records.

    Raises:
        FatalSyncError: If the URL cannot be used, or a file is missing because there is no folder.
    """
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise FatalSyncError(f"--attachments cannot be used: {error}.") from None
    counts: Counter[str] = Counter()
    for key, path, size, sha256 in store.execute("SELECT * FROM file ORDER BY key"):
        kind = _compare(files, f"{root.rstrip('/')}/{path}", size, sha256) if path else "unsaved"
        if kind == "file missing" and not counts[kind] and not files.exists(root):
            raise FatalSyncError(
                f"There is no folder {root}: --attachments takes what `attachments_path` was."
            )
        counts[kind] += 1
        if kind in FILE_REASONS:
            store.add_finding(STREAM, key, kind)
    unsaved = counts.pop("unsaved", 0)
    findings = {kind: counts[kind] for kind in FILE_REASONS if counts[kind]}
    return FileCheck(counts.total(), unsaved, findings)


def _compare(files: AbstractFileSystem, path: str, size: int, sha256: str) -> str:
    try:
        found = size_and_sha256(files, path)
    except (FileNotFoundError, IsADirectoryError):
        return "file missing"
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FatalSyncError(f"{path} cannot be read: {reason}.") from None
    return "equal" if found == (size, sha256) else "file different"
