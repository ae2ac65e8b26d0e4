"""The command as a process in `tap-drift | tee >(drift-verify) | target`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from fake_drift import TOKEN
from runs import as_lines

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from verify.conftest import Extract

COMMAND = [sys.executable, "-c", "from tap_drift.verify.command import run; run()"]
MORE_THAN_A_PIPE_BUFFER = b'{"type": "STATE", "value": {}}\n' * 10_000


def verify(
    drift: FakeDrift, *arguments: str, messages: bytes, token: str = TOKEN
) -> subprocess.CompletedProcess[bytes]:
    """Run the command between two pipes; raises BrokenPipeError if it does not read all input."""
    settings = {"TAP_DRIFT_ACCESS_TOKEN": token, "TAP_DRIFT_API_URL": drift.url}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        process.stdin.write(messages)
        process.stdin.flush()
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_report_between_pipes_goes_to_standard_error(drift: FakeDrift, extracted: Extract) -> None:
    result = verify(drift, "--config=ENV", messages=as_lines(extracted("conversations")))
    assert result.returncode == 0
    assert result.stdout == b""
    assert b"\nCOMPLETE: " in result.stderr
    assert b"\r" not in result.stderr  # progress is only for terminals


@pytest.mark.parametrize(
    ("arguments", "token", "exit_code", "error"),
    [
        (["--config=ENV"], "two words", 1, b"`access_token` must be"),
        (["--config=no-such-file.json"], TOKEN, 2, b"cannot be opened"),
        (["--no-such-option"], TOKEN, 2, b"No such option"),
    ],
)
def test_input_is_read_to_its_end_after_an_error(
    arguments: list[str], token: str, exit_code: int, error: bytes, drift: FakeDrift
) -> None:
    result = verify(drift, *arguments, messages=MORE_THAN_A_PIPE_BUFFER, token=token)
    assert result.returncode == exit_code
    assert error in result.stderr
    assert b"Traceback" not in result.stderr
    assert b"two words" not in result.stderr


def test_refused_token_is_one_error_message(drift: FakeDrift, extracted: Extract) -> None:
    messages = as_lines(extracted("conversations"))
    result = verify(drift, "--config=ENV", messages=messages, token="wrong-token")
    assert result.returncode == 1
    lines = result.stderr.decode().splitlines()
    [message] = [line for line in lines if line.startswith("drift-verify")]
    assert "401" in message
    assert "wrong-token" not in message


def test_unknown_log_level_is_one_error_message(
    drift: FakeDrift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", "verbose")
    result = verify(drift, "--config=ENV", messages=MORE_THAN_A_PIPE_BUFFER)
    assert result.returncode == 1
    [message] = result.stderr.decode().splitlines()
    assert message.startswith("drift-verify: TAP_DRIFT_LOGLEVEL must be one of ")
