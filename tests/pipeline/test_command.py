"""The command drift-run with the real tap, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_drift.pipeline.state_file import StateFile

if TYPE_CHECKING:
    from fake_drift import FakeDrift

BOOKMARK = "2024-01-01T00:00:00.000+00:00"
TARGET = """
import json, sys

state = None
with open("loaded.jsonl", "a") as loaded:
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "RECORD":
            loaded.write(line)
        if message["type"] == "STATE":
            state = message["value"]
print(json.dumps(state))
"""


class Runner:
    """Starts drift-run in a folder, with a target that appends to a file."""

    def __init__(self, drift: FakeDrift, folder: Path) -> None:
        self.drift = drift
        self.folder = folder
        self.state = folder / "state.json"
        (folder / "target.py").write_text(TARGET)

    def start(self, *prefix: str, **environment: str) -> subprocess.Popen[str]:
        settings = {"TAP_DRIFT_ACCESS_TOKEN": self.drift.token, "TAP_DRIFT_API_URL": self.drift.url}
        command = [sys.executable, "-c", "from tap_drift.pipeline.command import run; run()"]
        options = ["--config=ENV", "--state=state.json", "--", sys.executable, "target.py"]
        return subprocess.Popen(
            [*prefix, *command, *options],
            cwd=self.folder,
            env=os.environ | settings | environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *prefix: str, **environment: str) -> tuple[int, str]:
        """Run it to its end; return the exit code and the log."""
        process = self.start(*prefix, **environment)
        log = process.communicate()[1]
        return process.returncode, log

    def loaded(self) -> list[Any]:
        lines = (self.folder / "loaded.jsonl").read_text().splitlines()
        return [json.loads(line)["record"]["id"] for line in lines]


@pytest.fixture
def runner(drift: FakeDrift, tmp_path: Path) -> Runner:
    return Runner(drift, tmp_path)


def test_second_run_reads_only_what_is_new(runner: Runner) -> None:
    assert runner.run()[0] == 0
    assert runner.loaded() == runner.drift.conversation_ids()
    assert runner.run()[0] == 0
    assert len(runner.loaded()) == 250 + 1  # the newest again, within `lookback_seconds`


def test_refused_token_is_a_failure_that_keeps_the_state(runner: Runner) -> None:
    bookmark = {"replication_key": "updatedAt", "replication_key_value": BOOKMARK}
    runner.state.write_text(json.dumps({"bookmarks": {"conversations": bookmark}}))
    status, log = runner.run(TAP_DRIFT_ACCESS_TOKEN="wrong")
    assert status == 1
    assert "Drift refused the token" in log
    assert "drift-run: tap-drift failed: exit code 1." in log
    assert "Traceback" not in log
    assert BOOKMARK in runner.state.read_text()


def test_interrupted_run_is_resumed_by_the_next(runner: Runner) -> None:
    processes = list[subprocess.Popen[str]]()

    def interrupt(request: int) -> None:
        if request == 5:  # two pages are read ahead, so the first page is written by then
            os.kill(processes[0].pid, signal.SIGINT)

    runner.drift.on_request = interrupt
    processes.append(runner.start(TAP_DRIFT_PAGE_SIZE="25"))
    log = processes[0].communicate()[1]
    assert processes[0].returncode == 130
    assert "Traceback" not in log
    assert "resume" in runner.state.read_text()
    runner.drift.on_request = None
    assert runner.run()[0] == 0
    assert set(runner.loaded()) == set(runner.drift.conversation_ids())


def test_full_disk_is_a_failure_that_keeps_the_state(runner: Runner) -> None:
    """`ulimit` stands for the disk: it ends a write in the same place."""
    runner.state.write_text("{}")
    (runner.folder / "target.py").write_text(TARGET.replace('"loaded.jsonl"', '"/dev/null"'))
    status, log = runner.run("/bin/sh", "-c", 'ulimit -f 0; exec "$0" "$@"')
    assert status == 1
    assert "drift-run: the state could not be saved in state.json: File too large." in log
    assert runner.state.read_text() == "{}"


def test_second_run_at_the_same_time_is_an_error(runner: Runner) -> None:
    with StateFile(runner.state):
        status, log = runner.run()
    assert status == 1
    assert log.startswith("drift-run: another run uses state.json: ")
    assert runner.drift.requests == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--state=state.json", "no-target"], 127, "drift-run: cannot use no-target: No such file"),
        (["--state=no/state.json", "true"], 1, "drift-run: cannot use no/state.json.lock: No such"),
        (["--state=/dev/null", "true"], 1, "cannot use /dev/null: it is not a regular file."),
        ([f"--state={'x' * 300}", "true"], 1, f"cannot use {'x' * 300}: File name too long."),
        (["true"], 2, "Missing option '--state'"),
        (["--state=state.json"], 2, "Missing argument"),
    ],
)
def test_wrong_command_line_is_one_message(
    arguments: list[str], status: int, message: str, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("drift-run")
    run = subprocess.run(
        [program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == status
    assert message in run.stderr
    assert "Traceback" not in run.stderr
