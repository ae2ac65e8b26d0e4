"""However a run of several streams ends, the next one goes on from what was written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, FakeDriftHandler
from fake_target import WALK_STREAMS, FakeTarget
from faults import answer
from runs import catalog, sync

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_drift.sandbox.server import Answer

CHOSEN = ("conversations", "messages", "transcripts", "contacts")
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGKILL]


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    with FakeDrift(Account.from_seed(40, seed=7)) as server:
        yield server


class Run:
    """The tap as a process of its own, with children to ask for."""

    def __init__(self, drift: FakeDrift, folder: Path) -> None:
        self.drift = drift
        (folder / "catalog.json").write_text(json.dumps(catalog(*CHOSEN)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tap_drift", "--config=ENV", "--catalog", "catalog.json"],
            cwd=folder,
            env=os.environ
            | {
                "TAP_DRIFT_ACCESS_TOKEN": drift.token,
                "TAP_DRIFT_API_URL": drift.url,
                "TAP_DRIFT_PAGE_SIZE": "5",
                "TAP_DRIFT_LOOKBACK_SECONDS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, list[str], str]:
        """Wait for the end: the exit code, the lines on stdout, and all of stderr."""
        out, err = self.process.communicate(timeout=30)
        self.drift.on_request = None
        return self.process.returncode, out.splitlines(keepends=True), err


def status_of(number: signal.Signals) -> int:
    """What a process that a signal ended leaves: the shell's number, or none of its own."""
    return -number if number == signal.SIGKILL else 128 + number


def check(drift: FakeDrift, lines: list[str], number: signal.Signals) -> None:
    """Check what was written, and that the next run brings all that is missing."""
    if number != signal.SIGKILL:
        assert [line for line in lines if not line.endswith("\n")] == []
        assert '"STATE"' in "".join(lines)
    table = FakeTarget()
    table.load([json.loads(line) for line in lines if line.endswith("\n")])
    drift.faults_by_path.clear()
    drift.RequestHandlerClass = FakeDriftHandler
    config = {"api_url": drift.url, "access_token": drift.token, "lookback_seconds": 0}
    table.load(sync(config, table.state, catalog(*CHOSEN)).all)
    assert table.missing(drift, *CHOSEN) == set()


@pytest.mark.parametrize("request_number", [1, 2, 9, 40, 90])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_loses_nothing(
    number: signal.Signals, request_number: int, drift: FakeDrift, tmp_path: Path
) -> None:
    run = Run(drift, tmp_path)

    def send(request: int) -> None:
        if request == request_number:
            run.process.send_signal(number)

    drift.on_request = send
    status, lines, err = run.end()
    assert status == status_of(number)
    assert "Traceback" not in err
    check(drift, lines, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_does_not_wait_for_requests_under_way(
    number: signal.Signals, drift: FakeDrift, tmp_path: Path
) -> None:
    """None of them is answered before the process has ended."""
    ended, waiting = threading.Event(), []

    class Holding(FakeDriftHandler):
        def answer(self) -> Answer:
            if "/messages" in self.path or "/transcript" in self.path or "/contacts" in self.path:
                waiting.append(self.path)
                if len(waiting) == 8:
                    run.process.send_signal(number)
                assert ended.wait(30)
            return super().answer()

    drift.RequestHandlerClass = Holding
    run = Run(drift, tmp_path)
    status, lines, err = run.end()
    assert len(waiting) == 8
    ended.set()
    assert status == status_of(number)
    assert "Traceback" not in err
    check(drift, lines, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_does_not_wait_for_a_request_to_be_sent_again(
    number: signal.Signals, drift: FakeDrift, tmp_path: Path
) -> None:
    """Drift asks for a wait of minutes; the line that says so tells that it has begun."""
    drift.faults_by_path["/messages"] = answer(429, Retry_After="200")
    run = Run(drift, tmp_path)
    assert run.process.stderr
    for line in run.process.stderr:
        if "Retrying in 2" in line or "429" in line:
            run.process.send_signal(number)
            break
    status, lines, err = run.end()
    assert status == status_of(number)
    assert "Traceback" not in err
    check(drift, lines, number)


@pytest.mark.parametrize("taken", [1, 2, 60, 250])
def test_a_target_that_dies_loses_nothing_that_it_did_not_commit(
    taken: int, drift: FakeDrift, tmp_path: Path
) -> None:
    run = Run(drift, tmp_path)
    out, err = run.process.stdout, run.process.stderr
    assert out
    assert err
    lines = [out.readline() for _ in range(taken)]
    out.close()
    with err:
        said = err.read()
    assert run.process.wait(30) == 1
    assert "Traceback" not in said
    check(drift, lines, signal.SIGKILL)


def test_what_a_run_says_is_whole_lines_though_many_threads_ask(
    drift: FakeDrift, tmp_path: Path
) -> None:
    status, lines, err = Run(drift, tmp_path).end()
    assert status == 0
    assert "Traceback" not in err
    said: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert {message["stream"] for message in said if "stream" in message} == set(CHOSEN)
    assert set(CHOSEN) < set(WALK_STREAMS)
    check(drift, lines, signal.SIGTERM)
