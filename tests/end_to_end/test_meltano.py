"""`meltano run` with all streams into DuckDB, in a copy of the Meltano project."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
from fake_target import WALK_STREAMS
from runs import TARGET_PYTHON

from tap_drift.sandbox.data.contacts import CONTACT_ATTRIBUTES

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift


def expected(drift: FakeDrift) -> dict[str, int]:
    """Count the rows of each stream in the account."""
    account = drift.account
    return {
        "accounts": len(account.customer_accounts),
        "contact_attributes": len(CONTACT_ATTRIBUTES),
        "conversation_stats": 3,
        "landing_pages": len(account.landing_pages),
        "meetings": len(list(account.meetings(0, 2**63))),
        "playbooks": len(account.playbooks),
        "teams": len(account.teams),
        "users": len(account.users),
        **{stream: len(drift.source_rows(stream)) for stream in WALK_STREAMS},
    }


def test_second_meltano_run_loads_the_changes(drift: FakeDrift, uv: str, project: Path) -> None:
    python = subprocess.check_output([uv, "python", "find", TARGET_PYTHON], text=True).strip()
    environment = {
        "MELTANO_ENVIRONMENT": "sandbox",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TAP_DRIFT__SELECT": '["*.*"]',
        "TARGET_DUCKDB__PYTHON": python,
    }

    def run() -> None:
        command = ["meltano", "run", "tap-drift", "target-duckdb"]
        finished = subprocess.run(
            command,
            cwd=project,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        output = finished.stdout + finished.stderr
        assert finished.returncode == 0, output
        assert drift.token not in output

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(project / "output" / "sandbox.duckdb"), read_only=True) as database:
            return database.execute(sql).fetchall()

    def count(table: str) -> Any:
        return query(f"SELECT count(*) FROM drift.{table}")[0][0]  # noqa: S608 - a constant name

    def loaded() -> dict[str, int]:
        return {stream: count(stream) for stream in expected(drift)}

    run()
    assert loaded() == expected(drift)
    drift.add_message(drift.conversation_ids()[-1], 1_788_000_000_000)
    requests = len(drift.requests)
    run()
    assert loaded() == expected(drift)
    assert len(drift.requests) - requests < 30
    assert query("SELECT DISTINCT createdat FROM drift.messages ORDER BY 1 DESC LIMIT 1") == [
        (datetime(2026, 8, 29, 10, 40),)
    ]
