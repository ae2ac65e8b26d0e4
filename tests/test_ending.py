"""However a run ends, the next one goes on from what was written."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fake_target import FakeTarget
from faults import answer, page
from runs import CapturedMessages, sync

from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift

PAGE = 10
PAGES = 25


class Run:
    """The tap as a process of its own; something happens to it at one of its requests."""

    def __init__(self, drift: FakeDrift, folder: Path, state: dict[str, Any] | None) -> None:
        (folder / "state.json").write_text(json.dumps(state or {}))
        self.drift = drift
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tap_drift", "--config=ENV", "--state", "state.json"],
            cwd=folder,
            env=os.environ
            | {
                "TAP_DRIFT_ACCESS_TOKEN": drift.token,
                "TAP_DRIFT_API_URL": drift.url,
                "TAP_DRIFT_PAGE_SIZE": str(PAGE),
                "TAP_DRIFT_LOOKBACK_SECONDS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, list[str], str]:
        """Wait for the end: the exit code, the lines on stdout, and all of stderr."""
        out, err = self.process.communicate()
        self.drift.on_request = None
        return self.process.returncode, out.splitlines(keepends=True), err


def whole(lines: list[str]) -> list[dict[str, Any]]:
    """What a target could read: lines that came to their end."""
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("request_number", [1, 2, 12, 25])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_last_state_and_the_shells_status(
    number: signal.Signals, request_number: int, drift: FakeDrift, tmp_path: Path
) -> None:
    run = Run(drift, tmp_path, None)

    def send(request: int) -> None:
        if request == request_number:
            run.process.send_signal(number)

    drift.on_request = send
    status, lines, err = run.end()
    assert status == 128 + number
    assert "Traceback" not in err
    assert [line for line in lines if not line.endswith("\n")] == []
    assert json.loads(lines[-1])["type"] == "STATE"
    table = FakeTarget()
    table.load(whole(lines))
    assert len(table.conversations) == PAGE * (request_number - 1)
    config = {"api_url": drift.url, "access_token": drift.token, "page_size": PAGE}
    drift.requests.clear()
    second = sync(config, table.state)
    table.load(second.all)
    assert table.missing(drift) == set()
    if request_number > 1:
        assert len(drift.requests) == 1 + PAGES - (request_number - 1)


def go_on(drift: FakeDrift, folder: Path, lines: list[str]) -> FakeTarget:
    """Load what a run said, let the account change, and run again from the state."""
    table = FakeTarget()
    table.load(whole(lines))
    drift.update_conversation(drift.conversation_ids()[-1], 1_780_000_000_000, status="reopened")
    drift.requests.clear()
    table.load(whole(Run(drift, folder, table.state).end()[1]))
    return table


@pytest.mark.parametrize(("killed", "left"), [(1, 25), (2, 25), (12, 1 + 15), (23, 1 + 5)])
def test_a_kill_loses_nothing_and_costs_what_was_not_yet_claimed(
    killed: int, left: int, drift: FakeDrift, tmp_path: Path
) -> None:
    run = Run(drift, tmp_path, None)

    def kill(request: int) -> None:
        if request == killed:
            run.process.kill()

    drift.on_request = kill
    status, lines, _ = run.end()
    assert status == -signal.SIGKILL
    assert go_on(drift, tmp_path, lines).missing(drift) == set()
    assert len(drift.requests) == left


@pytest.mark.parametrize(("died", "left"), [(2, 25), (12, 1 + 15)])
def test_a_target_that_dies_loses_nothing_that_it_did_not_commit(
    died: int, left: int, drift: FakeDrift, tmp_path: Path
) -> None:
    run = Run(drift, tmp_path, None)
    out, err = run.process.stdout, run.process.stderr
    assert out
    assert err
    lines: list[str] = []

    def die(request: int) -> None:
        if request == died:
            lines.extend(out.readline() for _ in range(1 + PAGE * (died - 1) + (died > PAGE)))
            out.close()

    drift.on_request = die
    assert run.process.wait() == 1
    drift.on_request = None
    with err:
        assert "Traceback" not in err.read()
    assert go_on(drift, tmp_path, lines).missing(drift) == set()
    assert len(drift.requests) == left


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(403), id="refused"),
        pytest.param(page({"id": 1, "updatedAt": "words"}), id="no record"),
    ],
)
def test_an_error_is_preceded_by_a_state(fault: Any, drift: FakeDrift, tmp_path: Path) -> None:
    drift.on_request = lambda request: drift.faults.append(fault) if request == 4 else None
    status, lines, _ = Run(drift, tmp_path, None).end()
    assert status == 1
    assert json.loads(lines[-1])["type"] == "STATE"
    table = FakeTarget()
    table.load(whole(lines))
    assert len(table.conversations) == 3 * PAGE
    assert table.state
    assert table.state["bookmarks"]["conversations"]["resume"]["next"]


def test_with_batches_a_signal_claims_nothing(drift: FakeDrift) -> None:
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///nowhere"}}
    config = {"api_url": drift.url, "access_token": drift.token}
    for settings, kinds in ((config, ["STATE"]), (config | {"batch_config": batch}, [])):
        messages = CapturedMessages()
        tap = TapDrift(config=settings, state={"bookmarks": {}}, message_writer=messages)
        tap.state["bookmarks"] = {"conversations": {}}
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        assert [message["type"] for message in messages.all] == kinds


def test_what_waits_goes_out_even_if_the_state_has_nothing_new(drift: FakeDrift) -> None:
    config = {"api_url": drift.url, "access_token": drift.token}
    output = io.BytesIO()
    tap = TapDrift(config=config, message_writer=MessageWriter(output))
    tap.state_writer.write_state(tap.state)
    tap.message_writer.write_record("conversations", {"id": 1}, None, None)
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    types = [json.loads(line)["type"] for line in output.getvalue().splitlines()]
    assert types == ["STATE", "RECORD"]


def test_a_signal_before_the_state_is_known_says_nothing(
    drift: FakeDrift, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an empty STATE would take the place of the one that was given."""
    config = {"api_url": drift.url, "access_token": drift.token}
    state = {"bookmarks": {"conversations": {"replication_key": "updatedAt"}}}
    monkeypatch.setattr(TapDrift, "setup_mapper", lambda _: signal.raise_signal(signal.SIGTERM))
    messages = CapturedMessages()
    with pytest.raises(SystemExit) as end:
        TapDrift(config=config, state=state, message_writer=messages)
    assert end.value.code == 143
    assert messages.all == []
