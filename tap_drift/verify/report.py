"""The comparison in words: a table to file, a verdict, and what is missing as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tap_drift.timestamps import spell
from tap_drift.verify.compare import WHYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_drift.verify.compare import Line
    from tap_drift.verify.extraction import Arrived
    from tap_drift.verify.source_reader import Counts
    from tap_drift.verify.store import Store

_FOUND = ("missing", "stale", "new", "changed", "gone", "unasked", "unknown")
_LEGEND = """\
missing: Drift had it when the extraction began, and it did not arrive; stale: an older version did.
new, changed, gone: since the extraction began. The next run gets what is new or changed.
unasked: no conversation names the contact, so the tap does not ask for it.
unknown: what arrived refers to it, and Drift does not give it."""
_CUT = "The input ends in the middle of a line: the run that wrote it was cut."
_WENT_ON = (
    "The input begins with a run that went on from where an earlier one had ended: what only that "
    "one emitted counts as missing. Give the messages of all runs, the first run's first."
)


class Comparison(NamedTuple):
    """All that there is to say."""

    arrived: Arrived
    lines: list[Line]
    counts: Counts | None
    asked: datetime
    """When Drift was asked for what it has now."""

    requests: int
    failed: set[str]
    """The names of the streams that Drift could not be asked for."""

    @property
    def is_whole(self) -> bool:
        """Whether all that Drift had has arrived."""
        lacking = any(line.lacking for line in self.lines if line.stream not in self.failed)
        differing = self.counts is not None and self.counts.differing()
        unknown = lacking or differing or self.arrived.is_cut or self.failed
        return bool(self.arrived.runs) and not unknown


def report(comparison: Comparison, store: Store) -> Iterator[str]:
    """Put it into words.

    Args:
        comparison: What there is to say.
        store: What arrived, and what Drift has.

    Yields:
        Lines for a terminal or a file.
    """
    unread = {line.stream for line in comparison.lines if not line.is_taken} | comparison.failed
    yield from _table(
        [
            ["stream", "in Drift", "arrived", *_FOUND],
            *(_cells(line) for line in comparison.lines if line.stream not in unread),
        ]
    )
    for name in sorted(comparison.failed):
        yield f"{name}: could not be asked for"
    for line in comparison.lines:
        if not line.is_taken:
            referred = line.found.get("not taken", 0)
            yield f"{line.stream}: not taken" + (f", {referred:,} referred to" if referred else "")
    yield ""
    if comparison.counts:
        yield from _statuses(comparison.counts, store)
        yield ""
    yield _LEGEND
    yield ""
    yield from _verdict(comparison)


def lacking(store: Store) -> Iterator[bytes]:
    """Name what is not there.

    Args:
        store: What was compared.

    Yields:
        A JSON object with `stream`, `id` and `why` for each, and a line end.
    """
    query = "SELECT stream, key, what FROM finding ORDER BY rowid"
    for stream, key, what in store.db.execute(query):
        if what in WHYS:
            found = {"stream": stream, "id": msgspec.Raw(key.encode()), "why": WHYS[what]}
            yield msgspec.json.encode(found) + b"\n"


def _cells(line: Line) -> list[str]:
    found = [line.found.get(what, 0) for what in _FOUND]
    return [line.stream, *(f"{count:,}" for count in (line.drift, line.arrived, *found))]


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _statuses(counts: Counts, store: Store) -> Iterator[str]:
    arrived = dict(
        store.rows(
            "SELECT status, count(*) FROM record WHERE side = 0 AND stream = 'conversations' "
            "GROUP BY status"
        )
    )
    names = sorted({*counts.after, *counts.listed}, key=str)
    yield from _table(
        [
            ["conversations", "Drift counts", "Drift lists", "arrived"],
            *(
                [
                    str(name),
                    f"{counts.after[name]:,}" if name in counts.after else "-",
                    f"{counts.listed.get(name, 0):,}",
                    f"{arrived.get(name, 0):,}",
                ]
                for name in names
            ),
        ]
    )
    if differing := counts.differing():
        yield (
            f"Drift does not list what it counts: {', '.join(differing)}. While this was asked, "
            f"{counts.moved:,} conversations were updated, which does not explain it."
        )


def _verdict(comparison: Comparison) -> Iterator[str]:
    arrived = comparison.arrived
    if not arrived.runs:
        yield "Nothing arrived: the input has no messages of tap-drift's."
    if arrived.others:
        yield f"Not compared: {', '.join(sorted(arrived.others))}, which tap-drift does not have."
    if arrived.is_cut:
        yield _CUT
    if arrived.went_on:
        yield _WENT_ON
    began = f"{spell(arrived.began)}, when the extraction began" if arrived.began else "the start"
    lines = [line for line in comparison.lines if line.stream not in comparison.failed]
    lacking = sum(line.lacking for line in lines)
    if comparison.is_whole:
        verdict = f"WHOLE: all that Drift had of these streams at {began}, has arrived."
    elif lacking:
        verdict = f"NOT WHOLE: of what Drift had at {began}, {lacking:,} records are not here."
    elif comparison.failed:
        verdict = f"NOT VERIFIED: {', '.join(sorted(comparison.failed))} could not be asked for."
    else:
        verdict = "NOT WHOLE: see above."
    yield f"{verdict} Asked at {spell(comparison.asked)}, in {comparison.requests:,} requests."
    found = [line.found for line in comparison.lines]
    moved = sum(each.get("new", 0) + each.get("changed", 0) for each in found)
    if moved:
        yield f"Since then, {moved:,} are new or have changed: run the tap again to get them."
