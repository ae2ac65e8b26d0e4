"""Formats the result of a check against a manifest, and its findings as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tap_drift.verify.attachments import FILE_REASONS
from tap_drift.verify.check import CHECK_REASONS
from tap_drift.verify.report import format_files, format_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.verify.check import Check
    from tap_drift.verify.store import Store

_MAX_NAMED = 20
"""Number of records that the report names."""


def format_check(check: Check, store: Store) -> Iterator[str]:
    """Yield the lines of the report."""
    rows = [["stream", "in manifest", "in the data", *CHECK_REASONS]]
    for result in check.results:
        findings = [result.findings.get(kind, 0) for kind in CHECK_REASONS]
        numbers = (result.expected, result.found, *findings)
        rows.append([result.stream, *(f"{number:,}" for number in numbers)])
    yield from format_table(rows)
    yield ""
    yield from _format_findings(store)
    for result in check.results:
        if result.findings and result.lacking:
            yield (
                f"{result.stream}: the data lacks what the digests cover: "
                f"{', '.join(result.lacking)}"
            )
    if check.other_streams:
        yield f"Not checked, because the manifest lacks them: {', '.join(check.other_streams)}."
    if check.files:
        yield from format_files(check.files)
    yield from _format_verdict(check)


def check_findings_as_json(store: Store) -> Iterator[bytes]:
    """Yield a JSON line with `stream`, `id` and `why` for each finding."""
    reasons = CHECK_REASONS | FILE_REASONS
    for stream, key, kind in store.execute("SELECT stream, key, kind FROM finding ORDER BY rowid"):
        finding = {"stream": stream, "id": msgspec.Raw(key.encode()), "why": reasons[kind]}
        yield msgspec.json.encode(finding) + b"\n"


def _format_findings(store: Store) -> Iterator[str]:
    """Name the first records."""
    [(count,)] = store.execute("SELECT count(*) FROM finding")
    named = store.execute(
        "SELECT kind, stream, key FROM finding ORDER BY rowid LIMIT :limit", limit=_MAX_NAMED
    )
    for kind, stream, key in named:
        yield f"{kind}: {stream} {key}"
    if count > _MAX_NAMED:
        yield f"and {count - _MAX_NAMED:,} others: --missing lists all."


def _format_verdict(check: Check) -> Iterator[str]:
    if check.is_unchanged:
        count = sum(result.expected for result in check.results)
        yield f"UNCHANGED: all {count:,} records are those of the manifest."
    elif check.changed:
        yield f"CHANGED: records that differ from the manifest: {check.changed:,}."
    else:
        yield "CHANGED: see the files above."
    manifest, sample = check.manifest, check.manifest.sample
    scope = (
        f" in a sample of {sample.size:,} of {sample.population:,} conversations" if sample else ""
    )
    yield (
        f"Manifest of {manifest.verified_at}, when the data was {manifest.verdict}{scope}. "
        f"Its SHA-256: {check.sha256}"
    )
