"""Compares the extracted records with those that Drift has now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tap_drift.timestamps import format_timestamp
from tap_drift.verify.store import CONVERSATION_STREAMS, Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from tap_drift.verify.extraction import Extraction
    from tap_drift.verify.store import Store

REASONS = {
    "missing": "Drift had it when the extraction started, but it was not extracted",
    "stale": "the extracted version is older than the one Drift had when the extraction started",
    "different": "its content differs from Drift's, which has not updated it since",
    "not requested": "an extracted record refers to this contact, but nothing in Drift does: "
    "the tap requests only the contacts that its streams name",
    "unknown": "an extracted record refers to it, but Drift does not return it",
    "not extracted": "an extracted record refers to it, but its stream was not extracted",
}
"""The kinds of findings that `--missing` lists, and the `why` of each."""

# Conditions on `source`, a record of the source side. `:cutoff` is the start of the extraction less
# the lookback.
_RECORD_EXISTED = "coalesce(source.created_at, '') < :cutoff"
_CONVERSATION_UNCHANGED = (
    "coalesce((SELECT updated_at FROM record WHERE side = 1 AND stream = 'conversations' "
    "AND key = CAST(source.conversation_id AS TEXT)), '') < :cutoff"
)
# The next run reads all messages of a conversation that was updated after the cutoff. If this
# extraction already has messages of it, the messages that existed when those were read must be
# there as well.
_COVERED_BY_EXTRACTION = (
    "coalesce(source.created_at, '') < "
    "(SELECT max(covered_until) FROM record INDEXED BY by_conversation "
    "WHERE side = 0 AND stream = 'messages' AND conversation_id = source.conversation_id)"
)
_MESSAGE_EXPECTED = f"({_RECORD_EXISTED} AND {_CONVERSATION_UNCHANGED}) OR {_COVERED_BY_EXTRACTION}"
_CONTACT_EXPECTED = (
    "EXISTS (SELECT 1 FROM reference WHERE stream = 'contacts' AND key = source.key "
    "AND (side = 0 OR coalesce(referenced_at, '') < :cutoff))"
)
_CHILD_STREAMS = CONVERSATION_STREAMS - {"conversations"}
_EXPECTED = dict.fromkeys(_CHILD_STREAMS, _CONVERSATION_UNCHANGED) | {
    "contacts": _CONTACT_EXPECTED,
    "messages": _MESSAGE_EXPECTED,
}
"""Whether the extraction should have a record; `_RECORD_EXISTED` for the other streams."""

# The tap requests only the contacts that conversations, messages and meetings refer to.
_NOT_REQUESTED = (
    "source.stream = 'contacts' AND source.key NOT IN "
    "(SELECT key FROM reference WHERE side = 1 AND stream = 'contacts')"
)

_INSERT_STALE_AND_CHANGED = """
INSERT INTO finding
SELECT source.stream, source.key,
    CASE WHEN source.updated_at < :cutoff THEN 'stale' ELSE 'changed' END
FROM record AS source JOIN record AS extracted
    ON extracted.side = 0 AND extracted.stream = source.stream AND extracted.key = source.key
WHERE source.side = 1 AND source.stream = :stream AND source.updated_at > extracted.updated_at
"""
# A contact has no update time: the latest time in its attributes takes the place.
_CONTENT_UNCHANGED = dict.fromkeys(_CHILD_STREAMS, _CONVERSATION_UNCHANGED) | {
    "contacts": "coalesce(source.updated_at, '') < :cutoff",
}
"""Whether Drift's content is that of the extraction; always for the other streams, whose changes
have a later update time."""

_INSERT_DELETED = """
INSERT INTO finding SELECT stream, key, 'deleted' FROM record AS extracted
WHERE side = 0 AND stream = :stream AND NOT EXISTS (
    SELECT 1 FROM record WHERE side = 1 AND stream = extracted.stream AND key = extracted.key
)
"""
_INSERT_UNKNOWN = """
INSERT INTO finding SELECT stream, key, 'unknown' FROM reference
WHERE side = 0 AND stream = :stream AND key NOT IN (
    SELECT key FROM record WHERE stream = :stream
)
"""
_INSERT_NOT_EXTRACTED = """
INSERT INTO finding SELECT stream, key, 'not extracted' FROM reference
WHERE side = 0 AND stream = :stream
"""


_DIFFERENT_PARTS = """
SELECT finding.key, source.parts, extracted.parts FROM finding
JOIN record AS source ON source.side = 1 AND source.stream = finding.stream
    AND source.key = finding.key
JOIN record AS extracted ON extracted.side = 0 AND extracted.stream = finding.stream
    AND extracted.key = finding.key
WHERE finding.stream = :stream AND finding.kind = 'different'
"""
_COUNT_UPDATED = """
SELECT count(*) FROM finding
WHERE stream = 'conversations' AND kind IN ('new', 'changed', 'deleted')
"""


class StreamResult(NamedTuple):
    """Result of comparing one stream."""

    stream: str
    is_extracted: bool
    source_count: int
    extracted_count: int
    findings: dict[str, int]
    """Number of findings by kind: those of `REASONS`, and `new`, `changed` and `deleted`."""

    differing_fields: dict[str, int]
    """Number of different records by the field in which they differ."""

    @property
    def incomplete(self) -> int:
        """The number of records that are missing, stale or different."""
        return sum(self.findings.get(kind, 0) for kind in ("missing", "stale", "different"))


def compare(
    store: Store, extraction: Extraction, verified_at: datetime, lookback: timedelta
) -> list[StreamResult]:
    """Compare all streams.

    A record that was last updated after the start of the extraction less `lookback` is read by the
    next run: it counts as new or changed, not as missing or stale. This includes a conversation
    that an update moved to the top of the listing while the extraction read it.

    Args:
        store: The records of both sides. The findings are added to it.
        extraction: Summary of the messages.
        verified_at: When reading Drift began; the cutoff if the extraction has no times.
        lookback: The longest delay with which a change appears in Drift's listings.
    """
    store.execute(
        "CREATE INDEX by_conversation ON record (side, stream, conversation_id, covered_until)"
    )
    for stream in store.primary_keys:
        if stream in extraction.runs:
            run = extraction.runs[stream]
            started_at = run.started_at or extraction.started_at or verified_at
            _compare_stream(store, stream, format_timestamp(started_at - lookback))
        else:
            store.execute(_INSERT_NOT_EXTRACTED, stream=stream)
    return [
        _summarize(store, stream, is_extracted=stream in extraction.runs)
        for stream in store.primary_keys
    ]


def different_records(store: Store, stream: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the key of each different record of a stream, and the fields in which it differs."""
    for key, source, extracted in store.execute(_DIFFERENT_PARTS, stream=stream):
        yield key, store.fields[stream].differing_fields(source, extracted)


def status_differences(store: Store) -> list[str]:
    """List the statuses whose counts differ by more than later updates explain."""
    if "status" not in store.fields["conversations"].paths:
        return []
    source, extracted = (
        Counter(store.count_by_status(side)) for side in (Side.SOURCE, Side.EXTRACTED)
    )
    [(updated,)] = store.execute(_COUNT_UPDATED)
    statuses = sorted({*source, *extracted}, key=str)
    return [str(each) for each in statuses if abs(source[each] - extracted[each]) > updated]


def _compare_stream(store: Store, stream: str, cutoff: str) -> None:
    store.execute(_insert_missing_and_new(stream), stream=stream, cutoff=cutoff)
    store.execute(_INSERT_STALE_AND_CHANGED, stream=stream, cutoff=cutoff)
    store.execute(_insert_different(stream), stream=stream, cutoff=cutoff)
    store.execute(_INSERT_DELETED, stream=stream)
    store.execute(_INSERT_UNKNOWN, stream=stream)


def _insert_missing_and_new(stream: str) -> str:
    expected = _EXPECTED.get(stream, _RECORD_EXISTED)
    return f"""
        INSERT INTO finding
        SELECT stream, key, CASE
            WHEN {_NOT_REQUESTED} THEN 'not requested'
            WHEN {expected} THEN 'missing'
            ELSE 'new' END
        FROM record AS source
        WHERE side = 1 AND stream = :stream AND NOT EXISTS (
            SELECT 1 FROM record WHERE side = 0 AND stream = source.stream AND key = source.key
        )
    """  # noqa: S608 - built from constants of this module


def _insert_different(stream: str) -> str:
    unchanged = _CONTENT_UNCHANGED.get(stream, "TRUE")
    return f"""
        INSERT INTO finding
        SELECT source.stream, source.key, CASE WHEN {unchanged} THEN 'different' ELSE 'changed' END
        FROM record AS source JOIN record AS extracted
            ON extracted.side = 0 AND extracted.stream = source.stream
            AND extracted.key = source.key
        WHERE source.side = 1 AND source.stream = :stream AND source.digest <> extracted.digest
            AND NOT EXISTS (
                SELECT 1 FROM finding WHERE stream = source.stream AND key = source.key
            )
    """  # noqa: S608 - built from constants of this module


def _summarize(store: Store, stream: str, *, is_extracted: bool) -> StreamResult:
    records = dict(
        store.execute(
            "SELECT side, count(*) FROM record WHERE stream = :stream GROUP BY side", stream=stream
        )
    )
    findings = dict(
        store.execute(
            "SELECT kind, count(*) FROM finding WHERE stream = :stream GROUP BY kind", stream=stream
        )
    )
    differing = Counter(field for _, fields in different_records(store, stream) for field in fields)
    return StreamResult(
        stream, is_extracted, records.get(1, 0), records.get(0, 0), findings, differing
    )
