"""The files that scripts/generate_settings.py writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from generate_settings import ROOT, render, replace_between

from tap_drift.settings import schema

COMMAND = "uv run python scripts/generate_settings.py"
FILES = {str(path.relative_to(ROOT)): text for path, text in render().items()}


@pytest.mark.parametrize("name", FILES)
def test_settings_file_is_up_to_date(name: str) -> None:
    if Path(ROOT, name).read_text() != FILES[name]:
        pytest.fail(f"{name} is out of date: run `{COMMAND}`.", pytrace=False)


@pytest.mark.parametrize("name", FILES)
def test_settings_file_has_every_setting(name: str) -> None:
    text = FILES[name].lower()
    assert [setting for setting in schema()["properties"] if setting not in text] == []


def test_plugin_definition_matches_schema() -> None:
    definition = yaml.safe_load(FILES["meltano-hub/tap-drift.yml"])
    properties = schema()["properties"]
    assert {each["name"]: each["description"] for each in definition["settings"]} == {
        name: setting["description"] for name, setting in properties.items()
    }
    assert [each["name"] for each in definition["settings"] if each.get("sensitive")] == [
        name for name, setting in properties.items() if setting.get("secret")
    ]
    groups = [group["required"] for group in schema()["anyOf"]]
    assert definition["settings_group_validation"] == groups


def test_replace_between_keeps_surroundings_and_indents() -> None:
    text = "a:\n  # start\n  old\n  # end\n  b: c  # kept\n"
    expected = "a:\n  # start\n  x:\n  - 1\n  # end\n  b: c  # kept\n"
    assert replace_between(text, "# start\n", "x:\n- 1\n", "# end\n") == expected


@pytest.mark.parametrize("text", ["", "# start\n", "# end\n# start\n"])
def test_replace_between_without_marker_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="Missing marker: # start or # end"):
        replace_between(text, "# start\n", "", "# end\n")
