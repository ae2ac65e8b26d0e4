"""Manifest: what was verified, with the digest of every record, to check the data without Drift."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from singer_sdk.exceptions import FatalSyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.verify.store import Store

FORMAT, FORMAT_VERSION = "drift-verify manifest", 1

_RECORDS = """
SELECT key, lower(hex(coalesce(full_digest, digest))), conversation_id,
    CASE WHEN full_digest IS NULL THEN '' ELSE lower(hex(digest)) END
FROM record
WHERE side IN (0, 2) AND stream = :stream ORDER BY key
"""
_UNEQUAL_CONVERSATIONS = """
SELECT DISTINCT record.conversation_id FROM finding JOIN record
    ON record.side IN (0, 1) AND record.stream = finding.stream AND record.key = finding.key
WHERE record.conversation_id IS NOT NULL ORDER BY record.conversation_id
"""


class ManifestStream(msgspec.Struct, rename="camel"):
    """What a manifest says of one stream."""

    records: int
    key: list[str]
    fields: list[str]
    """The fields that the digests cover."""

    digests: str
    """File with the digest and the key of each record, relative to the manifest."""

    digests_sha256: str
    """SHA-256 of the file's lines, uncompressed."""

    not_in_the_data: dict[str, int] = {}
    """Number of Drift's records that have a field that the data lacks, by its path."""


class ManifestSample(msgspec.Struct):
    """The sample of conversations whose other records were compared."""

    size: int
    population: int


class Manifest(msgspec.Struct, rename="camel"):
    """The parts of a manifest that a later check needs."""

    format: str
    format_version: int
    verdict: str
    verified_at: str
    streams: dict[str, ManifestStream]
    unequal_conversations: list[int] | None = None
    """Conversations of which Drift had other records than the data; None if not recorded."""

    sample: ManifestSample | None = None


class DigestLine(NamedTuple):
    """One line of a file of digests."""

    key: str
    digest: str
    conversation_id: int | None
    """The record's conversation; None if it has none."""

    compared: str
    """The digest of the fields that are compared with Drift; mostly the same as `digest`."""


def write_manifest(path: Path, content: dict[str, Any], store: Store) -> str:
    """Write a manifest, and beside it a file of digests for each stream.

    The files of an earlier manifest are deleted only when the new one is complete.

    Args:
        path: The manifest's path.
        content: The report of the verification; `streams` is completed.
        store: The records.

    Returns:
        The SHA-256 of the manifest.
    """
    folder = path.with_name(f"{path.stem}-digests")
    folder.mkdir(parents=True, exist_ok=True)
    for stream, entry in content["streams"].items():
        entry.update(key=store.primary_keys[stream], fields=store.fields[stream].paths)
        entry.update(_write_digests(folder, stream, store))
    document = {"format": FORMAT, "formatVersion": FORMAT_VERSION}
    document |= {"tapDrift": version("tap-drift"), **content}
    document["unequalConversations"] = [each for (each,) in store.execute(_UNEQUAL_CONVERSATIONS)]
    text = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text)
    part.replace(path)
    kept = {Path(entry["digests"]).name for entry in content["streams"].values()}
    for file in folder.glob("*.txt.gz"):
        if file.name not in kept:
            file.unlink()
    return hashlib.sha256(text).hexdigest()


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """Read a manifest.

    Returns:
        The manifest and its SHA-256.

    Raises:
        FatalSyncError: If it is not a manifest, or one of a later version.
    """
    content = path.read_bytes()
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FatalSyncError(f"{path} is not a manifest of drift-verify: {error}.") from None
    if (manifest.format, manifest.format_version) != (FORMAT, FORMAT_VERSION):
        raise FatalSyncError(
            f"{path} has the format `{manifest.format}` {manifest.format_version}; this version "
            f"reads `{FORMAT}` {FORMAT_VERSION}."
        )
    return manifest, hashlib.sha256(content).hexdigest()


def read_digests(manifest: Path, stream: str, entry: ManifestStream) -> Iterator[DigestLine]:
    """Yield the lines of a file of digests, by key; after the last one, its own digest is checked.

    Raises:
        FatalSyncError: If the file is missing or damaged.
    """
    path = manifest.parent / entry.digests
    checksum = hashlib.sha256()
    try:
        with gzip.open(path) as lines:
            for line in lines:
                checksum.update(line)
                digest, key, conversation, compared = line.decode().rstrip("\n").split("\t")
                number = int(conversation) if conversation else None
                yield DigestLine(key, digest, number, compared or digest)
    except FileNotFoundError:
        raise FatalSyncError(f"{path}, which the manifest names, does not exist.") from None
    except (EOFError, OSError, ValueError, zlib.error):
        raise FatalSyncError(_damaged(path, stream)) from None
    if checksum.hexdigest() != entry.digests_sha256:
        raise FatalSyncError(_damaged(path, stream))


def _write_digests(folder: Path, stream: str, store: Store) -> dict[str, Any]:
    """Write the file of digests of one stream; its name has a part of its own digest."""
    checksum, count = hashlib.sha256(), 0
    part = folder / f".{stream}.part"
    with part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for key, digest, conversation_id, compared in store.execute(_RECORDS, stream=stream):
            conversation = "" if conversation_id is None else conversation_id
            line = f"{digest}\t{key}\t{conversation}\t{compared}\n".encode()
            checksum.update(line)
            file.write(line)
            count += 1
    path = folder / f"{stream}-{checksum.hexdigest()[:12]}.txt.gz"
    part.replace(path)
    return {
        "records": count,
        "digests": f"{folder.name}/{path.name}",
        "digestsSha256": checksum.hexdigest(),
    }


def _damaged(path: Path, stream: str) -> str:
    return (
        f"{path} is damaged: it is not what the manifest says. The records of `{stream}` cannot be "
        "checked; use another copy of it."
    )
