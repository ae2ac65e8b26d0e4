"""PyAirbyte, installed in a separate environment, runs `source-drift`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from end_to_end.conftest import Install
    from fake_drift import FakeDrift

PIN = "airbyte~=0.71.3"
PYTHON = ">=3.11,<3.13"
SOURCE = str(Path(sys.executable).with_name("source-drift"))


@pytest.fixture
def environment(drift: FakeDrift, tmp_path: Path) -> dict[str, str]:
    # Offline mode: PyAirbyte requests no connector registry and sends no telemetry.
    return os.environ | {
        "AIRBYTE_LOGGING_ROOT": str(tmp_path / "logs"),
        "AIRBYTE_OFFLINE_MODE": "1",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
    }


def test_pyairbyte_validates_discovers_and_reads_twice(
    drift: FakeDrift, install: Install, environment: dict[str, str], tmp_path: Path
) -> None:
    script = Path(__file__).with_name("read_with_pyairbyte.py")
    run = subprocess.run(
        [install(PIN, PYTHON) / "python", script, SOURCE, tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Connection check succeeded" in run.stdout + run.stderr
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert len(outcome["streams"]) == 15
    rows = {
        "conversations": len(drift.conversation_ids()),
        "messages": len(drift.source_rows("messages")),
        "users": len(drift.account.users),
    }
    first, second = outcome["reads"]
    assert first == {"processed": sum(rows.values()), "rows": rows}
    assert second["rows"] == rows
    assert second["processed"] < 2 + 50 + len(drift.account.users)
    assert "Drift refused the token (401 on /conversations/list)" in outcome["check_error"]
    assert drift.token not in run.stdout + run.stderr
