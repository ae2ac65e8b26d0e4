"""The command beside a target: `tap-drift | tee >(drift-verify) | target`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from fake_drift import TOKEN

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from runs import RunTap

COMMAND = [sys.executable, "-c", "from tap_drift.verify.command import run; run()"]
MORE_THAN_A_PIPE_HOLDS = b'{"type": "STATE", "value": {}}\n' * 10_000


def verify(
    drift: FakeDrift, *arguments: str, given: bytes, token: str = TOKEN
) -> subprocess.CompletedProcess[bytes]:
    """Run the command between two pipes; fails if it leaves the first before its end."""
    ours = {"TAP_DRIFT_ACCESS_TOKEN": token, "TAP_DRIFT_API_URL": drift.url}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | ours,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        process.stdin.write(given)
        process.stdin.flush()
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_between_two_pipes_the_report_stays_out_of_the_target(
    drift: FakeDrift, run_tap: RunTap
) -> None:
    run = verify(drift, "--config=ENV", given=run_tap("--config=ENV").stdout.encode())
    assert run.returncode == 0
    assert run.stdout == b""
    assert b"\nWHOLE: " in run.stderr
    assert b"\r" not in run.stderr  # progress is for terminals


@pytest.mark.parametrize(
    ("arguments", "token", "status", "complaint"),
    [
        (["--config=ENV"], "two words", 1, b"`access_token` must be"),
        (["--config=no-such-file.json"], TOKEN, 2, b"cannot be opened"),
        (["--no-such-option"], TOKEN, 2, b"No such option"),
    ],
)
def test_whatever_is_wrong_the_input_is_read_to_its_end(
    arguments: list[str], token: str, status: int, complaint: bytes, drift: FakeDrift
) -> None:
    run = verify(drift, *arguments, given=MORE_THAN_A_PIPE_HOLDS, token=token)
    assert run.returncode == status
    assert complaint in run.stderr
    assert b"Traceback" not in run.stderr
    assert b"two words" not in run.stderr


def test_a_refused_token_is_one_sentence(drift: FakeDrift, run_tap: RunTap) -> None:
    given = run_tap("--config=ENV").stdout.encode()
    run = verify(drift, "--config=ENV", given=given, token="wrong-token")
    assert run.returncode == 1
    said = [line for line in run.stderr.decode().splitlines() if line.startswith("drift-verify")]
    [sentence] = said
    assert "Drift refused the token" in sentence
    assert "wrong-token" not in sentence
