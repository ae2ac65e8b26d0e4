"""Formats a comparison as a report, and its findings as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_drift.logs import counted
from tap_drift.timestamps import format_timestamp
from tap_drift.verify.attachments import FILE_REASONS
from tap_drift.verify.compare import REASONS, different_records
from tap_drift.verify.fields import UNCOMPARED
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_drift.verify.attachments import FileCheck
    from tap_drift.verify.compare import StreamResult
    from tap_drift.verify.extraction import Extraction
    from tap_drift.verify.sample import Sample
    from tap_drift.verify.status_counts import StatusCounts
    from tap_drift.verify.store import Store

_KINDS = (
    *("missing", "stale", "different"),
    *("new", "changed", "deleted", "not requested", "unknown"),
)
_MAX_FILES = 10
"""Number of files that are named, of those that are not compared."""

_LEGEND = """\
missing: Drift had the record when the extraction started, but it was not extracted.
stale: the extracted version is older than the one that Drift had when the extraction started.
different: the content differs from Drift's, which has not updated the record since.
new, changed, deleted: since the extraction started. The next run extracts new and changed records.
not requested: contacts that nothing in Drift refers to. The tap does not request them.
unknown: extracted records refer to the record, but Drift does not return it."""


class Comparison(NamedTuple):
    """Everything that the report shows."""

    extraction: Extraction
    results: list[StreamResult]
    counts: StatusCounts | None
    verified_at: datetime
    """When reading Drift began."""

    request_count: int
    failed_streams: set[str]
    """Names of the streams that could not be read from Drift."""

    unread_items: dict[str, int]
    """Number of single items that could not be read from Drift, by stream."""

    status_differences: list[str]
    """Statuses whose number of conversations differs between Drift and the data."""

    @property
    def incomplete(self) -> int:
        """The number of missing, stale and different records in the streams that were compared."""
        return sum(
            result.incomplete for result in self.results if result.stream not in self.failed_streams
        )

    sample: Sample | None = None
    """The sample of conversations whose other records were compared; None for all."""

    files: FileCheck | None = None
    """Result of checking the files of attachments; None if they were not."""

    reused: int = 0
    """Number of conversations that an earlier verification has covered."""

    @property
    def verdict(self) -> str:
        """COMPLETE, INCOMPLETE or NOT VERIFIED."""
        if self.is_complete:
            return "COMPLETE"
        is_incomplete = self.incomplete or not (self.failed_streams or self.unread_items)
        return "INCOMPLETE" if is_incomplete else "NOT VERIFIED"

    @property
    def is_complete(self) -> bool:
        """Whether everything that Drift had was extracted, and all of it could be compared."""
        has_mismatches = self.counts is not None and bool(self.counts.mismatches())
        return bool(self.extraction.runs) and not (
            self.incomplete
            or has_mismatches
            or self.status_differences
            or self.extraction.is_truncated
            or self.failed_streams
            or self.unread_items
            or (self.files is not None and not self.files.is_complete)
        )


def format_report(comparison: Comparison, store: Store) -> Iterator[str]:
    """Yield the lines of the report."""
    yield from _format_streams(comparison)
    yield from _format_fields(comparison, store)
    yield ""
    if comparison.counts:
        yield from _format_counts(comparison.counts, store)
    if comparison.status_differences:
        yield (
            "Drift and the data have different numbers of conversations: "
            f"{', '.join(comparison.status_differences)}."
        )
    if comparison.counts or comparison.status_differences:
        yield ""
    yield _LEGEND
    yield ""
    if comparison.files:
        yield from format_files(comparison.files)
    yield from _format_notes(comparison)
    yield from _format_verdict(comparison)


def findings_as_json(store: Store) -> Iterator[bytes]:
    """Yield a JSON line with `stream`, `id` and `why` for each finding listed in `REASONS`.

    Those of different records have `fields` as well, the names of those that differ.
    """
    for stream, key, kind in store.execute("SELECT stream, key, kind FROM finding ORDER BY rowid"):
        reason = (REASONS | FILE_REASONS).get(kind)
        if reason and kind != "different":
            yield _finding_as_json(stream, key, reason)
    for stream in store.primary_keys:
        for key, fields in different_records(store, stream):
            yield _finding_as_json(stream, key, REASONS["different"], fields=fields)


def _finding_as_json(stream: str, key: str, reason: str, **details: Any) -> bytes:
    finding = {"stream": stream, "id": msgspec.Raw(key.encode()), "why": reason, **details}
    return msgspec.json.encode(finding) + b"\n"


def _format_streams(comparison: Comparison) -> Iterator[str]:
    rows = [["stream", "in Drift", "extracted", *_KINDS]]
    not_extracted = []
    for result in comparison.results:
        if not result.is_extracted:
            not_extracted.append(result)
        elif result.stream not in comparison.failed_streams:
            rows.append(_stream_row(result))
    yield from format_table(rows)
    for stream in sorted(comparison.failed_streams):
        yield f"{stream}: could not be read from Drift"
    for stream, count in comparison.unread_items.items():
        yield f"{stream}: {counted(count, 'items')} could not be read from Drift"
    for result in not_extracted:
        referenced = result.findings.get("not extracted", 0)
        suffix = f" ({referenced:,} referenced)" if referenced else ""
        yield f"{result.stream}: not extracted{suffix}"


def _format_fields(comparison: Comparison, store: Store) -> Iterator[str]:
    """Yield which fields differ, and which were not compared."""
    for stream, *_, differing in comparison.results:
        if differing:
            yield f"{stream}: different in {_counted(differing)}"
    for result in comparison.results:
        if result.is_extracted and (unkept := store.fields[result.stream].unkept):
            yield f"{result.stream}: not in the data, so not compared: {_counted(unkept)}"
    for result in comparison.results:
        if result.is_extracted:
            for field, reason in UNCOMPARED.get(result.stream, {}).items():
                yield f"{result.stream}: {reason}, so not compared: {field}"


def _counted(fields: dict[str, int]) -> str:
    return ", ".join(f"{field} ({count:,})" for field, count in sorted(fields.items()))


def _stream_row(result: StreamResult) -> list[str]:
    findings = [result.findings.get(kind, 0) for kind in _KINDS]
    numbers = (result.source_count, result.extracted_count, *findings)
    return [result.stream, *(f"{number:,}" for number in numbers)]


def _format_counts(counts: StatusCounts, store: Store) -> Iterator[str]:
    extracted = store.count_by_status(Side.EXTRACTED)
    rows = [["conversation status", "Drift counts", "Drift lists", "extracted"]]
    for status in sorted({*counts.counted_after, *counts.listed}, key=str):
        counted = counts.counted_after.get(status)
        rows.append(
            [
                str(status),
                "-" if counted is None else f"{counted:,}",
                f"{counts.listed.get(status, 0):,}",
                f"{extracted.get(status, 0):,}",
            ]
        )
    yield from format_table(rows)
    if mismatches := counts.mismatches():
        yield (
            f"Drift counts and lists different numbers of conversations: {', '.join(mismatches)}. "
            f"{counts.updated:,} conversations were updated in the meantime, which does not "
            "explain the difference."
        )


def format_table(rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table whose first row is the header and first column is text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _format_notes(comparison: Comparison) -> Iterator[str]:
    extraction = comparison.extraction
    if not extraction.runs:
        yield "The input has no messages of tap-drift."
    if extraction.other_streams:
        streams = ", ".join(sorted(extraction.other_streams))
        yield f"Not compared, because tap-drift has no such streams: {streams}."
    for stream, columns in extraction.unmatched_columns.items():
        names = ", ".join(columns)
        yield f"{stream}: columns not compared, because Drift has no such fields: {names}"
    if extraction.other_files:
        files = ", ".join(extraction.other_files[:_MAX_FILES])
        more = len(extraction.other_files) - _MAX_FILES
        yield (
            f"Files that are not named after a stream, and not compared: {files}"
            + (f" and {more:,} others" if more > 0 else "")
        )
    if extraction.is_truncated:
        yield "The input ends in the middle of a line: the run that wrote it was interrupted."
    if extraction.is_continuation:
        yield (
            "The first run of the input resumed from the state of an earlier run: records that "
            "only earlier runs emitted count as missing. Provide the messages of all runs, in the "
            "order of the runs."
        )


def format_files(files: FileCheck) -> Iterator[str]:
    """Yield what was found of the files of attachments."""
    if not files.checked + files.unsaved:
        yield "The data has no records of `attachments`, so no file was checked."
        return
    findings = [f"{count:,} {kind.removeprefix('file ')}" for kind, count in files.findings.items()]
    unsaved = [f"{counted(files.unsaved, 'records')} without a file"] if files.unsaved else []
    counts = ", ".join([f"{files.checked:,} checked", *findings, *unsaved])
    yield f"Files of attachments: {counts}."


def _format_sample(sample: Sample) -> Iterator[str]:
    share = 100 * sample.bound / sample.population if sample.population else 0
    yield (
        f"Sample: {sample.size:,} of {sample.population:,} conversations, at random with --seed "
        f"{sample.seed}; {sample.bad:,} of them have missing, stale or different records."
    )
    yield (
        f"With 95 % confidence, that is so for at most {sample.bound:,} of all conversations "
        f"({share:.3g} %). The list of conversations itself was compared completely."
    )


def _format_start(extraction: Extraction) -> str:
    if not extraction.started_at:
        return (
            "The data does not say when it was extracted, so everything that Drift has now is "
            "expected. Set --extracted-at if it has changed since."
        )
    time = format_timestamp(extraction.started_at)
    if extraction.is_loaded:
        return f"Drift's changes after {time} are not expected: --extracted-at, or the last record."
    return f"Extraction started at {time}."


def _describe_verdict(comparison: Comparison) -> str:
    if comparison.is_complete:
        return (
            "COMPLETE: all records that Drift had when the extraction started were extracted, "
            "with the same content."
        )
    if comparison.incomplete:
        return f"INCOMPLETE: missing, stale or different records: {comparison.incomplete:,}."
    if comparison.failed_streams:
        streams = ", ".join(sorted(comparison.failed_streams))
        return f"NOT VERIFIED: streams that could not be read from Drift: {streams}."
    if comparison.unread_items:
        count = sum(comparison.unread_items.values())
        return f"NOT VERIFIED: items that could not be read from Drift: {count:,}."
    return "INCOMPLETE: see the messages above."


def _format_verdict(comparison: Comparison) -> Iterator[str]:
    yield _describe_verdict(comparison)
    yield _format_start(comparison.extraction)
    if comparison.sample:
        yield from _format_sample(comparison.sample)
    if comparison.reused:
        yield (
            f"Not requested, because they have not changed since the earlier verification: the "
            f"records of {comparison.reused:,} conversations."
        )
    requests = f"{comparison.request_count:,} requests"
    yield f"Compared with Drift at {format_timestamp(comparison.verified_at)}, using {requests}."
    findings = [result.findings for result in comparison.results]
    updates = sum(each.get("new", 0) + each.get("changed", 0) for each in findings)
    if updates:
        yield (
            f"New or changed since the extraction started: {updates:,}. Run the tap again to "
            "extract them."
        )
