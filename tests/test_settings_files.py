"""The files that scripts/generate_settings.py writes."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from generate_settings import EXAMPLES, ROOT, render, replace_between, sdk_settings

from tap_drift.settings import schema
from tap_drift.tap import TapDrift

COMMAND = "uv run python scripts/generate_settings.py"
FILES = {str(path.relative_to(ROOT)): text for path, text in render().items()}
KINDS = {"array", "boolean", "date_iso8601", "integer", "object", "options", "string"}
"""The kinds of Meltano that the definition uses."""


@pytest.fixture
def definitions() -> dict[str, dict[str, Any]]:
    """The settings in the plugin definition, by name."""
    definition = yaml.safe_load(FILES["meltano-hub/tap-drift.yml"])
    return {setting["name"]: setting for setting in definition["settings"]}


@pytest.mark.parametrize("name", FILES)
def test_settings_file_is_up_to_date(name: str) -> None:
    if Path(ROOT, name).read_text() != FILES[name]:
        pytest.fail(f"{name} is out of date: run `{COMMAND}`.", pytrace=False)


@pytest.mark.parametrize("name", FILES)
def test_settings_file_has_every_setting(name: str) -> None:
    text = FILES[name].lower()
    TapDrift.append_builtin_config(TapDrift.config_jsonschema)
    settings = TapDrift.config_jsonschema["properties"]
    assert [setting for setting in settings if setting not in text] == []


def test_plugin_definition_matches_schema(definitions: dict[str, dict[str, Any]]) -> None:
    properties = schema()["properties"] | sdk_settings()
    assert {name: definitions[name]["description"] for name in properties} == {
        name: setting["description"] for name, setting in properties.items()
    }
    assert [name for name, each in definitions.items() if each.get("sensitive")] == [
        name for name, setting in properties.items() if setting.get("secret")
    ]


def test_plugin_definition_has_the_setting_groups() -> None:
    groups = [group["required"] for group in schema()["anyOf"]]
    definition = yaml.safe_load(FILES["meltano-hub/tap-drift.yml"])
    assert definition["settings_group_validation"] == groups


def test_plugin_definition_has_kinds_of_meltano(definitions: dict[str, dict[str, Any]]) -> None:
    kinds = {name: each["kind"] for name, each in definitions.items()}
    assert set(kinds.values()) == KINDS
    assert {name: kinds[name] for name in sdk_settings()} == {
        "stream_maps": "object",
        "stream_map_config": "object",
        "faker_config": "object",
        "flattening_enabled": "boolean",
        "flattening_max_depth": "integer",
        "flattening_max_key_length": "integer",
        "flattening_separator": "string",
        "batch_config": "object",
    }


def test_plugin_definition_has_no_object_inside_an_object(
    definitions: dict[str, dict[str, Any]],
) -> None:
    """Meltano passes every declared object, and the SDK reads an empty `encoding` as a setting."""
    members = {name: each for name, each in definitions.items() if "." in name}
    assert sorted(members) == [
        "batch_config.encoding.compression",
        "batch_config.encoding.format",
        "batch_config.storage.prefix",
        "batch_config.storage.root",
        "faker_config.locale",
        "faker_config.seed",
    ]
    assert {each["kind"] for each in members.values()} == {"options", "string"}


def test_tap_reads_the_examples_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FILES[".env.example"].replace("# TAP_DRIFT_", "TAP_DRIFT_")
    for name, value in dotenv_values(stream=StringIO(lines)).items():
        monkeypatch.setenv(name, value or "")
    monkeypatch.setenv("TAP_DRIFT_ACCESS_TOKEN", "token")
    config = TapDrift(parse_env_config=True).config
    assert {name: config[name] for name in sdk_settings()} == EXAMPLES
    assert config["statuses"] == ["open", "pending"]


def test_replace_between_keeps_surroundings_and_indents() -> None:
    text = "a:\n  # start\n  old\n  # end\n  b: c  # kept\n"
    expected = "a:\n  # start\n  x:\n  - 1\n  # end\n  b: c  # kept\n"
    assert replace_between(text, "# start\n", "x:\n- 1\n", "# end\n") == expected


@pytest.mark.parametrize("text", ["", "# start\n", "# end\n# start\n"])
def test_replace_between_without_marker_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="Missing marker: # start or # end"):
        replace_between(text, "# start\n", "", "# end\n")
