"""The source distribution, the wheel and the installation of the image are complete."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(uv: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command that runs a program of the wheel, which is built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([uv, "build", "-q", "--out-dir", folder, ROOT], check=True)
    [wheel] = folder.glob("*.whl")
    environment = [uv, "run", "--no-project", "--isolated", "--python", sys.executable]
    return [*environment, "--with", str(wheel)]


def test_built_package_discovers_all_streams(installed: list[str], tmp_path: Path) -> None:
    run = subprocess.run(
        [*installed, "tap-drift", "--discover"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {stream["stream"]: stream["schema"] for stream in json.loads(run.stdout)["streams"]}
    schemas = (ROOT / "schemas").iterdir()
    assert found == {schema.stem: json.loads(schema.read_text()) for schema in schemas}


def test_archive_without_its_extra_names_the_extra(installed: list[str], tmp_path: Path) -> None:
    """The tap's own installation has none of the packages that only the archive needs."""
    run = subprocess.run(
        [*installed, "target-drift-archive"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "pip install 'tap-drift[archive]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_image_installation_prints_airbyte_spec(uv: str, tmp_path: Path) -> None:
    """Run the steps of the Dockerfile with the files that it copies."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    source = tmp_path / "source"
    source.mkdir()
    for name in [line.removeprefix("!") for line in ignored if line.startswith("!")]:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    environment = tmp_path / "installed"

    def run(*command: str | Path) -> str:
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    run(uv, "venv", "--python", sys.executable, environment)
    python = ("--python", environment)
    pins = source / "constraints.txt"
    run(uv, "pip", "install", *python, "--constraint", pins, f"{source}[airbyte]")
    assert json.loads(run(environment / "bin" / "source-drift", "spec"))["type"] == "SPEC"
    installed = run(uv, "pip", "list", *python, "--format=freeze").split()
    assert {*installed} <= {*pins.read_text().splitlines(), f"tap-drift=={version('tap-drift')}"}
    assert any(name.startswith("airbyte-protocol-models-dataclasses==") for name in installed)
