"""Open objects: undeclared members in one text member, so that flattening does not lose them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_drift.streams.nested import to_json, types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_drift.api.responses import Row

OTHER_MEMBERS = "otherMembers"

_SCHEMA = {
    "type": ["string", "null"],
    "description": "The members that this schema does not name, as JSON text. Null if none.",
}


def with_other_members(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema in which each object with members has `otherMembers`."""
    members = {name: _extended(kind) for name, kind in schema["properties"].items()}
    return {**schema, "properties": members}


def _extended(kind: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _has_members(kind):
        return kind
    extended = with_other_members(kind)
    extended["properties"][OTHER_MEMBERS] = _SCHEMA
    return extended


def _has_members(kind: Mapping[str, Any]) -> bool:
    return "object" in types_of(kind) and bool(kind.get("properties"))


class OpenObjects:
    """Completes the objects of a stream for flattening.

    The SDK makes a column of each member of an object. Those of undeclared members, and of an
    object that is null, are not in the SCHEMA message: most targets drop them, some fail.
    """

    def __init__(self, schema: Mapping[str, Any], max_depth: int) -> None:
        """Find the columns with objects.

        Args:
            schema: Schema in the catalog, with `otherMembers`.
            max_depth: Depth to which objects are flattened; deeper ones become JSON text.
        """
        columns = schema["properties"].items()
        self._columns = {name: kind for name, kind in columns if _has_members(kind)}
        self._max_depth = max_depth

    def complete(self, rows: Iterable[Row]) -> None:
        """Add null for absent members, and move undeclared ones to `otherMembers`, in place."""
        if self._max_depth:
            for name, kind in self._columns.items():
                for row in rows:
                    row[name] = self._completed(row.get(name), kind, depth=1)

    def _completed(self, value: Any, kind: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401 - any JSON value
        if value is not None and not isinstance(value, dict):
            return value
        given, members = value or {}, kind["properties"]
        completed = {}
        for name, member in members.items():
            completed[name] = given.get(name)
            if depth < self._max_depth and _has_members(member):
                completed[name] = self._completed(completed[name], member, depth + 1)
        if others := {name: given[name] for name in given if name not in members}:
            completed[OTHER_MEMBERS] = to_json(others)
        return completed
