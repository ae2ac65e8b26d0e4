"""JSON columns: objects and lists as JSON text, for targets without a type for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_drift.streams.nested import to_json, types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.singerlib import SelectionMask

    from tap_drift.api.responses import Row


def with_text_columns(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema in which columns of objects and lists are strings."""
    columns = schema["properties"].items()
    return {**schema, "properties": {name: _as_text(kind) for name, kind in columns}}


class JsonColumns:
    """Writes the columns of a stream that its catalog declares as strings as JSON text.

    The catalog decides, not the setting: records fit the SCHEMA message, whatever catalog is used.
    """

    def __init__(
        self, declared: Mapping[str, Any], emitted: Mapping[str, Any], mask: SelectionMask
    ) -> None:
        """Find the columns.

        Args:
            declared: Schema of the stream, as Drift sends its rows.
            emitted: Schema in the catalog.
            mask: Selection of the stream's fields.
        """
        self._names = [
            name
            for name, kind in declared["properties"].items()
            if _is_nested(kind) and not _is_nested(emitted["properties"].get(name, kind))
        ]
        self._mask = mask
        self._is_partial = not all(mask.values())

    def encode(self, rows: Iterable[Row]) -> None:
        """Replace objects and lists by JSON text, in place; deselected members are not in it."""
        for name in self._names:
            for row in rows:
                value = row.get(name)
                if value is not None:
                    if self._is_partial:
                        value = self._selected(value, ("properties", name))
                    row[name] = to_json(value)

    def _selected(self, value: Any, breadcrumb: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON value
        if not isinstance(value, dict):
            return value
        members = {name: (*breadcrumb, "properties", name) for name in value}
        return {
            name: self._selected(value[name], path)
            for name, path in members.items()
            if self._mask[path]
        }


def _is_nested(kind: Mapping[str, Any]) -> bool:
    return not {"array", "object"}.isdisjoint(types_of(kind))


def _as_text(kind: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _is_nested(kind):
        return kind
    text: dict[str, Any] = {"type": ["string", "null"]}
    if "description" in kind:
        text["description"] = f"{kind['description']} JSON text."
    return text
