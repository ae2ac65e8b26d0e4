"""The examples for Dagster and Airflow, each run by its engine into PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from runs import TARGET_PYTHON

if TYPE_CHECKING:
    from fake_drift import FakeDrift

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARDS = 2


@pytest.fixture
def environment(
    drift: FakeDrift, uv: str, postgres: str, project: Path, tmp_path: Path
) -> dict[str, str]:
    """Environment of a Meltano project with its plugins installed and one state backend."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "state").mkdir()
    python = subprocess.check_output([uv, "python", "find", TARGET_PYTHON], text=True).strip()
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path / "engine"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "DAGSTER_HOME": str(tmp_path / "engine"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DRIFT_PROJECT": str(project),
        "DRIFT_SHARDS": str(SHARDS),
        "MELTANO_STATE_BACKEND_URI": f"file://{tmp_path}/state",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.replace(
            "postgresql://", "postgresql+psycopg://"
        ),
        "TARGET_POSTGRES__PYTHON": python,
    }
    run(["meltano", "install", "tap-drift", "target-postgres"], environment, cwd=project)
    return environment


def run(command: list[str], environment: dict[str, str], cwd: Path) -> None:
    finished = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def engine(uv: str, example: Path) -> list[str]:
    """Return the command that runs the engine version pinned in an example."""
    [pin] = re.findall(r"pip install '(.*?)'", example.read_text())
    return [uv, "run", "--no-project", "--python", ">=3.11,<3.13", "--with", pin]


def loaded(postgres: str) -> dict[str, Any]:
    """Count the rows and the distinct ids of each table."""
    with psycopg.connect(postgres) as database:
        return {
            stream: database.execute(
                f"SELECT count(*), count(DISTINCT id) FROM drift.{stream}"  # noqa: S608 - a constant name
            ).fetchone()
            for stream in ("conversations", "messages")
        }


def expected(drift: FakeDrift) -> dict[str, Any]:
    """Count the rows and the distinct ids that each table should have."""
    rows = {
        "conversations": len(drift.conversation_ids()),
        "messages": len(drift.source_rows("messages")),
    }
    return {stream: (count, count) for stream, count in rows.items()}


def states(tmp_path: Path) -> list[Path]:
    """Return the state files of the shards."""
    return [path for path in (tmp_path / "state").iterdir() if "shard-" in path.name]


@pytest.fixture
def empty_database(postgres: str) -> str:
    """The URL of the database, without the schema of an earlier test."""
    with psycopg.connect(postgres) as database:
        database.execute("DROP SCHEMA IF EXISTS drift CASCADE")
    return postgres


def test_dagster_partitions_load_the_whole_account(
    drift: FakeDrift, uv: str, empty_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    example = EXAMPLES / "dagster" / "definitions.py"
    for shard in range(SHARDS):
        words = ["dagster", "asset", "materialize", "-f", str(example), "--select", "*"]
        run([*engine(uv, example), *words, "--partition", str(shard)], environment, tmp_path)
    assert loaded(empty_database) == expected(drift)
    assert drift.count_requests("/conversations/list") == SHARDS * 3
    assert len(states(tmp_path)) == SHARDS


def test_airflow_mapped_tasks_load_the_whole_account(
    drift: FakeDrift, uv: str, empty_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    example = EXAMPLES / "airflow" / "drift.py"
    environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(example.parent)
    run([*engine(uv, example), "airflow", "db", "migrate"], environment, tmp_path)
    run([*engine(uv, example), "airflow", "dags", "test", "drift"], environment, tmp_path)
    assert loaded(empty_database) == expected(drift)
    assert drift.count_requests("/conversations/list") == SHARDS * 3
    assert len(states(tmp_path)) == SHARDS
