"""The wheel, the source distribution and the installation of the image are complete."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST_PACKAGES = """
import re
from importlib.metadata import distributions
for each in distributions():
    print(re.sub("[-_.]+", "-", each.name).lower() + "==" + each.version)
"""


@pytest.mark.parametrize("kind", ["--wheel", "--sdist"])
def test_built_package_discovers_all_streams(kind: str, uv: str, tmp_path: Path) -> None:
    subprocess.run([uv, "build", "-q", kind, "--out-dir", tmp_path, ROOT], check=True)
    [built] = [path for path in tmp_path.iterdir() if path.suffix in {".whl", ".gz"}]
    run = subprocess.run(
        [
            *(uv, "run", "--no-project", "--isolated", "--python", sys.executable),
            *("--with", str(built), "tap-drift", "--discover"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {stream["stream"]: stream["schema"] for stream in json.loads(run.stdout)["streams"]}
    schemas = (ROOT / "schemas").iterdir()
    assert found == {schema.stem: json.loads(schema.read_text()) for schema in schemas}


def test_archive_without_its_extra_names_the_extra(uv: str, tmp_path: Path) -> None:
    """The tap's own installation has none of the packages that only the archive needs."""
    run = subprocess.run(
        [
            *(uv, "run", "--no-project", "--isolated", "--python", sys.executable),
            *("--with", str(ROOT), "target-drift-archive"),
        ],
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
    pins = (ROOT / "constraints.txt").read_text().splitlines()

    def run(*command: str) -> str:
        environment = [uv, "run", "--no-project", "--isolated", "--python", sys.executable]
        return subprocess.run(
            [*environment, "--with", f"{source}[airbyte]", *command],
            cwd=tmp_path,
            env=os.environ | {"UV_CONSTRAINT": str(source / "constraints.txt")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert json.loads(run("source-drift", "spec"))["type"] == "SPEC"
    installed = run("python", "-c", LIST_PACKAGES).split()
    assert {*installed} <= {*pins, f"tap-drift=={version('tap-drift')}"}
    assert any(name.startswith("airbyte-protocol-models-dataclasses==") for name in installed)
