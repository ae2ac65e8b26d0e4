"""meltano.yml, the Hub definition and the Dockerfile agree with the tap and with each other."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tap_drift.tap import TapDrift

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text()


def extractor() -> dict[str, Any]:
    [tap] = yaml.safe_load(text("meltano.yml"))["plugins"]["extractors"]
    assert isinstance(tap, dict)
    return tap


def test_meltano_lists_the_taps_capabilities() -> None:
    assert set(extractor()["capabilities"]) == {str(able.value) for able in TapDrift.capabilities}


def test_hub_definition_matches_meltano_yml() -> None:
    hub = yaml.safe_load(text("meltano-hub/tap-drift.yml"))
    shared = ("name", "namespace", "label", "description", "executable", "capabilities")
    for part in (*shared, "settings_group_validation", "settings", "select"):
        assert hub[part] == extractor()[part]


def test_hub_definition_has_the_hubs_fields_only() -> None:
    """Fields of the Hub's schema (meltano/hub, schemas/plugin_definitions)."""
    hub = set(yaml.safe_load(text("meltano-hub/tap-drift.yml")))
    required = {"name", "namespace", "variant", "label"}
    others = {"description", "domain_url", "maintenance_status", "keywords", "pip_url", "repo"}
    others |= {"executable", "capabilities", "settings_group_validation", "settings", "select"}
    assert required <= hub <= required | others


def test_hub_variant_is_the_maintainer() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    maintainer = project["authors"][0]["name"].removeprefix("The ").replace(" ", "-")
    assert yaml.safe_load(text("meltano-hub/tap-drift.yml"))["variant"] == maintainer


def test_image_build_steps_are_tested() -> None:
    assert '"/source[airbyte]"' in text("Dockerfile")
    assert "[airbyte]" in text("tests/end_to_end/test_packaging.py")
    assert f"io.airbyte.version={version('tap-drift')}" in text("Dockerfile")


def test_every_loader_of_the_hub_has_a_lock_file() -> None:
    """A loader without a variant is defined in meltano.yml itself."""
    loaders = yaml.safe_load(text("meltano.yml"))["plugins"]["loaders"]
    plugins = [loader for loader in loaders if "variant" in loader]
    locks = {path.name for path in (ROOT / "plugins" / "loaders").iterdir()}
    assert locks == {f"{plugin['name']}--{plugin['variant']}.lock" for plugin in plugins}
