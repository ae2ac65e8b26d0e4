"""The report of a verification as data: for `--json`, and for the manifest."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tap_drift.timestamps import format_timestamp
from tap_drift.verify.fields import UNCOMPARED
from tap_drift.verify.store import Side

if TYPE_CHECKING:
    from tap_drift.verify.check import Check
    from tap_drift.verify.compare import StreamResult
    from tap_drift.verify.inputs import Input
    from tap_drift.verify.report import Comparison
    from tap_drift.verify.source_reader import SourceReader
    from tap_drift.verify.store import Store


def comparison_as_data(
    comparison: Comparison, store: Store, data: Input, source: SourceReader
) -> dict[str, Any]:
    """Return everything that the report says, without message bodies and secrets."""
    started_at = comparison.extraction.started_at
    return {
        "verdict": comparison.verdict,
        "verifiedAt": format_timestamp(comparison.verified_at),
        "tapDrift": version("tap-drift"),
        "settings": source.settings,
        "data": data.describe(),
        "extractedAt": format_timestamp(started_at) if started_at else None,
        "requests": comparison.request_count,
        "reusedConversations": comparison.reused,
        "streams": {
            result.stream: _stream(result, comparison, store)
            for result in comparison.results
            if result.is_extracted
        },
        "notExtracted": [result.stream for result in comparison.results if not result.is_extracted],
        "conversationsByStatus": _statuses(comparison, store),
        "refused": source.refusals(),
        "sample": comparison.sample._asdict() | {"bound": comparison.sample.bound}
        if comparison.sample
        else None,
        "files": comparison.files._asdict() if comparison.files else None,
        "isTruncated": comparison.extraction.is_truncated,
    }


def check_as_data(check: Check) -> dict[str, Any]:
    """Return everything that the report of a check against a manifest says."""
    return {
        "verdict": check.verdict,
        "manifest": {
            "sha256": check.sha256,
            "verifiedAt": check.manifest.verified_at,
            "verdict": check.manifest.verdict,
        },
        "streams": {
            result.stream: {
                "manifest": result.expected,
                "data": result.found,
                "findings": result.findings,
                "lackingFields": result.lacking,
            }
            for result in check.results
        },
        "otherStreams": check.other_streams,
        "files": check.files._asdict() if check.files else None,
    }


def _stream(result: StreamResult, comparison: Comparison, store: Store) -> dict[str, Any]:
    return {
        "inDrift": None if result.stream in comparison.failed_streams else result.source_count,
        "extracted": result.extracted_count,
        "findings": result.findings,
        "differingFields": result.differing_fields,
        "notInTheData": store.fields[result.stream].unkept,
        "uncompared": UNCOMPARED.get(result.stream, {}),
        "unmatchedColumns": comparison.extraction.unmatched_columns.get(result.stream, []),
    }


def _statuses(comparison: Comparison, store: Store) -> dict[str, dict[str, int | None]]:
    counts, extracted = comparison.counts, store.count_by_status(Side.EXTRACTED)
    if "conversations" not in comparison.extraction.runs:
        return {}
    listed = counts.listed if counts else store.count_by_status(Side.SOURCE)
    counted = counts.counted_after if counts else {}
    return {
        str(status): {
            "counted": counted.get(status),
            "listed": listed.get(status, 0),
            "extracted": extracted.get(status, 0),
        }
        for status in sorted({*counted, *listed, *extracted}, key=str)
    }
