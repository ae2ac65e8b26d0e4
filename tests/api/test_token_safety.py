"""No refresh token is lost: by a signal, a broken pipe, or settings that cannot be written."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_oauth import FakeOAuthDrift
from faults import answer, answer_normally
from runs import catalog
from seeds import seeds

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runs import InvokeTap

    from tap_drift.sandbox.server import SandboxHandler

STREAMS = ("conversations", "messages", "contacts")
REFUSED = "The new `refresh_token` could not be saved: "
STILL_VALID = "the one in the settings is still valid"
TIMEOUT = 30.0
"""Seconds after which a test has failed; none waits so long."""


@pytest.fixture
def oauth() -> Iterator[FakeOAuthDrift]:
    with FakeOAuthDrift(Account.from_seed(25, seed=7)) as server:
        yield server


@pytest.fixture
def config_file(oauth: FakeOAuthDrift, tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(oauth.settings() | {"page_size": 2}))
    return file


def saved_token(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8-sig"))["refresh_token"]


def command(file: Path, *streams: str) -> list[str]:
    (file.parent / "catalog.json").write_text(json.dumps(catalog(*streams)))
    options = ["--config", str(file), "--catalog", str(file.with_name("catalog.json"))]
    return [sys.executable, "-m", "tap_drift", *options]


# Signals


class Moment:
    """Sends signals at a random moment of a random refresh; main thread and workers refresh."""

    def __init__(self, oauth: FakeOAuthDrift, seed: int) -> None:
        self.rng = random.Random(seed)
        self.signals = self.rng.choices([signal.SIGTERM, signal.SIGINT], k=self.rng.choice([1, 2]))
        self.process: subprocess.Popen[bytes]
        self.oauth = oauth
        oauth.token_faults.extend([answer_normally] * self.rng.randrange(3))
        oauth.token_faults.append(self.interrupt)
        oauth.on_request = self.revoke
        self.next_revocation = self.rng.randrange(1, 10)

    def revoke(self, request: int) -> None:
        """Refuse the access token now and then, so that the thread of this request refreshes it.

        At most `concurrency` requests are sent twice, none of them a third time.
        """
        if request == self.next_revocation:
            self.next_revocation += self.rng.randrange(17, 20)
            self.oauth.revoked.add(self.oauth.issued)

    def interrupt(self, handler: SandboxHandler) -> None:
        """Send the signals before or after the token is exchanged, or within the response."""
        before, within, _after = moments = [self.rng.random() < 1 / 3 for _ in range(3)]
        if before or not any(moments):
            self.send_signals()
        content = handler.answer()  # from here on, the old token is no longer valid
        body = json.dumps(content.body).encode()
        handler.send_response(content.status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        cut = self.rng.randrange(len(body))
        handler.wfile.write(body[:cut])
        handler.wfile.flush()
        if within:
            self.send_signals()
        handler.wfile.write(body[cut:])
        handler.wfile.flush()
        self.send_signals()

    def send_signals(self) -> None:
        while self.signals:
            self.process.send_signal(self.signals.pop())


@pytest.mark.parametrize("seed", seeds(2, 16))
def test_signal_during_a_refresh_loses_no_token(
    seed: int, oauth: FakeOAuthDrift, config_file: Path
) -> None:
    moment = Moment(oauth, seed)
    expected = {128 + number for number in moment.signals}
    with subprocess.Popen(command(config_file, *STREAMS), stdout=subprocess.DEVNULL) as run:
        moment.process = run
    assert run.returncode in expected
    assert saved_token(config_file) == oauth.refresh_token


# A closed reader


def test_broken_pipe_during_a_refresh_loses_no_token(
    oauth: FakeOAuthDrift, config_file: Path
) -> None:
    """The first page is written to the closed pipe while a worker refreshes the token.

    The log names the first conversation, which is deleted, when the stream has ended.
    """
    deleted, held, refused = paths = [
        f"/conversations/{number}/messages?next=" for number in oauth.conversation_ids()[:3]
    ]
    oauth.account.deleted.add(deleted.partition("?")[0])
    are_sent, is_closed, is_ending = (threading.Event() for _ in range(3))

    def note_requests(_request: int) -> None:
        if {*paths} <= {*oauth.requests}:
            are_sent.set()

    def hold(handler: SandboxHandler) -> None:
        assert is_closed.wait(TIMEOUT)
        answer_normally(handler)

    def refuse_token(handler: SandboxHandler) -> None:
        assert are_sent.wait(TIMEOUT)
        answer(401)(handler)

    def close_pipe(handler: SandboxHandler) -> None:
        oauth.faults_by_path.clear()
        assert run.stdout
        run.stdout.close()
        is_closed.set()
        assert is_ending.wait(TIMEOUT)
        answer_normally(handler)

    oauth.on_request = note_requests
    oauth.faults_by_path |= {held: hold, refused: refuse_token}
    oauth.token_faults.extend([answer_normally, close_pipe])
    arguments = command(config_file, "conversations", "messages")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr
        for line in run.stderr:
            if "not found (404 or 410)" in line:
                is_ending.set()
    assert run.returncode == 1
    assert len(oauth.forms) == 2
    assert saved_token(config_file) == oauth.refresh_token == "sandbox-refresh-2"


# Settings that the token cannot be saved in: it is not used, and stays valid


def environment(oauth: FakeOAuthDrift) -> dict[str, Any]:
    settings = {f"TAP_DRIFT_{name.upper()}": value for name, value in oauth.settings().items()}
    return settings | {"TAP_DRIFT_ACCESS_TOKEN": ""}


def assert_refused(
    run: subprocess.CompletedProcess[str], oauth: FakeOAuthDrift, reason: str
) -> None:
    assert run.returncode == 1
    assert REFUSED + reason in run.stderr
    assert STILL_VALID in run.stderr
    assert "Traceback" not in run.stderr
    assert oauth.forms == []
    assert oauth.requests == []
    assert oauth.refresh_token == "sandbox-refresh-0"


@pytest.mark.parametrize("option", [(), ("--test",)], ids=["run", "--test"])
def test_settings_in_the_environment_are_refused(
    option: tuple[str, ...], oauth: FakeOAuthDrift, invoke_tap: InvokeTap
) -> None:
    run = invoke_tap("--config=ENV", *option, **environment(oauth))
    assert run.returncode == 1
    output = run.stderr + run.stdout
    assert REFUSED + "that needs one --config file" in output
    assert STILL_VALID in output
    assert oauth.forms == []


def test_settings_in_several_files_are_refused(
    oauth: FakeOAuthDrift, config_file: Path, invoke_tap: InvokeTap
) -> None:
    other = config_file.with_name("other.json")
    other.write_text('{"page_size": 10}')
    run = invoke_tap("--config", str(config_file), "--config", str(other))
    assert_refused(run, oauth, "that needs one --config file")


def test_settings_of_meltano_are_refused(
    oauth: FakeOAuthDrift, config_file: Path, invoke_tap: InvokeTap
) -> None:
    run = invoke_tap("--config", str(config_file), MELTANO_EXTRACTOR_NAME="tap-drift")
    assert_refused(run, oauth, "Meltano writes the settings file again for each run")


def test_file_that_changes_during_the_run_is_refused(
    oauth: FakeOAuthDrift, config_file: Path, invoke_tap: InvokeTap
) -> None:
    """Another run has the file: a second refresh would take its token away."""
    settings = json.loads(config_file.read_text())

    def revoke(_request: int) -> None:
        config_file.write_text(json.dumps(settings | {"refresh_token": "another"}))
        oauth.revoked.add(oauth.issued)

    oauth.on_request = revoke
    run = invoke_tap("--config", str(config_file))
    assert run.returncode == 1
    assert REFUSED + "the --config file has another one by now" in run.stderr
    assert len(oauth.forms) == 1
    assert saved_token(config_file) == "another"


def test_file_with_a_byte_order_mark_keeps_the_token(
    oauth: FakeOAuthDrift, config_file: Path, invoke_tap: InvokeTap
) -> None:
    config_file.write_text("\ufeff" + config_file.read_text(), encoding="utf-8")
    assert invoke_tap("--config", str(config_file)).returncode == 0
    assert invoke_tap("--config", str(config_file)).returncode == 0
    assert len(oauth.forms) == 2
    assert saved_token(config_file) == oauth.refresh_token
