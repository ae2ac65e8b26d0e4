"""Generate the files that list the settings: the tap's own, and those of the Singer SDK.

The tap's come from the schema in tap_drift/settings.py, the SDK's from the installed version. Run
it after changing a setting or updating the SDK: uv run python scripts/generate_settings.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tap_drift.settings import schema
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LINE_LENGTH = 100

# The SDK's schema has no examples.
EXAMPLES = {
    "stream_maps": {"messages": {"body": "__NULL__"}},
    "stream_map_config": {"hash_seed": "a secret text"},
    "faker_config": {"locale": "de_DE"},
    "flattening_enabled": True,
    "flattening_max_depth": 2,
    "flattening_max_key_length": 63,
    "flattening_separator": "__",
    "batch_config": {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": "file:///tmp/drift"},
    },
}

Setting = dict[str, Any]
Settings = dict[str, Setting]


def render() -> dict[Path, str]:
    """Return the content of each generated file, by path."""
    own: Settings = schema()["properties"]
    builtin = sdk_settings()
    groups: list[list[str]] = [group["required"] for group in schema()["anyOf"]]
    plugin = _plugin_yaml(own | builtin, groups)
    own_table = _markdown_table(("Setting", "Kind", "Default", "Meaning"), _own_rows(own, groups))
    sdk_table = _markdown_table(("Setting", "Kind", "Meaning"), _sdk_rows(builtin))
    blocks = [
        ("meltano.yml", "# settings:start\n", plugin, "# settings:end\n"),
        ("meltano-hub/tap-drift.yml", "# settings:start\n", plugin, "# settings:end\n"),
        ("docs/settings.md", "<!-- settings:start -->\n", own_table, "<!-- settings:end -->\n"),
        ("docs/settings.md", "<!-- sdk:start -->\n", sdk_table, "<!-- sdk:end -->\n"),
    ]
    files = {ROOT / ".env.example": _env_example(own | builtin)}
    for name, start, block, end in blocks:
        path = ROOT / name
        files[path] = replace_between(files.get(path) or path.read_text(), start, block, end)
    return files


def sdk_settings() -> Settings:
    """Return the settings that the SDK adds to those of the tap."""
    config: dict[str, Any] = {"properties": {}}
    TapDrift.append_builtin_config(config)
    settings: Settings = config["properties"]
    return settings


def nested(settings: Settings) -> Iterator[tuple[str, Setting]]:
    """Yield each setting, and the members of objects under dotted names.

    Objects within objects are not yielded, only their members: Meltano passes every declared
    object to the tap, also if no member is set, and the SDK reads an `encoding` without members
    as a wrong `batch_config`. The members of `stream_maps` are streams.
    """
    for name, setting in settings.items():
        yield name, setting
        if name != "stream_maps":
            yield from _members(name, setting)


def _members(prefix: str, setting: Setting) -> Iterator[tuple[str, Setting]]:
    for name, member in setting.get("properties", {}).items():
        path = f"{prefix}.{name}"
        if "properties" in member:
            yield from _members(path, member)
        else:
            yield path, member


def replace_between(text: str, start: str, block: str, end: str) -> str:
    """Replace the lines between two marker lines, indented as the start marker is.

    Raises:
        ValueError: A marker is missing.
    """
    before, found_start, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise ValueError(f"Missing marker: {start.strip()} or {end.strip()}")
    indent = before.rpartition("\n")[2]
    return before + start + textwrap.indent(block, indent) + indent + end + after


class _Dumper(yaml.SafeDumper):
    """Writes long strings as folded blocks."""


def _represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = ">" if len(value) > LINE_LENGTH // 2 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(str, _represent_string)


def _plugin_yaml(settings: Settings, groups: list[list[str]]) -> str:
    """Render the settings as part of a Meltano plugin definition."""
    validation = "".join(f"- [{', '.join(group)}]\n" for group in groups)
    definitions = [_plugin_setting(name, setting) for name, setting in nested(settings)]
    return f"settings_group_validation:\n{validation}" + yaml.dump(
        {"settings": definitions}, Dumper=_Dumper, sort_keys=False, width=LINE_LENGTH - 10
    )


def _plugin_setting(name: str, setting: Setting) -> dict[str, Any]:
    definition: dict[str, Any] = {"name": name, "kind": _plugin_kind(setting)}
    # The user agent contains the version. As a value here it would outlive an upgrade of the tap.
    if "default" in setting and name != "user_agent":
        definition["value"] = setting["default"]
    definition |= {"label": setting["title"], "description": setting["description"]}
    if choices := setting.get("items", setting).get("enum"):
        definition["options"] = [{"label": each.title(), "value": each} for each in choices]
    if setting.get("secret"):
        definition["sensitive"] = True
    return definition


def _plugin_kind(setting: Setting) -> str:
    """Return Meltano's kind, which for several types is text."""
    if setting.get("format") == "date-time":
        return "date_iso8601"
    if "enum" in setting:
        return "options"
    types = _types(setting)
    return types[0] if len(types) == 1 else "string"


def _types(setting: Setting) -> list[str]:
    """Return the JSON types that a setting accepts, except null."""
    found = [option["type"] for option in setting.get("oneOf", [setting])]
    lists = [[types] if isinstance(types, str) else types for types in found]
    return [each for types in lists for each in types if each != "null"]


def _env_example(settings: Settings) -> str:
    """Render .env.example: `access_token` is left blank, other settings are commented out."""
    text = "# Copy to .env and fill in. Meltano reads it from there. Never commit the copy.\n"
    text += "# Generated: uv run python scripts/generate_settings.py\n"
    for name, setting in settings.items():
        comment = textwrap.fill(setting["description"], LINE_LENGTH - len("# "))
        examples = setting.get("examples", [EXAMPLES.get(name, setting.get("default", ""))])
        variable = f"TAP_DRIFT_{name.upper()}={_env_value(examples[0])}"
        if name != "access_token":
            variable = f"# {variable}"
        text += f"\n{textwrap.indent(comment, '# ')}\n{variable}\n"
    return text


def _env_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{json.dumps(value)}'" if isinstance(value, list | dict) else str(value)


def _markdown_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _own_rows(settings: Settings, groups: list[list[str]]) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", _kind(setting), _default(name, setting, groups), setting["description"])
        for name, setting in settings.items()
    ]


def _sdk_rows(settings: Settings) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", _kind(setting), setting["description"]) for name, setting in nested(settings)
    ]


def _kind(setting: Setting) -> str:
    kind = str(setting.get("format", " or ".join(_types(setting))))
    if kind == "array":
        return f"list of {setting['items']['type'][0]}s"
    if "maximum" in setting:
        return f"{kind}, {setting['minimum']} to {setting['maximum']}"
    if "minimum" in setting:
        return f"{kind}, at least {setting['minimum']}"
    return f"{kind}, secret" if setting.get("secret") else kind


def _default(name: str, setting: Setting, groups: list[list[str]]) -> str:
    if name == "user_agent":
        return "`tap-drift/<version>`"
    if "default" in setting:
        return f"`{json.dumps(setting['default'])}`"
    if any(name in group for group in groups):
        others = [f"`{other}`" for group in groups if name not in group for other in group]
        return f"required without {', '.join(others)}"
    return "none"


if __name__ == "__main__":
    for path, text in render().items():
        path.write_text(text)
