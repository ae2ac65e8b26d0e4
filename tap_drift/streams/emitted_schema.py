"""Emitted schema: a stream's schema in catalogs and SCHEMA messages, as the settings want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib import Catalog, Schema
from typing_extensions import override

from tap_drift.schemas import SCHEMAS
from tap_drift.streams.json_columns import with_text_columns
from tap_drift.streams.open_objects import with_other_members

if TYPE_CHECKING:
    from singer_sdk import Stream

_Change = Callable[[Mapping[str, Any]], dict[str, Any]]


class EmittedSchema(StreamSchema[str]):
    """Descriptor of a stream's schema, by the stream's name and settings."""

    def __init__(self) -> None:
        super().__init__(SCHEMAS)

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> dict[str, Any]:
        change = _change(stream.config)
        return _changed(stream.name, change) if change else declared(stream.name)


def declared(stream: str) -> dict[str, Any]:
    """Return the schema of a stream as Drift sends its rows."""
    return SCHEMAS.get_schema(stream)


def with_emitted_schemas(catalog: Catalog, config: Mapping[str, Any]) -> Catalog:
    """Return a catalog, which can be older than the settings, with the schemas that they want."""
    change = _change(config)
    if not change:
        return catalog
    changed = Catalog()
    for name, entry in catalog.items():
        changed[name] = replace(entry, schema=Schema.from_dict(change(entry.schema.to_dict())))
    return changed


def _change(config: Mapping[str, Any]) -> _Change | None:
    if config.get("nested_as_json"):
        return with_text_columns
    return with_other_members if config.get("flattening_enabled") else None


@cache
def _changed(stream: str, change: _Change) -> dict[str, Any]:
    return change(declared(stream))
