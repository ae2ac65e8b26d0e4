"""Selection of streams: `--select`, and what a Meltano project selects."""

from __future__ import annotations

import json
from copy import deepcopy
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MELTANO_SELECT = "MELTANO_EXTRACT__SELECT"
"""Set by Meltano for the tap: the `select` patterns of the project, as JSON."""


class UnknownStreamError(ValueError):
    """A name or pattern that no stream of the catalog has."""


def select_streams(
    discovered: Mapping[str, Any], catalog: Mapping[str, Any], names: str
) -> dict[str, Any]:
    """Return a catalog of all streams in which these, and no others, are selected.

    Args:
        discovered: The tap's catalog.
        catalog: The user's catalog. Its streams replace those of the tap's, with their fields,
            keys and replication methods.
        names: Names or patterns such as `conversation*`, separated by commas.

    Raises:
        UnknownStreamError: If a name or pattern matches no stream.
    """
    entries = [*discovered["streams"], *catalog.get("streams", [])]
    streams = {entry["tap_stream_id"]: deepcopy(entry) for entry in entries}
    chosen = {name for part in names.split(",") for name in _matches(part.strip(), streams)}
    return _catalog_of(streams, chosen)


def select_in_meltano(discovered: Mapping[str, Any], select: str) -> dict[str, Any]:
    """Return the catalog in which the streams that a Meltano project selects are selected.

    Args:
        discovered: The tap's catalog.
        select: The value of `MELTANO_SELECT`.
    """
    streams = {entry["tap_stream_id"]: deepcopy(entry) for entry in discovered["streams"]}
    return _catalog_of(streams, selected_by_meltano(json.loads(select), streams))


def selected_by_meltano(patterns: Collection[str], names: Iterable[str]) -> set[str]:
    """Return the streams that Meltano's patterns select, such as `messages.*` and `!users.*`."""
    included = [pattern.partition(".")[0] for pattern in patterns if not pattern.startswith("!")]
    negated = [pattern[1:].partition(".") for pattern in patterns if pattern.startswith("!")]
    # A pattern such as `!messages.body` deselects a field only.
    excluded = [stream for stream, _, field in negated if field in {"", "*"}]
    return {name for name in names if _is_any(name, included) and not _is_any(name, excluded)}


def _is_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _catalog_of(streams: Mapping[str, dict[str, Any]], chosen: Collection[str]) -> dict[str, Any]:
    for name, stream in streams.items():
        _root_metadata(stream)["selected"] = name in chosen
    return {"streams": [*streams.values()]}


def _matches(pattern: str, names: Collection[str]) -> list[str]:
    matches = [name for name in names if fnmatchcase(name, pattern)]
    if not matches:
        nearest = get_close_matches(pattern, names, n=1)
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"choose from {', '.join(names)}."
        raise UnknownStreamError(f"There is no stream `{pattern}`: {hint}")
    return matches


def _root_metadata(stream: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of the stream itself, which have no breadcrumb."""
    entries = stream.setdefault("metadata", [])
    for entry in entries:
        if not entry.get("breadcrumb"):
            metadata: dict[str, Any] = entry.setdefault("metadata", {})
            return metadata
    entries.append({"breadcrumb": [], "metadata": {}})
    root: dict[str, Any] = entries[-1]["metadata"]
    return root
