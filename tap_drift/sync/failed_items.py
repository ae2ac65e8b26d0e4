"""Failed items: conversations and contacts that could not be read, in the state of their stream."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_drift.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

MAX_ITEMS = 1000
"""Number of failed items that a state may list: with more, the stream has failed."""

_KEY = "failed_items"


class FailedItem(NamedTuple):
    """An item that could not be read. Times are RFC 3339, UTC."""

    id: int
    reason: str
    status: int | None
    """HTTP status of the last response; None if there was none, or its content was wrong."""

    first_failed_at: str
    last_failed_at: str


class FailedItems:
    """The failed items of a stream, by id; backed by the stream's Singer state.

    | key of `failed_items` | value |
    |---|---|
    | the item's id, as text | `{"reason", "status", "since", "last"}` |
    """

    def __init__(self, state: MutableMapping[str, Any]) -> None:
        """Create a view.

        Args:
            state: The stream's Singer state.
        """
        self._state = state

    def __iter__(self) -> Iterator[FailedItem]:
        """Iterate over the items, the one that failed first first."""
        return (_parse(key, entry) for key, entry in self._entries.items())

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._entries)

    def __contains__(self, item_id: int) -> bool:
        """Return whether an item is listed."""
        return str(item_id) in self._entries

    def add(self, item_id: int, reason: str, status: int | None) -> None:
        """Record a failure of an item."""
        now = format_timestamp(datetime.now(UTC))
        entries = self._state.setdefault(_KEY, {})
        since = entries.get(str(item_id), {}).get("since", now)
        entries[str(item_id)] = {"reason": reason, "status": status, "since": since, "last": now}

    def resolve(self, item_id: int) -> FailedItem | None:
        """Remove an item that has been read, or is deleted; return it if it was listed."""
        key = str(item_id)
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        if not self._entries:
            del self._state[_KEY]
        return _parse(key, entry)

    @property
    def _entries(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = self._state.get(_KEY, {})
        return entries


def are_valid(state: Mapping[str, Any]) -> bool:
    """Return whether the failed items of a state have the form that this version writes."""
    try:
        for key, entry in state.get(_KEY, {}).items():
            item = _parse(key, entry)
            parse_timestamp(item.first_failed_at)
            parse_timestamp(item.last_failed_at)
            if type(item.reason) is not str or type(item.status) not in {int, type(None)}:
                return False
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def requested_again(count: int) -> str:
    """Say what happens to a number of failed items."""
    if count == 1:
        return "The next run requests it again."
    return "The next run requests them again."


def _parse(key: str, entry: Mapping[str, Any]) -> FailedItem:
    return FailedItem(int(key), entry["reason"], entry["status"], entry["since"], entry["last"])
