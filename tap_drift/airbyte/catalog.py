"""Catalogs and state: conversion between Airbyte and Singer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airbyte_protocol_dataclasses.models import AirbyteCatalog, AirbyteStream, SyncMode
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.streams.full_table import FullTableStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_drift.streams.base import DriftStream
    from tap_drift.tap import TapDrift

GENERATION_ID = "generation_id"
"""Key of Airbyte's generation id, in a ConfiguredCatalog and in the state of a full refresh."""


class ConfiguredStreams(NamedTuple):
    """The streams that a ConfiguredCatalog selects."""

    generation_ids: dict[str, int | None]
    """Generation id by stream name; None for incremental streams and where Airbyte sends none."""

    full_refresh: frozenset[str]
    """Names of the streams with sync mode `full_refresh`."""

    unknown: list[str]
    """Names of the streams that the source does not have."""

    def singer_catalog(self, tap: TapDrift) -> dict[str, Any]:
        """Return the tap's Singer catalog with only these streams selected."""
        catalog = tap.catalog_dict
        for stream in catalog["streams"]:
            root = next(entry for entry in stream["metadata"] if not entry["breadcrumb"])
            root["metadata"]["selected"] = stream["tap_stream_id"] in self.generation_ids
        return catalog

    def singer_state(
        self, stream_states: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> dict[str, Any]:
        """Convert Airbyte's state to Singer state.

        A full refresh ignores its state, except to resume an interrupted refresh. It resumes only
        if the generation id is unchanged: with a new one, Airbyte deletes the records that the
        interrupted sync emitted.

        Args:
            stream_states: Name and state of each stream, as `parse_states` returns them.
        """
        bookmarks: dict[str, Any] = {}
        for name, stream_state in stream_states:
            if name not in self.generation_ids:
                continue
            state = dict(stream_state)
            generation_id = state.pop(GENERATION_ID, None)
            is_same_generation = (
                generation_id is not None and generation_id == self.generation_ids[name]
            )
            if name not in self.full_refresh or (is_same_generation and "resume" in state):
                bookmarks[name] = state
        return {"bookmarks": bookmarks}


def airbyte_catalog(streams: Iterable[DriftStream]) -> AirbyteCatalog:
    """Describe the tap's streams as an AirbyteCatalog."""
    return AirbyteCatalog([_airbyte_stream(stream) for stream in streams])


def _airbyte_stream(stream: DriftStream) -> AirbyteStream:
    is_incremental = not isinstance(stream, FullTableStream)
    sync_modes = [SyncMode.full_refresh]
    if is_incremental:
        sync_modes.append(SyncMode.incremental)
    cursor = stream.replication_key
    return AirbyteStream(
        name=stream.name,
        # Airbyte uses JSON Schema draft 7. Apart from `$schema`, the schemas are valid in it too.
        json_schema={key: value for key, value in stream.schema.items() if key != "$schema"},
        supported_sync_modes=sync_modes,
        # Per-conversation streams have no replication key: their cursor is the
        # `updatedAt` of the conversation.
        source_defined_cursor=True if is_incremental else None,
        default_cursor_field=[cursor] if cursor else None,
        source_defined_primary_key=[[key] for key in stream.primary_keys],
        is_resumable=is_incremental,
    )


def parse_configured_catalog(
    catalog: Mapping[str, Any], known_streams: Iterable[str]
) -> ConfiguredStreams:
    """Parse a ConfiguredCatalog.

    Raises:
        ConfigValidationError: If it is malformed.
    """
    try:
        entries = {_text(entry["stream"]["name"]): entry for entry in catalog["streams"]}
        modes = {name: SyncMode(entry["sync_mode"]) for name, entry in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigValidationError(
            "The file given as --catalog is not a ConfiguredCatalog: it must be an object with "
            "`streams`, a list of objects with `stream` and `sync_mode`."
        ) from None
    known = set(known_streams)
    unknown = sorted(set(entries) - known)
    entries = {name: entry for name, entry in entries.items() if name in known}
    full_refresh = frozenset(name for name in entries if modes[name] is SyncMode.full_refresh)
    generation_ids = {
        name: entry.get(GENERATION_ID) if name in full_refresh else None
        for name, entry in entries.items()
    }
    return ConfiguredStreams(generation_ids, full_refresh, unknown)


def parse_states(messages: object) -> list[tuple[str, Mapping[str, Any]]]:
    """Parse the state messages of earlier syncs: STREAM, GLOBAL, or LEGACY with a Singer state.

    Args:
        messages: As Airbyte passes them, or as `read` writes them: in the `state` of a message.

    Returns:
        Name and state of each stream; if a stream is there several times, the last one counts.

    Raises:
        ConfigValidationError: If they have another form.
    """
    try:
        return [state for message in _as_list(messages) for state in _stream_states(message)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigValidationError(
            "The file given as --state is not a list of Airbyte state messages, as earlier syncs "
            "wrote them."
        ) from None


def _as_list(messages: object) -> list[Any]:
    """Return the messages; some platforms give `{}` as the empty state, or one message alone."""
    if isinstance(messages, list):
        return messages
    return [messages] if messages else []


def _stream_states(message: dict[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if message.get("type") == "STATE":
        message = message["state"]
    # A message has null for the parts of the other types.
    if message.get("global"):
        streams = message["global"]["stream_states"]
    elif message.get("stream"):
        streams = [message["stream"]]
    else:
        is_empty = message.get("type") == "LEGACY" and not message.get("data")
        singer_state = {"bookmarks": {}} if is_empty else message["data"]
        for name, state in singer_state["bookmarks"].items():
            yield name, dict(state)
        return
    for stream in streams:
        name = _text(stream["stream_descriptor"]["name"])
        yield name, dict(stream.get("stream_state") or {})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
