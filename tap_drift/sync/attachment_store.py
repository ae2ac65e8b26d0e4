"""Attachment store: the files of attachments, in a folder or an object store."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import fsspec.core
import requests
from singer_sdk.exceptions import FatalSyncError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fsspec import AbstractFileSystem

CHECKSUMS = "SHA256SUMS"
"""File in each folder that lists its files, as `sha256sum --check` reads it."""

_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES, _MAX_SUFFIX_CHARACTERS = 120, 16


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store."""

    path: str
    """Path below the root of the store, with `/` as separator."""

    size: int
    """Size in bytes."""

    sha256: str
    """SHA-256 digest, hexadecimal."""


class AttachmentStore:
    """Saves files, and finds those that an earlier run has saved.

    A file has its name, and a line in `CHECKSUMS`, only when it is complete. Any thread may use
    the store.
    """

    def __init__(self, url: str) -> None:
        """Open a store; nothing is written yet.

        Args:
            url: A folder, or a URL that fsspec knows, such as `s3://bucket/folder`.

        Raises:
            FatalSyncError: If fsspec does not know the URL, or a package for it is missing.
        """
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise FatalSyncError(f"`attachments_path` cannot be used: {error}.") from None
        self._lock = threading.Lock()

    def find(self, folder: str, name: str) -> StoredFile | None:
        """Return a file whose content is still that of `CHECKSUMS`; None if there is none.

        Raises:
            FatalSyncError: If the store cannot be read.
        """
        with _storage_errors():
            expected = self._read_checksums(folder).get(name)
            found = self._read(folder, name) if expected else None
        return found if found and found.sha256 == expected else None

    def save(self, folder: str, name: str, chunks: Iterable[bytes]) -> StoredFile:
        """Save a file, chunk by chunk.

        Raises:
            FatalSyncError: If the store cannot be written. Errors of `chunks` are raised unchanged.
        """
        with _storage_errors():
            self._files.makedirs(self._full(folder), exist_ok=True)
            with self._temporary(folder) as part:
                size, digest = 0, hashlib.sha256()
                with self._files.open(part, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                        size += len(chunk)
                        digest.update(chunk)
                self._files.mv(part, self._full(folder, name))
            self._write_checksum(folder, name, digest.hexdigest())
        return StoredFile(f"{folder}/{name}", size, digest.hexdigest())

    def _read(self, folder: str, name: str) -> StoredFile | None:
        try:
            size, sha256 = size_and_sha256(self._files, self._full(folder, name))
        except FileNotFoundError:
            return None
        return StoredFile(f"{folder}/{name}", size, sha256)

    def _write_checksum(self, folder: str, name: str, checksum: str) -> None:
        with self._lock:
            checksums = self._read_checksums(folder) | {name: checksum}
            lines = [f"{checksums[each]}  {each}\n" for each in sorted(checksums)]
            with self._temporary(folder) as part:
                self._files.pipe_file(part, "".join(lines).encode())
                self._files.mv(part, self._full(folder, CHECKSUMS))

    def _read_checksums(self, folder: str) -> dict[str, str]:
        try:
            text = self._files.cat_file(self._full(folder, CHECKSUMS)).decode()
        except FileNotFoundError:
            return {}
        return {name: checksum for checksum, _, name in map(_parse_line, text.splitlines())}

    @contextmanager
    def _temporary(self, folder: str) -> Iterator[str]:
        """Provide the path of a file that is deleted if it has not been renamed."""
        path = self._full(folder, f".{uuid.uuid4().hex}.part")
        try:
            yield path
        except BaseException:
            with suppress(OSError):
                self._files.rm_file(path)
            raise

    def _full(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])


def safe_name(file_name: str) -> str:
    """Return a file name that every file system accepts: letters, digits, `.`, `-` and `_`.

    Its length is limited; its suffix is kept.
    """
    text = unicodedata.normalize("NFC", file_name)
    cleaned = "".join(c if c.isalnum() or c in ".-_" else "_" for c in text).strip("._")
    suffix = PurePosixPath(cleaned).suffix[:_MAX_SUFFIX_CHARACTERS]
    stem = cleaned.removesuffix(suffix).encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    return f"{stem}{suffix}"


def size_and_sha256(files: AbstractFileSystem, path: str) -> tuple[int, str]:
    """Read a file, and return its size in bytes and its SHA-256 digest, hexadecimal.

    Raises:
        OSError: If it does not exist, or cannot be read.
    """
    size, digest = 0, hashlib.sha256()
    with files.open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()


def _parse_line(line: str) -> tuple[str, str, str]:
    return line.partition("  ")


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except requests.RequestException:  # an OSError of the download, not of the store
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FatalSyncError(f"Files below `attachments_path` cannot be used: {reason}.") from None
