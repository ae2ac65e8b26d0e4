"""A copy of the Meltano project, and Meltano's commands in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).parents[1]


def create_project(project: Path) -> Path:
    """Create a copy of the Meltano project that installs this tap.

    Meltano writes into the folder of its project.
    """
    project.mkdir()
    shutil.copy(ROOT / "meltano.yml", project)
    shutil.copytree(ROOT / "plugins", project / "plugins")
    for name in ("LICENSE", "README.md", "drift_archive", "pyproject.toml", "schemas", "tap_drift"):
        (project / name).symlink_to(ROOT / name)
    (project / "output").mkdir()
    return project


class Meltano:
    """Runs Meltano's commands in a project.

    Attributes:
        project: The folder of the project.
        environment: Environment variables of every command.
    """

    def __init__(self, project: Path, environment: dict[str, str]) -> None:
        self.project = project
        self.environment = environment

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Meltano's that must succeed."""
        return self._run([shutil.which("meltano") or "meltano", *words], environment)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of Meltano's in a process group, with its log as standard output."""
        return subprocess.Popen(
            [shutil.which("meltano") or "meltano", *words],
            cwd=self.project,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def shell(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command that must succeed."""
        return self._run(["/bin/sh", "-e", "-c", command], environment)

    def _run(
        self, command: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            command,
            cwd=self.project,
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query what target-duckdb has loaded."""
        with duckdb.connect(self.environment["TARGET_DUCKDB_FILEPATH"], read_only=True) as database:
            return database.execute(sql).fetchall()
