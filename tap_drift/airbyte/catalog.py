"""Streams, and the state of each, as Airbyte has them and as Singer has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airbyte_protocol_dataclasses.models import AirbyteCatalog, AirbyteStream, SyncMode
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.streams.base import FullTableStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_drift.streams.base import DriftStream
    from tap_drift.tap import TapDrift

GENERATION = "generation_id"
"""In the state of a full refresh: which refresh it belongs to, as Airbyte counts them."""


class Chosen(NamedTuple):
    """What Airbyte asks for."""

    streams: dict[str, int | None]
    """The names of the streams, and the generation of each that is refreshed as a whole."""

    refreshed: frozenset[str]
    """The names of those that are refreshed as a whole."""

    def catalog(self, tap: TapDrift) -> dict[str, Any]:
        """Choose them as Singer does.

        Args:
            tap: A tap that has found its streams.

        Returns:
            A Singer catalog in which they are selected, and no others.
        """
        catalog = tap.catalog_dict
        for stream in catalog["streams"]:
            root = next(each for each in stream["metadata"] if not each["breadcrumb"])
            root["metadata"]["selected"] = stream["tap_stream_id"] in self.streams
        return catalog

    def state(self, states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Take up what earlier syncs left.

        A full refresh begins anew, unless it was cut: then it goes on if it is still the same one,
        that is if what it had emitted is still in the destination.

        Args:
            states: Airbyte's state messages, one for each stream.

        Returns:
            A Singer state.
        """
        bookmarks: dict[str, Any] = {}
        for each in states:
            of_stream = each.get("stream") or {}
            name = (of_stream.get("stream_descriptor") or {}).get("name")
            if name not in self.streams:
                continue
            state = dict(of_stream.get("stream_state") or {})
            generation = state.pop(GENERATION, None)
            is_same = generation is not None and generation == self.streams[name]
            if name not in self.refreshed or (is_same and "resume" in state):
                bookmarks[name] = state
        return {"bookmarks": bookmarks}


def airbyte_catalog(streams: Iterable[DriftStream]) -> AirbyteCatalog:
    """Say which streams there are.

    Args:
        streams: The tap's.

    Returns:
        Airbyte's catalog of them.
    """
    return AirbyteCatalog([_airbyte_stream(stream) for stream in streams])


def _airbyte_stream(stream: DriftStream) -> AirbyteStream:
    is_whole = isinstance(stream, FullTableStream)
    incremental = [] if is_whole else [SyncMode.incremental]
    cursor = stream.replication_key
    return AirbyteStream(
        name=stream.name,
        # Airbyte's are of another draft; these hold in either.
        json_schema={key: value for key, value in stream.schema.items() if key != "$schema"},
        supported_sync_modes=[SyncMode.full_refresh, *incremental],
        # What belongs to a conversation goes by the conversation's `updatedAt`.
        source_defined_cursor=None if is_whole else True,
        default_cursor_field=[cursor] if cursor else None,
        source_defined_primary_key=[[key] for key in stream.primary_keys],
        is_resumable=not is_whole,
    )


def chosen(catalog: Mapping[str, Any], known: Iterable[str]) -> Chosen:
    """Read what Airbyte asks for.

    Args:
        catalog: Airbyte's configured catalog.
        known: The names of the streams that there are.

    Returns:
        What it asks for.

    Raises:
        ConfigValidationError: If it is no such catalog, or names a stream that there is not.
    """
    try:
        entries = {each["stream"]["name"]: each for each in catalog["streams"]}
        modes = {name: SyncMode(entry["sync_mode"]) for name, entry in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigValidationError(
            "The catalog is not a configured catalog of Airbyte's: an object with `streams`, each "
            "with a `stream` and a `sync_mode`."
        ) from None
    unknown = sorted(set(entries) - set(known))
    if unknown:
        raise ConfigValidationError(
            f"The catalog names streams that there are not: {', '.join(unknown)}. Discover again."
        )
    refreshed = frozenset(name for name, mode in modes.items() if mode is SyncMode.full_refresh)
    generations = {
        name: entry.get(GENERATION) if name in refreshed else None
        for name, entry in entries.items()
    }
    return Chosen(generations, refreshed)
