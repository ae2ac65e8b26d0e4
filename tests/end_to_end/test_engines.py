"""The examples for Dagster and Airflow: all shards at once into an empty PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from meltano_project import ROOT

from tap_drift.sandbox.data.account import Account
from tap_drift.sync.shards import Shard

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from meltano_project import Meltano

STREAMS = ("conversations", "messages", "contacts")
SHARDS = 2
"""Fewer than the examples have: a shard costs seconds to start."""


@pytest.fixture
def account() -> Account:
    return Account.from_seed(30, seed=7)


@pytest.fixture
def environment(
    drift: FakeDrift, installed: Meltano, postgres: str, tmp_path: Path
) -> dict[str, str]:
    """Environment of the installed Meltano project, with an empty database and without state."""
    with psycopg.connect(postgres) as database:
        database.execute("DROP SCHEMA IF EXISTS drift CASCADE")
    (tmp_path / "state").mkdir()
    (tmp_path / "home").mkdir()  # for the engine's database
    settings = {
        "AIRFLOW_VAR_DRIFT_PROJECT": str(installed.project),
        "AIRFLOW_VAR_DRIFT_STATE_BACKEND": f"file://{tmp_path}/state",
        "DRIFT_PROJECT": str(installed.project),
        "MELTANO_STATE_BACKEND_URI": f"file://{tmp_path}/state",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TAP_DRIFT_PAGE_SIZE": "20",  # two pages
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.replace(
            "postgresql://", "postgresql+psycopg://"
        ),
    }
    return os.environ | installed.environment | settings


def copy_example(name: str, folder: Path) -> Path:
    """Copy an example, with `SHARDS` shards."""
    text = (ROOT / "examples" / name).read_text()
    assert text.count("SHARDS = 4\n") == 1
    copy = folder / Path(name).name
    copy.write_text(text.replace("SHARDS = 4\n", f"SHARDS = {SHARDS}\n"))
    return copy


def run(uv: str, example: Path, words: list[str], environment: dict[str, str], cwd: Path) -> str:
    """Run a command with the engine that the example's docstring installs."""
    [pin] = re.findall(r"pip install '(.*?)'", example.read_text())
    engine = [uv, "run", "--no-project", "--isolated", "--python", ">=3.11,<3.13", "--with", pin]
    finished = subprocess.run(
        [*engine, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    assert environment["TAP_DRIFT_ACCESS_TOKEN"] not in output
    return output


def check_load(drift: FakeDrift, postgres: str, tmp_path: Path) -> dict[str, int]:
    """Check that the database has the whole account, and that each shard has its own state.

    Returns:
        The number of rows of each table.
    """
    rows = {stream: len(drift.source_rows(stream)) for stream in STREAMS}
    with psycopg.connect(postgres) as database:
        loaded: dict[str, Any] = {
            stream: database.execute(
                f"SELECT count(*), count(DISTINCT id) FROM drift.{stream}"  # noqa: S608 - a constant name
            ).fetchone()
            for stream in STREAMS
        }
    assert loaded == {stream: (count, count) for stream, count in rows.items()}
    # One for the tables; every shard reads the whole listing.
    assert drift.count_requests("/conversations/list") == 1 + 2 * SHARDS
    contacts = {row["contactId"] for row in drift.account.conversations if row.get("contactId")}
    assert drift.count_requests("/contacts/") == len(contacts)
    states = [path for path in (tmp_path / "state").rglob("*.json") if "shard-" in str(path)]
    assert len(states) == SHARDS
    shards = {
        tuple(json.loads(path.read_text())["completed"]["singer_state"]["bookmarks"][name]["shard"])
        for path in states
        for name in ("conversations", "contacts")
    }
    own = [Shard(index, SHARDS) for index in range(SHARDS)]
    assert shards == {
        *((shard.index, shard.count) for shard in own),
        *((shard.index, shard.count, "contactId") for shard in own),
    }
    return rows


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def test_dagster_run_loads_all_shards_at_once(
    drift: FakeDrift, uv: str, postgres: str, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    example = copy_example("dagster/definitions.py", tmp_path)
    shutil.copy(ROOT / "examples" / "dagster" / "dagster.yaml", home)
    environment |= {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    words = ["dagster", "job", "execute", "-f", str(example), "-j", "drift"]
    run(uv, example, words, environment, tmp_path)
    rows = check_load(drift, postgres, tmp_path)
    runs = (home / "history" / "runs").glob("*.db")
    [events] = [path for path in runs if path.stem != "index"]
    steps = query(
        events,
        "SELECT dagster_event_type FROM event_logs WHERE step_key LIKE '%load_shard%' AND "
        "dagster_event_type IN ('STEP_START', 'STEP_SUCCESS', 'STEP_UP_FOR_RETRY') ORDER BY id",
    )
    # All start before one has ended, and none has been retried.
    assert steps == [("STEP_START",)] * SHARDS + [("STEP_SUCCESS",)] * SHARDS
    materialized = [
        json.loads(event)["dagster_event"]["event_specific_data"]["materialization"]
        for (event,) in query(
            home / "history" / "runs" / "index.db",
            "SELECT event FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'",
        )
    ]
    assert {
        asset["asset_key"]["path"][-1]: asset["metadata_entries"][0]["entry_data"]["value"]
        for asset in materialized
    } == rows


def test_airflow_run_loads_all_shards_at_once(
    drift: FakeDrift, uv: str, postgres: str, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    example = copy_example("airflow/drift.py", home)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__PARALLELISM": str(SHARDS),
        # The tasks may start before the server, whose first response takes seconds.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }
    script = Path(__file__).with_name("run_airflow.py")
    run(uv, example, ["python", str(script), str(port)], environment, tmp_path)
    check_load(drift, postgres, tmp_path)
    shards = query(
        home / "airflow.db",
        "SELECT rendered_map_index, try_number, state FROM task_instance "
        "WHERE task_id = 'load_shard' ORDER BY map_index",
    )
    assert shards == [(f"shard {index}", 1, "success") for index in range(SHARDS)]
    times = "SELECT max(start_date) < min(end_date) FROM task_instance WHERE map_index >= 0"
    assert query(home / "airflow.db", times) == [(1,)]
