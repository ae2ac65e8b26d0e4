"""`meltano add --from-ref` with the plugin definition, as docs/orchestration.md describes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from fake_drift import FakeDrift

ROOT = Path(__file__).parents[2]
NEW_PROJECT = """\
default_environment: dev
project_id: 01a21567-565e-7a01-a5eb-1a8213f4e102
environments:
- name: dev
- name: staging
- name: prod
send_anonymous_usage_stats: false
"""
"""The meltano.yml of `meltano init`, which takes seconds."""


@pytest.fixture
def account() -> Account:
    return Account.from_seed(20, seed=7)


@pytest.fixture
def added(drift: FakeDrift, tmp_path: Path) -> Path:
    """A new project to which the documented commands have added the tap."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "meltano.yml").write_text(NEW_PROJECT)
    page = (ROOT / "docs" / "orchestration.md").read_text()
    [block] = re.findall(r"```sh\n(SOURCE=.*?)```", page, re.DOTALL)
    commands = block.replace("…/tap-drift", str(ROOT))
    subprocess.run(["/bin/sh", "-e", "-c", commands], cwd=tmp_path / "project", check=True)
    with (tmp_path / "project" / ".env").open("a") as file:
        file.write(f"TAP_DRIFT_ACCESS_TOKEN={drift.token}\nTAP_DRIFT_API_URL={drift.url}\n")
    return tmp_path / "project"


def meltano(*words: str, folder: Path, **environment: str) -> str:
    run = subprocess.run(
        [shutil.which("meltano") or "meltano", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_added_tap_extracts_and_tests_what_is_selected(drift: FakeDrift, added: Path) -> None:
    output = meltano("invoke", "tap-drift", folder=added).splitlines()
    messages = [json.loads(line) for line in output if line.startswith("{")]
    assert {message["stream"] for message in messages if message["type"] == "SCHEMA"} == {
        "conversations"
    }
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert [record["id"] for record in records] == drift.conversation_ids()
    # The catalog of the run above is still in Meltano's folder.
    select = '["users.*"]'
    tested = meltano("invoke", "tap-drift", "--test", folder=added, TAP_DRIFT__SELECT=select)
    assert "users: works" in tested
    assert "conversations" not in tested.replace("conversation_read", "")
