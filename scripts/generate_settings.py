"""Generate the files that list the tap's settings from the schema in tap_drift/settings.py.

Run it after changing a setting: uv run python scripts/generate_settings.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import yaml

from tap_drift.settings import schema

ROOT = Path(__file__).parents[1]
LINE_LENGTH = 100

Setting = dict[str, Any]


def render() -> dict[Path, str]:
    """Return the content of each generated file, by path."""
    settings: dict[str, Setting] = schema()["properties"]
    groups: list[list[str]] = [group["required"] for group in schema()["anyOf"]]
    plugin = _plugin_yaml(settings, groups)
    blocks = {
        "meltano.yml": ("# settings:start\n", plugin, "# settings:end\n"),
        "meltano-hub/tap-drift.yml": ("# settings:start\n", plugin, "# settings:end\n"),
        "docs/settings.md": (
            "<!-- settings:start -->\n",
            _markdown_table(settings, groups),
            "<!-- settings:end -->\n",
        ),
    }
    files = {ROOT / ".env.example": _env_example(settings)}
    for name, (start, block, end) in blocks.items():
        path = ROOT / name
        files[path] = replace_between(path.read_text(), start, block, end)
    return files


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


def _plugin_yaml(settings: dict[str, Setting], groups: list[list[str]]) -> str:
    """Render the settings as part of a Meltano plugin definition."""
    validation = "".join(f"- [{', '.join(group)}]\n" for group in groups)
    definitions = [_plugin_setting(name, setting) for name, setting in settings.items()]
    return f"settings_group_validation:\n{validation}" + yaml.dump(
        {"settings": definitions}, Dumper=_Dumper, sort_keys=False, width=LINE_LENGTH - 10
    )


def _plugin_setting(name: str, setting: Setting) -> dict[str, Any]:
    is_date = setting.get("format") == "date-time"
    definition = {"name": name, "kind": "date_iso8601" if is_date else setting["type"][0]}
    # The user agent contains the version. As a value here it would outlive an upgrade of the tap.
    if "default" in setting and name != "user_agent":
        definition["value"] = setting["default"]
    definition |= {"label": setting["title"], "description": setting["description"]}
    if choices := setting.get("items", {}).get("enum"):
        definition["options"] = [{"label": each.title(), "value": each} for each in choices]
    if setting.get("secret"):
        definition["sensitive"] = True
    return definition


def _env_example(settings: dict[str, Setting]) -> str:
    """Render .env.example: `access_token` is left blank, other settings are commented out."""
    text = "# Copy to .env and fill in. Meltano reads it from there. Never commit the copy.\n"
    text += "# Generated: uv run python scripts/generate_settings.py\n"
    for name, setting in settings.items():
        comment = textwrap.fill(setting["description"], LINE_LENGTH - len("# "))
        value = setting["examples"][0] if "examples" in setting else setting.get("default", "")
        value = json.dumps(value) if isinstance(value, list | bool) else value
        variable = f"TAP_DRIFT_{name.upper()}={value}"
        if name != "access_token":
            variable = f"# {variable}"
        text += f"\n{textwrap.indent(comment, '# ')}\n{variable}\n"
    return text


def _markdown_table(settings: dict[str, Setting], groups: list[list[str]]) -> str:
    rows = [
        (f"`{name}`", _kind(setting), _default(name, setting, groups), setting["description"])
        for name, setting in settings.items()
    ]
    header = ("Setting", "Kind", "Default", "Meaning")
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _kind(setting: Setting) -> str:
    kind = str(setting.get("format", setting["type"][0]))
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
