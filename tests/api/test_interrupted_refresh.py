"""A token refresh that is under way delays the exit until the new refresh token is saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_oauth import FakeOAuthDrift
from faults import answer_normally
from runs import catalog

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import Fault

    from tap_drift.sandbox.server import SandboxHandler

SIGNALS = [signal.SIGTERM, signal.SIGINT]
SOURCE = str(Path(sys.executable).with_name("source-drift"))
MAIN_THREAD = ("conversations",)
"""Without children, the main thread sends all requests, and refreshes the token."""

WORKERS = ("conversations", "messages")
"""With children, worker threads do."""

TIMEOUT = 30.0
"""Seconds after which a test has failed; none waits so long."""


@pytest.fixture
def oauth() -> Iterator[FakeOAuthDrift]:
    with FakeOAuthDrift(Account.from_seed(25, seed=7)) as server:
        yield server


def revoke_at_first_message(oauth: FakeOAuthDrift) -> None:
    """Refuse the first access token from the first request for messages: a worker refreshes it."""

    def revoke(_request: int) -> None:
        if "/messages" in oauth.requests[-1]:
            oauth.revoked.add("sandbox-access-1")

    oauth.on_request = revoke


class Interruption:
    """A fault that sends a signal, and answers once the process has begun to exit.

    The line "Interrupted by a signal" shows that it has. Without the lock, the process would have
    ended before the answer arrives.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.number = number
        self.process: subprocess.Popen[str]
        self.lines: list[str] = []
        """The lines of the stream with the log."""
        self._is_exiting = threading.Event()

    def __call__(self, handler: SandboxHandler) -> None:
        self.process.send_signal(self.number)
        assert self._is_exiting.wait(TIMEOUT)
        answer_normally(handler)

    def run(self, *command: str, stdout: int, stderr: int | None) -> int:
        """Run a command to its end, and return its exit code."""
        with subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True) as self.process:
            log = self.process.stderr or self.process.stdout
            assert log
            for line in log:
                self.lines.append(line)
                if "Interrupted by a signal" in line:
                    self._is_exiting.set()
        return self.process.returncode


def run_tap(
    interruption: Interruption, folder: Path, settings: dict[str, Any], streams: tuple[str, ...]
) -> int:
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "catalog.json").write_text(json.dumps(catalog(*streams)))
    return interruption.run(
        *(sys.executable, "-m", "tap_drift"),
        *("--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run_source(
    interruption: Interruption, folder: Path, settings: dict[str, Any], streams: tuple[str, ...]
) -> int:
    configured = [
        {
            "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["incremental"]},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
        }
        for name in streams
    ]
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "catalog.json").write_text(json.dumps({"streams": configured}))
    return interruption.run(
        *(SOURCE, "read"),
        *("--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"),
        stdout=subprocess.PIPE,
        stderr=None,
    )


def control_tokens(lines: list[str]) -> list[str]:
    """Return the refresh token of each CONTROL message."""
    messages = [json.loads(line) for line in lines]
    controls = [message["control"] for message in messages if message["type"] == "CONTROL"]
    return [control["connectorConfig"]["config"]["refresh_token"] for control in controls]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_refresh_keeps_the_new_token(
    number: signal.Signals, oauth: FakeOAuthDrift, tmp_path: Path
) -> None:
    interruption = Interruption(number)
    oauth.token_faults.append(interruption)
    assert run_tap(interruption, tmp_path, oauth.settings(), MAIN_THREAD) == 128 + number
    assert oauth.refresh_token == "sandbox-refresh-1"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["refresh_token"] == oauth.refresh_token
    assert oauth.requests == []


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_refresh_of_a_worker_keeps_the_token(
    number: signal.Signals, oauth: FakeOAuthDrift, tmp_path: Path
) -> None:
    revoke_at_first_message(oauth)
    interruption = Interruption(number)
    faults: list[Fault] = [answer_normally, interruption]
    oauth.token_faults.extend(faults)
    assert run_tap(interruption, tmp_path, oauth.settings(), WORKERS) == 128 + number
    assert oauth.refresh_token == "sandbox-refresh-2"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["refresh_token"] == oauth.refresh_token
    assert "Traceback" not in "".join(interruption.lines)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_refresh_writes_the_control_message(
    number: signal.Signals, oauth: FakeOAuthDrift, tmp_path: Path
) -> None:
    interruption = Interruption(number)
    oauth.token_faults.append(interruption)
    assert run_source(interruption, tmp_path, oauth.settings(), MAIN_THREAD) != 0
    assert control_tokens(interruption.lines) == ["sandbox-refresh-1"]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_refresh_of_a_worker_writes_the_message(
    number: signal.Signals, oauth: FakeOAuthDrift, tmp_path: Path
) -> None:
    revoke_at_first_message(oauth)
    interruption = Interruption(number)
    faults: list[Fault] = [answer_normally, interruption]
    oauth.token_faults.extend(faults)
    assert run_source(interruption, tmp_path, oauth.settings(), WORKERS) != 0
    assert control_tokens(interruption.lines) == ["sandbox-refresh-1", "sandbox-refresh-2"]


def test_refresh_gets_a_lock_that_the_interrupted_code_holds() -> None:
    """Such as the lock of the output, on which the new token is written."""
    code = """
import threading
from tap_drift.process import EXIT_LOCK, end_process, run_as_process

lock, has_started = threading.Lock(), threading.Event()

def refresh():
    with EXIT_LOCK:
        has_started.set()
        with lock:
            print("saved", flush=True)

def command():
    with lock:
        threading.Thread(target=refresh).start()
        has_started.wait()
        end_process(143)  # as a signal handler does

run_as_process(command)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (run.stdout, run.returncode) == ("saved\n", 143)
