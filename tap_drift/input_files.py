"""Files of the command line: the callbacks of `--config`, `--state` and `--catalog`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import click
from jsonschema import Draft202012Validator

from tap_drift.exceptions import InvalidJsonError
from tap_drift.json_input import json_kind, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_sdk.plugin_base import _ConfigInput

    Callback: TypeAlias = Callable[..., Any]

_CONFIG_PATHS = "tap_drift.config"
_ENVIRONMENT = "ENV"
_EXPECTED = {
    "state": "an object with `bookmarks`, such as `value` of the last STATE message of a run",
    "catalog": "an object with `streams`, such as --discover prints",
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "state": {
        "type": "object",
        "anyOf": [{"maxProperties": 0}, {"required": ["bookmarks"]}],
        "properties": {"bookmarks": {"type": "object", "additionalProperties": {"type": "object"}}},
    },
    "catalog": {
        "type": "object",
        "required": ["streams"],
        "properties": {
            "streams": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["tap_stream_id", "schema"],
                    "properties": {"schema": {"type": "object"}},
                },
            }
        },
    },
}

CHECKED_OPTIONS = _SCHEMAS.keys()
"""Names of the options whose files `read_json_file` checks."""


def config_paths() -> tuple[str, ...]:
    """Return the values of `--config`; empty outside the command."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_CONFIG_PATHS, ()) if context else ()


def config_callback(sdk_callback: Callback) -> Callback:
    """Return a callback for `--config` that names the file, and the place, of an error in it.

    Args:
        sdk_callback: `Tap.cb_config`.
    """

    def callback(ctx: click.Context, option: click.Option, value: tuple[str, ...]) -> _ConfigInput:
        ctx.meta[_CONFIG_PATHS] = value
        variables = tuple(source for source in value if source == _ENVIRONMENT)
        config: _ConfigInput = sdk_callback(ctx, option, variables)
        for path in value:
            if path != _ENVIRONMENT:
                config.config |= _read_config(path)
        return config

    return callback


def _read_config(path: str) -> dict[str, Any]:
    try:
        # Once, because it can be a pipe.
        content = parse_json(Path(path).read_bytes(), path)
    except OSError:
        raise click.BadParameter(f"'{path}' cannot be opened.") from None
    except InvalidJsonError as error:
        raise click.BadParameter(str(error)) from None
    if not isinstance(content, dict):
        raise click.BadParameter(f"'{path}' is {json_kind(content)}, not an object.")
    return content


def read_json_file(
    _ctx: click.Context, option: click.Parameter, file: IO[str] | None
) -> IO[str] | None:
    """Check the file of `--state` or `--catalog`, which the SDK does not validate.

    Returns:
        The content as a new file, because the original can be a pipe; None without the option.

    Raises:
        click.BadParameter: If it is not a Singer state or catalog.
    """
    if file is None:
        return None
    kind = str(option.name)
    try:
        with file:
            text = file.read()
        content = parse_json(text, file.name)
    except UnicodeDecodeError:
        raise click.BadParameter(f"'{file.name}' is not a text file.") from None
    except InvalidJsonError as error:
        raise click.BadParameter(f"{error} It must be {_EXPECTED[kind]}.") from None
    if not isinstance(content, dict):
        raise click.BadParameter(
            f"'{file.name}' is {json_kind(content)}, not an object. It must be {_EXPECTED[kind]}."
        )
    if not Draft202012Validator(_SCHEMAS[kind]).is_valid(content):
        raise click.BadParameter(f"'{file.name}' is not a Singer {kind}: {_EXPECTED[kind]}.")
    for entry in content.get("streams", []):
        if entry.get("stream", entry["tap_stream_id"]) != entry["tap_stream_id"]:
            raise click.BadParameter(
                f"'{file.name}' has a stream `{entry['stream']}` with another `tap_stream_id`, "
                f"`{entry['tap_stream_id']}`: both must be the name that --discover prints."
            )
    return io.StringIO(text)
