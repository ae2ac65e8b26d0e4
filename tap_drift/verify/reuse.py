"""Reuses an earlier verification: conversations that have not changed since are not requested."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from singer_sdk.exceptions import FatalSyncError

from tap_drift.verify.manifest import read_digests, read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tap_drift.verify.store import Store

_CONVERSATIONS = "conversations"
COMPLETE = "COMPLETE"

_TABLES = """
CREATE TABLE known (
    stream TEXT, key TEXT, conversation_id INTEGER, digest BLOB, PRIMARY KEY (stream, key)
) WITHOUT ROWID
"""
# The manifest's record of the conversation is what the listing has now, `updatedAt` included. The
# manifest has the digests of the data: they are Drift's if the conversation was equal.
_UNCHANGED = """
SELECT source.conversation_id FROM record AS source JOIN known
    ON known.stream = source.stream AND known.key = source.key AND known.digest = source.digest
WHERE source.side = 1 AND source.stream = 'conversations'
"""
_COPY = f"""
INSERT INTO record (side, stream, key, conversation_id, digest)
SELECT 1, stream, key, conversation_id, digest FROM known
WHERE stream <> 'conversations' AND conversation_id IN ({_UNCHANGED})
"""  # noqa: S608 - a constant of this module
# The tap requests the contacts that messages name.
_COPY_REFERENCES = """
INSERT OR IGNORE INTO reference
SELECT 1, stream, key, referenced_at FROM reference WHERE side = 0 AND stream = 'contacts'
"""
_CHANGED = f"""
SELECT conversation_id FROM record
WHERE side = 1 AND stream = 'conversations' AND conversation_id NOT IN ({_UNCHANGED})
"""  # noqa: S608 - as above


class EarlierVerification:
    """What a manifest says of the records of conversations."""

    def __init__(self, manifest: Path) -> None:
        """Read a manifest.

        Raises:
            FatalSyncError: If its verification was not complete, or that of a sample, or it has no
                conversations.
        """
        self._path = manifest
        self._manifest, _ = read_manifest(manifest)
        self._streams: Collection[str] = ()
        if self._manifest.verdict != COMPLETE:
            raise FatalSyncError(
                f"{manifest} cannot be reused: its verdict is {self._manifest.verdict}."
            )
        if sample := self._manifest.sample:
            raise FatalSyncError(
                f"{manifest} cannot be reused: it compared a sample of {sample.size:,} of "
                f"{sample.population:,} conversations."
            )
        if self._manifest.unequal_conversations is None:
            raise FatalSyncError(
                f"{manifest} cannot be reused: an earlier version of drift-verify wrote it."
            )
        self._unequal = {*self._manifest.unequal_conversations}
        if _CONVERSATIONS not in self._manifest.streams:
            raise FatalSyncError(f"{manifest} cannot be reused: it has no conversations.")

    def load(self, streams: Collection[str], store: Store) -> None:
        """Load the digests of conversations, and of streams that belong to them.

        Args:
            streams: Names of the streams that belong to conversations.
            store: The records; the data have been read.

        Raises:
            FatalSyncError: If the manifest lacks a stream, or covers other fields than the data.
        """
        store.execute(_TABLES)
        self._streams = streams
        for stream in [_CONVERSATIONS, *streams]:
            entry = self._manifest.streams.get(stream)
            if entry is None or entry.fields != store.fields[stream].paths:
                raise FatalSyncError(
                    f"{self._path} cannot be reused: it lacks the stream `{stream}`, or its "
                    "digests cover other fields than the data has."
                )
            for line in read_digests(self._path, stream, entry):
                if line.conversation_id in self._unequal:
                    continue
                store.execute(
                    "INSERT INTO known VALUES (:stream, :key, :conversation_id, :digest)",
                    stream=stream,
                    key=line.key,
                    conversation_id=line.conversation_id,
                    digest=bytes.fromhex(line.compared),
                )

    def take_over(self, store: Store) -> list[int]:
        """Take over the records of unchanged conversations as Drift's.

        Returns:
            The ids of the other conversations.
        """
        store.execute(_COPY)
        store.execute(_COPY_REFERENCES)
        return [conversation_id for (conversation_id,) in store.execute(_CHANGED)]

    def add_unkept(self, store: Store) -> None:
        """Add the fields that records of the manifest have in Drift, and the data lacks.

        Their number is the manifest's, or that of the records that were requested, if it is larger.
        """
        for stream in self._streams:
            store.fields[stream].unkept |= Counter(self._manifest.streams[stream].not_in_the_data)
