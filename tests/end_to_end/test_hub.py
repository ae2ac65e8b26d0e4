"""`meltano add --from-ref` with the plugin definition in meltano-hub/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_drift import FakeDrift

ROOT = Path(__file__).parents[2]


def test_meltano_adds_the_tap_from_its_definition(drift: FakeDrift, tmp_path: Path) -> None:
    environment = os.environ | {
        "TAP_DRIFT_SOURCE": str(ROOT),
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
    }

    def meltano(*words: str, folder: Path) -> str:
        run = subprocess.run(
            [shutil.which("meltano") or "meltano", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    project = tmp_path / "project"
    meltano("init", "project", "--no-usage-stats", folder=tmp_path)
    reference = str(ROOT / "meltano-hub" / "tap-drift.yml")
    meltano(
        *("add", "--plugin-type", "extractor", "tap-drift", "--from-ref", reference),
        folder=project,
    )
    meltano("select", "tap-drift", "conversations", "*", folder=project)
    output = meltano("invoke", "tap-drift", folder=project).splitlines()
    records = [json.loads(line)["record"] for line in output if line.startswith('{"type":"RECORD"')]
    assert [record["id"] for record in records] == drift.conversation_ids()
