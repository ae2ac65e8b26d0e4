"""`meltano run`, as the README has it, in a copy of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from support import TARGET_PYTHON

if TYPE_CHECKING:
    from support import FaultyDrift

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    for path in ("pyproject.toml", "README.md", "LICENSE", "meltano.yml"):
        shutil.copy(ROOT / path, project)
    for path in ("plugins", "schemas", "tap_drift"):
        shutil.copytree(ROOT / path, project / path)
    (project / "output").mkdir()
    return project


def test_a_second_run_goes_on_from_the_first(drift: FaultyDrift, uv: str, project: Path) -> None:
    python = subprocess.check_output([uv, "python", "find", TARGET_PYTHON], text=True).strip()
    environment = {
        "MELTANO_ENVIRONMENT": "sandbox",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TARGET_DUCKDB__PYTHON": python,
    }

    def run() -> str:
        command = ["meltano", "run", "tap-drift", "target-duckdb"]
        finished = subprocess.run(
            command,
            cwd=project,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = finished.stdout + finished.stderr
        assert finished.returncode == 0, said
        assert drift.token not in said
        return said

    def loaded() -> list[tuple[int, str]]:
        with duckdb.connect(str(project / "output" / "sandbox.duckdb"), read_only=True) as database:
            return database.execute("SELECT id, status FROM drift.conversations").fetchall()

    run()
    assert sorted(loaded()) == sorted((c["id"], c["status"]) for c in drift.account.conversations)
    drift.update(drift.ids()[-1], 1_788_000_000_000, status="reopened")
    assert "metric_name=record_count metric_value=2" in run()
    assert sorted(loaded()) == sorted((c["id"], c["status"]) for c in drift.account.conversations)
