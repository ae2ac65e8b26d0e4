"""Checks data against a manifest, without Drift."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from tap_drift.verify.attachments import check_files
from tap_drift.verify.manifest import read_digests, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_drift.verify.attachments import FileCheck
    from tap_drift.verify.inputs import Input
    from tap_drift.verify.manifest import Manifest, ManifestStream
    from tap_drift.verify.progress import TerminalProgress
    from tap_drift.verify.store import Store

CHECK_REASONS = {
    "missing": "it is in the manifest, and not in the data",
    "different": "its content is not that of the manifest",
    "added": "it is in the data, and not in the manifest",
}

_END = None, None

_DIGESTS = """
SELECT key, lower(hex(coalesce(full_digest, digest))) FROM record
WHERE side = 0 AND stream = :stream ORDER BY key
"""


class StreamCheck(NamedTuple):
    """Result of checking one stream."""

    stream: str
    expected: int
    """Number of records in the manifest."""

    found: int
    findings: dict[str, int]
    """Number of records by kind: those of `CHECK_REASONS`."""

    lacking: list[str]
    """Fields that the digests cover, and that the data does not have."""


class Check(NamedTuple):
    """Result of checking data against a manifest."""

    manifest: Manifest
    sha256: str
    """SHA-256 of the manifest."""

    results: list[StreamCheck]
    other_streams: list[str]
    """Streams of the data that the manifest does not have."""

    files: FileCheck | None
    """Result of checking the files of attachments; None if they were not."""

    @property
    def is_unchanged(self) -> bool:
        """Whether the data and the files are those of the manifest."""
        return not self.changed and (self.files is None or self.files.is_complete)

    @property
    def verdict(self) -> str:
        """UNCHANGED or CHANGED."""
        return "UNCHANGED" if self.is_unchanged else "CHANGED"

    @property
    def changed(self) -> int:
        """The number of records that are missing, different or added."""
        return sum(sum(result.findings.values()) for result in self.results)


def check(
    path: Path, data: Input, attachments: str | None, store: Store, progress: TerminalProgress
) -> Check:
    """Check data against a manifest; the findings are added to the store.

    Args:
        path: The manifest.
        data: The data.
        attachments: Folder or fsspec URL with the files of attachments, if they are checked.
        store: Where to store the records.
        progress: Shows the progress.

    Raises:
        FatalSyncError: If the manifest or the data cannot be read.
    """
    manifest, sha256 = read_manifest(path)
    for stream, entry in manifest.streams.items():
        store.fields[stream].fix(entry.fields)
        store.primary_keys[stream] = tuple(entry.key)
    try:
        extraction = data.read(store, timedelta(0), progress.on_extracted)
    finally:
        progress.clear()
    results = [
        _check_stream(path, stream, entry, store) for stream, entry in manifest.streams.items()
    ]
    others = [stream for stream in extraction.runs if stream not in manifest.streams]
    files = check_files(attachments, store) if attachments else None
    return Check(manifest, sha256, results, others, files)


def _check_stream(path: Path, stream: str, entry: ManifestStream, store: Store) -> StreamCheck:
    findings: Counter[str] = Counter()
    for key, kind in _differences(path, stream, entry, store):
        findings[kind] += 1
        store.add_finding(stream, key, kind)
    [(found,)] = store.execute(
        "SELECT count(*) FROM record WHERE side = 0 AND stream = :stream", stream=stream
    )
    return StreamCheck(stream, entry.records, found, findings, store.fields[stream].lacking)


def _differences(
    path: Path, stream: str, entry: ManifestStream, store: Store
) -> Iterator[tuple[str, str]]:
    """Yield the key and the kind of each difference; both sides are sorted by key."""
    found = iter(store.execute(_DIGESTS, stream=stream))
    key, digest = next(found, _END)
    for line in read_digests(path, stream, entry):
        while key is not None and key < line.key:
            yield key, "added"
            key, digest = next(found, _END)
        if key != line.key:
            yield line.key, "missing"
            continue
        if digest != line.digest:
            yield line.key, "different"
        key, digest = next(found, _END)
    while key is not None:
        yield key, "added"
        key, digest = next(found, _END)
