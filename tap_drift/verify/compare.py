"""What arrived beside what Drift has now: what is missing, and what has only moved since."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tap_drift.timestamps import spell

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tap_drift.verify.extraction import Arrived
    from tap_drift.verify.store import Store

WHYS = {
    "missing": "Drift had it when the extraction began, and it did not arrive",
    "stale": "Drift had a later version when the extraction began, and an older one arrived",
    "unasked": "what arrived refers to it, but no conversation does: the tap does not ask for it",
    "unknown": "what arrived refers to it, and Drift does not give it",
    "not taken": "what arrived refers to it, and its stream was not extracted",
}
"""What is lacking, and why; `missing` and `stale` are what an extraction should have had."""

_BY_ITSELF = "coalesce(d.made, '') < :horizon"
_CONVERSATION = (
    "coalesce((SELECT version FROM record WHERE side = 1 AND stream = 'conversations' "
    "AND key = CAST(d.conversation AS TEXT)), '') < :horizon"
)
# A conversation that was updated since is read again, and its messages with it. Of those that were
# read before, what was said by then must be there all the same.
_READ = (
    "coalesce(d.made, '') < (SELECT max(settled) FROM record INDEXED BY by_conversation "
    "WHERE side = 0 AND stream = 'messages' AND conversation = d.conversation)"
)
_MESSAGE = f"({_BY_ITSELF} AND {_CONVERSATION}) OR {_READ}"
_CONTACT = (
    "EXISTS (SELECT 1 FROM reference WHERE stream = 'contacts' AND key = d.key "
    "AND (side = 0 OR coalesce(made, '') < :horizon))"
)
_WAS_THERE = {
    "contacts": _CONTACT,
    "conversation_details": _CONVERSATION,
    "messages": _MESSAGE,
    "transcripts": _CONVERSATION,
}
"""Whether a row of Drift's, `d`, was there when the extraction began; for each stream."""

# The tap asks for the contacts that conversations name, and for no others.
_UNASKED = (
    "d.stream = 'contacts' AND d.key NOT IN "
    "(SELECT key FROM reference WHERE side = 1 AND stream = 'contacts')"
)
_BOTH = "SELECT 1 FROM record WHERE side = {side} AND stream = {row}.stream AND key = {row}.key"
_NOT_ARRIVED = _BOTH.format(side=0, row="d")
_NOT_IN_DRIFT = _BOTH.format(side=1, row="a")


class Line(NamedTuple):
    """What the comparison of a stream came to."""

    stream: str
    is_taken: bool
    drift: int
    arrived: int
    found: dict[str, int]
    """How many of each kind: those of `WHYS`, and `new`, `changed` and `gone`."""

    @property
    def lacking(self) -> int:
        """How many are not there as the extraction should have had them."""
        return self.found.get("missing", 0) + self.found.get("stale", 0)


def compare(store: Store, arrived: Arrived, asked: datetime, lookback: timedelta) -> list[Line]:
    """Compare all streams.

    What was last updated since the extraction began, less `lookback`, is what the next run reads:
    it is new or changed since, and not missing. So is a conversation that is not there because it
    was updated, and moved away, while the extraction read the listing.

    Args:
        store: What arrived, and what Drift has.
        arrived: What is known of the messages.
        asked: When Drift was asked for what it has now.
        lookback: How far Drift's listings may lag behind.

    Returns:
        A line for each stream.
    """
    store.db.execute("CREATE INDEX by_conversation ON record (side, stream, conversation, settled)")
    for stream in store.keys:
        if stream in arrived.runs:
            began = arrived.runs[stream].began or arrived.began or asked
            _find(store, stream, spell(began - lookback))
        else:
            store.rows(
                "INSERT INTO finding SELECT stream, key, 'not taken' FROM reference "
                "WHERE side = 0 AND stream = :stream",
                stream=stream,
            )
    return [_line(store, stream, is_taken=stream in arrived.runs) for stream in store.keys]


def _find(store: Store, stream: str, horizon: str) -> None:
    there = _WAS_THERE.get(stream, _BY_ITSELF)
    store.rows(
        f"INSERT INTO finding SELECT stream, key, CASE WHEN {_UNASKED} THEN 'unasked' "  # noqa: S608 - our own words
        f"WHEN {there} THEN 'missing' ELSE 'new' END "
        f"FROM record AS d WHERE side = 1 AND stream = :stream AND NOT EXISTS ({_NOT_ARRIVED})",
        stream=stream,
        horizon=horizon,
    )
    store.rows(
        "INSERT INTO finding "
        "SELECT d.stream, d.key, CASE WHEN d.version < :horizon THEN 'stale' ELSE 'changed' END "
        "FROM record AS d JOIN record AS a ON a.side = 0 AND a.stream = d.stream AND a.key = d.key "
        "WHERE d.side = 1 AND d.stream = :stream AND d.version > a.version",
        stream=stream,
        horizon=horizon,
    )
    store.rows(
        "INSERT INTO finding SELECT stream, key, 'gone' FROM record AS a "  # noqa: S608 - our own words
        f"WHERE side = 0 AND stream = :stream AND NOT EXISTS ({_NOT_IN_DRIFT})",
        stream=stream,
    )
    store.rows(
        "INSERT INTO finding SELECT stream, key, 'unknown' FROM reference AS a "
        "WHERE side = 0 AND stream = :stream AND key NOT IN "
        "(SELECT key FROM record WHERE stream = :stream)",
        stream=stream,
    )


def _line(store: Store, stream: str, *, is_taken: bool) -> Line:
    records = dict(
        store.rows(
            "SELECT side, count(*) FROM record WHERE stream = :stream GROUP BY side", stream=stream
        )
    )
    found = dict(
        store.rows(
            "SELECT what, count(*) FROM finding WHERE stream = :stream GROUP BY what", stream=stream
        )
    )
    return Line(stream, is_taken, records.get(1, 0), records.get(0, 0), found)
