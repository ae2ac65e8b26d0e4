"""Fields of a stream that are compared, and the digest of a record's fields."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tap_drift.schemas import SCHEMAS
from tap_drift.verify.canonical import Value, canonical, converter, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Record

Shape: TypeAlias = "dict[str, Shape] | None"
"""The members of a value that the data can have; None for all, `*` for those without a name here.

That of a list is its items'. An object with named members counts as null if it has none.
"""

OTHERS = "*"
"""The name of all fields, or members of an object, that have no name of their own."""

METADATA_PREFIX = "_sdc_"
"""Prefix of the columns that targets add."""

UNCOMPARED = {
    "attachments": {
        "path": "depends on `attachments_path`",
        "sha256": "depends on `attachments_path`",
        "size": "depends on `attachments_path`",
    },
    "conversation_stats": {"conversationCount": "changes by itself"},
    "users": {"availability": "changes by itself"},
}
"""Fields that are not compared with Drift, by stream, and why."""

_PART_BYTES = 4
_ABSENT = bytes(_PART_BYTES)


class Digest(NamedTuple):
    """Digests of one record."""

    compared: bytes
    """SHA-256 of the fields that are compared with Drift."""

    all: bytes
    """SHA-256 of all fields."""

    parts: bytes
    """The first bytes of the SHA-256 of each compared field, to find those that differ."""


class StreamFields:
    """The fields of one stream that the data has, and the digests of its records."""

    def __init__(self, stream: str) -> None:
        properties = SCHEMAS.fetch_schema(stream)["properties"]
        self._converters = {name: converter(kind) for name, kind in properties.items()}
        self._uncompared = UNCOMPARED.get(stream, {}).keys()
        self._set_shape(dict.fromkeys(properties), has_others=True)
        self.unkept: Counter[str] = Counter()
        """Number of Drift's records that have a field that the data lacks, by its path."""

        self._fixed_paths: list[str] | None = None
        self.lacking: list[str] = []
        """Paths that a manifest names, and that the data does not have."""

        self.other_count = 0
        """Number of extracted records with fields beyond the schema."""

    @property
    def declared(self) -> Iterable[str]:
        """The fields of the schema, in its order."""
        return self._converters.keys()

    @property
    def paths(self) -> list[str]:
        """What the digest of all fields covers: `id`, `author.type`, and `*` for other fields."""
        others = [OTHERS] if self._has_others and self.other_count else []
        return [*_paths(self._shape), *others]

    def restrict(self, shape: Mapping[str, Shape], *, has_others: bool) -> None:
        """Limit the fields to those that the data has, unless a manifest names them.

        Args:
            shape: The fields, by name, with the members that it has of each.
            has_others: Whether it has fields beyond the schema as well.
        """
        if self._fixed_paths is not None:
            self.lacking = [path for path in self._fixed_paths if not _covers(shape, path)]
            return
        kept = {name: shape[name] for name in self._converters if name in shape}
        self._set_shape(kept, has_others=has_others)

    def fix(self, paths: Iterable[str]) -> None:
        """Set the fields to those that `paths` returned when a manifest was written."""
        names = [*paths]
        self.restrict(_shape_of(names), has_others=OTHERS in names)
        self._fixed_paths = [name for name in names if name != OTHERS]

    def canonical_record(self, record: Record) -> Record:
        """Return a record with canonical values, without nulls and the columns that targets add.

        Empty text counts as null: targets that load CSV files cannot tell one from the other.
        """
        return {
            name: self._converters.get(name, canonical)(value)
            for name, value in record.items()
            if value is not None and value != "" and not name.startswith(METADATA_PREFIX)
        }

    def digest(self, record: Record, *, is_source: bool) -> Digest:
        """Compute the digests of a canonical record.

        Args:
            record: What `canonical_record` returned.
            is_source: Whether it is Drift's: then fields that the data lacks are counted.
        """
        unkept: Counter[str] = Counter()
        declared = {name: each for name, each in record.items() if name in self._converters}
        values = _project(declared, self._shape, "", unkept) or {}
        others = {name: each for name, each in record.items() if name not in self._converters}
        if not self._has_others:
            unkept.update(others.keys())
            others = {}
        if is_source:
            self.unkept += unkept
        else:
            self.other_count += bool(others)
        parts = [_part(values.get(name)) for name in self._compared]
        parts.append(_part(others or None))
        everything = compared = _sha256(values | others)
        if self._uncompared:
            kept = {name: values[name] for name in self._compared if name in values}
            compared = _sha256(kept | others)
        return Digest(compared, everything, b"".join(parts))

    def differing_fields(self, parts: bytes | None, others: bytes | None) -> list[str]:
        """Name the fields whose parts of two digests differ; none if the parts are unknown."""
        if parts is None or others is None:
            return []
        names = [*self._compared, "other fields"]
        offsets = range(0, len(parts), _PART_BYTES)
        return [
            name
            for name, start in zip(names, offsets, strict=True)
            if parts[start : start + _PART_BYTES] != others[start : start + _PART_BYTES]
        ]

    def _set_shape(self, shape: Mapping[str, Shape], *, has_others: bool) -> None:
        self._shape = {**shape}
        self._has_others = has_others
        self._compared = [name for name in shape if name not in self._uncompared]


def _project(value: Value, shape: Shape, path: str, unkept: Counter[str]) -> Value:
    """Return the part of a value that a shape has, None if there is none; count what it lacks."""
    if shape is None:
        return value
    if isinstance(value, list):
        return [_project(item, shape, path, unkept) for item in value]
    if not isinstance(value, dict):
        return value
    others = value.keys() - shape.keys()
    members = {name: value[name] for name in others} if OTHERS in shape else {}
    if OTHERS not in shape:
        unkept.update(f"{path}{name}" for name in others)
    for name in value.keys() & shape.keys():
        members[name] = _project(value[name], shape[name], f"{path}{name}.", unkept)
    return {name: member for name, member in members.items() if member is not None} or None


def _paths(shape: Mapping[str, Shape], prefix: str = "") -> Iterator[str]:
    for name, members in shape.items():
        if members is None:
            yield f"{prefix}{name}"
        else:
            yield from _paths(members, f"{prefix}{name}.")


def _covers(shape: Mapping[str, Shape], path: str) -> bool:
    name, _, rest = path.partition(".")
    members = shape.get(name, {})
    return members is None or (bool(rest) and _covers(members, rest))


def _shape_of(paths: Iterable[str]) -> dict[str, Shape]:
    shape: dict[str, Any] = {}
    for path in paths:
        *parents, last = path.split(".")
        members = shape
        for parent in parents:
            members = members.setdefault(parent, {})
        members[last] = None
    return shape


def _sha256(values: dict[str, Any]) -> bytes:
    return hashlib.sha256(encode(values)).digest()


def _part(value: Value) -> bytes:
    return _ABSENT if value is None else hashlib.sha256(encode(value)).digest()[:_PART_BYTES]
