"""meltano.yml, the Hub definition and the Dockerfile agree with the tap and with each other."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    assert '--constraint /source/constraints.txt "/source[airbyte]"' in text("Dockerfile")
    test = text("tests/end_to_end/test_packaging.py")
    assert "[airbyte]" in test
    assert "constraints.txt" in test


def test_image_has_a_pinned_base() -> None:
    bases = re.findall(r"^FROM (\S+)", text("Dockerfile"), flags=re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])
    assert bases[1:] == ["base", "base"]


def test_image_gets_its_version_from_the_package() -> None:
    assert version("tap-drift") not in text("Dockerfile")
    assert "io.airbyte.version=$VERSION" in text("Dockerfile")
    for file in ("Dockerfile", ".github/workflows/ci.yml"):
        assert 'docker build --build-arg VERSION="$(uv version --short)"' in text(file)
    assert "build-args: VERSION=" in text(".github/workflows/release.yml")


def test_image_pins_the_taps_dependencies_within_their_ranges() -> None:
    """tests/end_to_end/test_packaging.py checks that their dependencies are pinned too."""
    pins = dict(line.split("==") for line in text("constraints.txt").splitlines() if "==" in line)
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["airbyte"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_every_loader_of_the_hub_has_a_lock_file() -> None:
    """A loader without a variant is defined in meltano.yml itself."""
    loaders = yaml.safe_load(text("meltano.yml"))["plugins"]["loaders"]
    plugins = [loader for loader in loaders if "variant" in loader]
    locks = {path.name for path in (ROOT / "plugins" / "loaders").iterdir()}
    assert locks == {f"{plugin['name']}--{plugin['variant']}.lock" for plugin in plugins}
