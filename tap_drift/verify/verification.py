"""Runs a verification: reads the data and Drift, and compares them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tap_drift.streams.contacts import ContactsStream
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.verify.attachments import check_files
from tap_drift.verify.compare import compare, status_differences
from tap_drift.verify.report import Comparison
from tap_drift.verify.sample import Sample, draw
from tap_drift.verify.source_reader import SourceReader
from tap_drift.verify.store import CONVERSATION_STREAMS

if TYPE_CHECKING:
    from collections.abc import Collection

    from singer_sdk.plugin_base import _ConfigInput

    from tap_drift.verify.inputs import Input
    from tap_drift.verify.progress import TerminalProgress
    from tap_drift.verify.reuse import EarlierVerification
    from tap_drift.verify.status_counts import StatusCounts
    from tap_drift.verify.store import Store

_CHILD_STREAMS = CONVERSATION_STREAMS - {ConversationsStream.name, ContactsStream.name}

_LISTED = """
SELECT conversation_id FROM record WHERE side = 1 AND stream = 'conversations' ORDER BY key
"""
_SET_ASIDE = """
UPDATE record SET side = 2 WHERE side = 0 AND stream = :stream
AND (conversation_id IS NULL OR conversation_id NOT IN (SELECT id FROM sampled))
"""
_SET_CONTACTS_ASIDE = """
UPDATE record SET side = 2 WHERE side = 0 AND stream = 'contacts' AND key NOT IN (
    SELECT CAST(contact_id AS TEXT) FROM record
    WHERE side = 1 AND stream = 'conversations' AND contact_id IS NOT NULL
        AND conversation_id IN (SELECT id FROM sampled)
)
"""
_COUNT_BAD = """
SELECT count(*) FROM sampled WHERE id IN (
    SELECT record.conversation_id FROM finding JOIN record
        ON record.side IN (0, 1) AND record.stream = finding.stream AND record.key = finding.key
    WHERE finding.kind IN ('missing', 'stale', 'different')
        AND finding.stream NOT IN ('conversations', 'meetings')
) OR id IN (
    SELECT conversation_id FROM record WHERE side = 1 AND stream = 'conversations'
        AND CAST(contact_id AS TEXT) IN (
            SELECT key FROM finding
            WHERE stream = 'contacts' AND kind IN ('missing', 'stale', 'different')
        )
)
"""


class Scope(NamedTuple):
    """How much of Drift is read."""

    sample_size: int | None = None
    """Number of conversations whose other records are read; None for all."""

    seed: int = 0
    earlier: EarlierVerification | None = None
    """An earlier verification, whose unchanged conversations are not requested again."""


class Verification:
    """Compares data with what Drift has now."""

    def __init__(
        self, config: _ConfigInput, data: Input, store: Store, progress: TerminalProgress
    ) -> None:
        self.source = SourceReader(config.config, store, progress.on_source, env=config.parse_env)
        self._data = data
        self._store = store
        self._progress = progress
        self._sample: Sample | None = None
        self._reused = 0

    def run(self, scope: Scope, attachments: str | None) -> Comparison:
        """Read both sides and compare them.

        Args:
            scope: How much of Drift is read.
            attachments: Folder or fsspec URL with the files of attachments, if they are checked.

        Raises:
            FatalSyncError: If the data cannot be read.
            StreamsFailedError: If Drift cannot be read.
        """
        source, store = self.source, self._store
        try:
            extraction = self._data.read(store, source.lookback, self._progress.on_extracted)
            verified_at = datetime.now(UTC)
            counts = self._read_drift(scope, extraction.runs) if extraction.runs else None
        finally:
            self._progress.clear()
        results = compare(store, extraction, verified_at, source.lookback)
        has_conversations = ConversationsStream.name in extraction.runs
        return Comparison(
            extraction,
            results,
            counts,
            verified_at,
            source.request_count,
            source.failed_streams,
            source.unread_items,
            status_differences(store) if has_conversations else [],
            self._sample_with_result(),
            check_files(attachments, store) if attachments else None,
            self._reused,
        )

    def _read_drift(self, scope: Scope, streams: Collection[str]) -> StatusCounts | None:
        if scope.sample_size is not None:
            draw_sample = partial(self._draw, scope.sample_size, scope.seed)
            return self.source.read(streams, draw_sample, is_sample=True)
        children = _CHILD_STREAMS & {*streams}
        if scope.earlier:
            scope.earlier.load(children, self._store)
            counts = self.source.read(streams, partial(self._take_over, scope.earlier))
            scope.earlier.add_unkept(self._store)
            return counts
        return self.source.read(streams)

    def _draw(self, size: int, seed: int) -> list[int]:
        """Draw a sample of conversations, and set the records of the others aside."""
        ids = (conversation_id for (conversation_id,) in self._store.execute(_LISTED))
        drawn, population = draw(ids, size, seed)
        self._sample = Sample(len(drawn), population, seed)
        self._store.execute("CREATE TABLE sampled (id INTEGER PRIMARY KEY)")
        for each in drawn:
            self._store.execute("INSERT INTO sampled VALUES (:id)", id=each)
        for stream in _CHILD_STREAMS:
            self._store.execute(_SET_ASIDE, stream=stream)
        self._store.execute(_SET_CONTACTS_ASIDE)
        # Records that were set aside refer to contacts that are not requested.
        self._store.execute("DELETE FROM reference WHERE side = 0 AND stream = 'contacts'")
        return drawn

    def _sample_with_result(self) -> Sample | None:
        if self._sample is None:
            return None
        [(bad,)] = self._store.execute(_COUNT_BAD)
        return self._sample._replace(bad=bad)

    def _take_over(self, earlier: EarlierVerification) -> list[int]:
        changed = earlier.take_over(self._store)
        [(count,)] = self._store.execute(
            "SELECT count(*) FROM record WHERE side = 1 AND stream = 'conversations'"
        )
        self._reused = count - len(changed)
        return changed
