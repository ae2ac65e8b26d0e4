"""Nested values: fits the members of objects and lists to their schema, without losing any."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from tap_drift.sync.writer import ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float, Decimal),
    "object": (dict,),
    "string": (str,),
}
"""The types of Python that JSON values of a type have."""

# As responses are decoded: numbers keep their digits.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

JSON_SUFFIX = "_json"
"""Added to the name of a member whose value does not fit its schema."""


class MisfitError(Exception):
    """A value is not of the type in its schema, and cannot be converted."""


def to_json(value: object) -> str:
    """Return a value as compact JSON text."""
    return ENCODER.encode(value).decode()


class NestedType:
    """The type of a value inside a record, from its JSON Schema.

    Drift does not document the types of most members, and targets reject a record with a value of
    another type than the schema's. So a value that does not fit is converted if that loses nothing,
    and is moved to another member otherwise.
    """

    def __init__(self, kind: Mapping[str, Any]) -> None:
        """Create a type from the JSON Schema of a member or list item."""
        names = types_of(kind)
        self._types = {each for name in names for each in TYPES[name]}
        self.scalar_types = self._types - {dict, list}
        """Types of Python whose values need no further check."""
        self._is_text = "string" in names
        members = kind.get("properties", {}).items()
        self._members = {name: NestedType(member) for name, member in members}
        self._items = NestedType(kind["items"]) if "items" in kind else None

    def fit(self, value: Any, path: str, report: Callable[[str], None]) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value, with all members and items of the type in the schema.

        - A text member takes any other value as JSON text.
        - Any other member takes a text that is JSON of its type.
        - A value that does not fit leaves null in its member; as JSON text it is kept in the member
          with the suffix `_json`.

        Objects are changed in place.

        Args:
            value: Any JSON value.
            path: Names of the member and those around it, for `report`.
            report: Takes the path of each member that did not fit.

        Raises:
            MisfitError: If the value itself does not fit.
        """
        if value is None:
            return None
        if type(value) not in self._types:
            value = self._convert(value)
        if self._members and isinstance(value, dict):
            self._fit_members(value, path, report)
        elif self._items and isinstance(value, list):
            return [self._items.fit(item, path, report) for item in value]
        return value

    def _convert(self, value: object) -> Any:  # noqa: ANN401 - any JSON value
        if self._is_text:
            return to_json(value)
        if isinstance(value, str):
            try:
                value = _DECODER.decode(value)
            except (RecursionError, ValueError):
                raise MisfitError from None
        if type(value) not in self._types:
            raise MisfitError
        return value

    def _fit_members(
        self, record: dict[str, Any], path: str, report: Callable[[str], None]
    ) -> None:
        for name, kind in self._members.items():
            value = record.get(name)
            # Most members are absent or fit: the check here halves the time.
            if value is None or type(value) in kind.scalar_types:
                continue
            member = f"{path}.{name}"
            try:
                record[name] = kind.fit(value, member, report)
            except MisfitError:
                record[name] = None
                record[name + JSON_SUFFIX] = to_json(value)
                report(member)


def types_of(kind: Mapping[str, Any]) -> list[str]:
    """Return the names of the types that a JSON Schema allows."""
    names = kind.get("type", [*TYPES])
    return [names] if isinstance(names, str) else names
