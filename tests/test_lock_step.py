"""The settings stand in four places, and the commands in two; they say the same."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_drift.sandbox.cli import main
from tap_drift.settings import schema
from tap_drift.tap import TapDrift

ROOT = Path(__file__).parents[1]
SCHEMA: dict[str, Any] = schema()
NAMES: list[str] = list(SCHEMA["properties"])


def text(name: str) -> str:
    return (ROOT / name).read_text()


def lines(pattern: str, name: str) -> list[Any]:
    """What a pattern finds in a file, line by line."""
    return re.findall(pattern, text(name), re.MULTILINE)


def extractor() -> dict[str, Any]:
    [tap] = yaml.safe_load(text("meltano.yml"))["plugins"]["extractors"]
    assert isinstance(tap, dict)
    return tap


def default(name: str) -> Any:
    """The setting's default; the user agent's holds the version, and is not written out."""
    return None if name == "user_agent" else SCHEMA["properties"][name].get("default")


def test_every_setting_is_in_every_place_in_one_order() -> None:
    assert [setting["name"] for setting in extractor()["settings"]] == NAMES
    in_capitals = [name.upper() for name in NAMES]
    assert lines(r"^#? ?TAP_DRIFT_(\w+)=", ".env.example") == in_capitals
    assert lines(r"^\| `(\w+)` \| (?:string|date|integer|list)", "README.md") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_meltano_knows_a_setting_as_the_tap_does(name: str) -> None:
    kind = SCHEMA["properties"][name]
    [setting] = [setting for setting in extractor()["settings"] if setting["name"] == name]
    assert setting["label"] == kind["title"]
    assert setting["description"] == kind["description"]
    assert setting.get("value") == default(name)
    assert setting.get("sensitive", False) == kind.get("secret", False)
    choices = [option["value"] for option in setting.get("options", [])]
    assert choices == kind.get("items", {}).get("enum", [])
    plain = "date_iso8601" if kind.get("format") == "date-time" else kind["type"][0]
    assert setting["kind"] == plain


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_knows_a_setting_as_the_tap_does(name: str) -> None:
    [(kind, said, meaning)] = lines(rf"^\| `{name}` \| (.*) \| (.*) \| (.*) \|$", "README.md")
    assert meaning == SCHEMA["properties"][name]["description"]
    assert ("secret" in kind) == bool(SCHEMA["properties"][name].get("secret"))
    assert said.startswith("required") == (name == "access_token")
    if default(name) is not None:
        assert said == f"`{default(name)}`"


@pytest.mark.parametrize("name", NAMES)
def test_the_example_environment_knows_a_setting_as_the_tap_does(name: str) -> None:
    kind = SCHEMA["properties"][name]
    assert f"# {kind['description']}\n" in text(".env.example")
    if "default" in kind:
        assert f"# TAP_DRIFT_{name.upper()}={kind['default']}\n" in text(".env.example")


def test_meltano_asks_for_what_is_required() -> None:
    ways = [way["required"] for way in SCHEMA["anyOf"]]
    assert extractor()["settings_group_validation"] == ways


def test_meltano_knows_what_the_tap_can_do() -> None:
    assert set(extractor()["capabilities"]) == {str(able.value) for able in TapDrift.capabilities}


def test_the_hubs_definition_says_what_the_project_says() -> None:
    hub = yaml.safe_load(text("meltano-hub/tap-drift.yml"))
    shared = ("name", "namespace", "label", "description", "executable", "capabilities")
    for part in (*shared, "settings_group_validation", "settings", "select"):
        assert hub[part] == extractor()[part]


def test_the_hubs_definition_has_what_the_hub_asks_for_and_nothing_else() -> None:
    """As its schema for extractors has it (meltano/hub, schemas/plugin_definitions)."""
    hub = set(yaml.safe_load(text("meltano-hub/tap-drift.yml")))
    required = {"name", "namespace", "variant", "label"}
    others = {"description", "domain_url", "maintenance_status", "keywords", "pip_url", "repo"}
    others |= {"executable", "capabilities", "settings_group_validation", "settings", "select"}
    assert required <= hub <= required | others


def test_the_image_is_built_by_steps_that_ci_runs() -> None:
    assert '"/source[airbyte]"' in text("Dockerfile")
    assert "[airbyte]" in text("tests/end_to_end/test_packaging.py")
    assert f"io.airbyte.version={version('tap-drift')}" in text("Dockerfile")


def test_every_loader_has_its_lock_file() -> None:
    plugins = yaml.safe_load(text("meltano.yml"))["plugins"]["loaders"]
    locks = {path.name for path in (ROOT / "plugins" / "loaders").iterdir()}
    assert locks == {f"{plugin['name']}--{plugin['variant']}.lock" for plugin in plugins}


def test_the_readme_shows_the_sandboxs_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["drift-sandbox", "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out in text("README.md")


@pytest.mark.parametrize(
    "command",
    [
        "pip install uv && uv run pytest",
        "pip install uv && uv run drift-sandbox -- meltano run tap-drift target-duckdb",
    ],
)
def test_ci_runs_the_readmes_commands(command: str) -> None:
    uv = command.removeprefix("pip install uv && ")
    assert command in text("README.md")
    assert f"\n{uv}\n" in text(".ci/run")


def test_the_changelog_begins_with_this_version() -> None:
    assert lines(r"^## ([\d.]+)", "CHANGELOG.md")[0] == version("tap-drift")
