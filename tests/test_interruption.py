"""The next run loses nothing after a signal, a kill, an error or a crash of the target."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from fake_drift import FakeDrift, FakeDriftHandler
from fake_target import FakeTarget
from faults import answer, answer_normally, page
from runs import CapturedMessages, catalog, sync, sync_failing
from seeds import positions

from tap_drift.sandbox.data.account import Account
from tap_drift.streams.listing import PAGES_AHEAD
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import EXIT_SECONDS, TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faults import Fault

    from tap_drift.sandbox.server import Answer

# 250 conversations are 25 pages.
PAGE_SIZE = 10
PAGES = 25

STREAMS = ("conversations", "messages", "transcripts", "contacts")
STREAMS_PAGE_SIZE = 5


class TapProcess:
    """The command `tap-drift` as a process that can be interrupted."""

    def __init__(
        self,
        drift: FakeDrift,
        folder: Path,
        *streams: str,
        page_size: int,
        python: tuple[str, ...] = ("-m", "tap_drift"),
        stdout: int = subprocess.PIPE,
    ) -> None:
        (folder / "catalog.json").write_text(json.dumps(catalog(*streams)))
        self.drift = drift
        self.errors = ""
        self.process = subprocess.Popen(
            [sys.executable, *python, "--config=ENV", "--catalog=catalog.json"],
            cwd=folder,
            env=os.environ
            | {
                "TAP_DRIFT_ACCESS_TOKEN": drift.token,
                "TAP_DRIFT_API_URL": drift.url,
                "TAP_DRIFT_PAGE_SIZE": str(page_size),
                "TAP_DRIFT_LOOKBACK_SECONDS": "0",
            },
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def signal_at(self, request_number: int, number: signal.Signals) -> None:
        """Send a signal when this request arrives, before it is answered."""

        def send(request: int) -> None:
            if request == request_number:
                self.process.send_signal(number)

        self.drift.on_request = send

    def close_output_after(self, count: int) -> list[str]:
        """Read this number of lines, then close the pipe as a crashed target does."""
        assert self.process.stdout
        lines = [self.process.stdout.readline() for _ in range(count)]
        self.process.stdout.close()
        return lines

    def wait(self) -> tuple[int, list[str]]:
        """Wait for the end; return the exit code and the lines on standard output."""
        try:
            output, self.errors = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.drift.on_request = None
        assert "Traceback" not in self.errors
        return self.process.returncode, output.splitlines(keepends=True)

    def wait_without_output(self) -> int:
        """Wait for the end after `close_output_after`; return the exit code."""
        assert self.process.stderr
        with self.process.stderr as errors:
            assert "Traceback" not in errors.read()
        self.drift.on_request = None
        return self.process.wait(30)


def complete_lines(lines: list[str]) -> list[dict[str, Any]]:
    """Return the messages that a target can read: the lines that have a line end."""
    return [json.loads(line) for line in lines if line.endswith("\n")]


def exit_code(number: signal.Signals) -> int:
    """Return what `Popen` reports: 128 + n if the tap handles the signal, else -n."""
    return -number if number == signal.SIGKILL else 128 + number


# Conversations alone


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"page_size": PAGE_SIZE, "lookback_seconds": 0}


@pytest.mark.parametrize("request_number", positions([12], [1, 2, 12, 25]))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_run_with_a_state_to_resume_from(
    number: signal.Signals,
    request_number: int,
    drift: FakeDrift,
    config: dict[str, Any],
    tmp_path: Path,
) -> None:
    run = TapProcess(drift, tmp_path, "conversations", page_size=PAGE_SIZE)
    run.signal_at(request_number, number)
    status, lines = run.wait()
    assert status == 128 + number
    assert all(line.endswith("\n") for line in lines)
    assert json.loads(lines[-1])["type"] == "STATE"
    target = FakeTarget(complete_lines(lines))
    pages, rest = divmod(len(target.conversations), PAGE_SIZE)
    assert rest == 0
    # Pages that were read ahead are not written.
    assert request_number - 2 - PAGES_AHEAD <= pages <= request_number - 1
    drift.requests.clear()
    target.load(sync(config, target.state).all)
    assert target.missing(drift) == set()
    head = 1 if pages else 0
    assert len(drift.requests) == head + PAGES - pages


def resume(drift: FakeDrift, config: dict[str, Any], lines: list[str]) -> FakeTarget:
    """Load the lines, update a conversation, and run again from the state."""
    target = FakeTarget(complete_lines(lines))
    oldest = drift.conversation_ids()[-1]
    drift.update_conversation(oldest, 1_780_000_000_000, status="reopened")
    drift.requests.clear()
    target.load(sync(config, target.state).all)
    return target


@pytest.mark.parametrize(
    ("request_number", "requests_left"),
    [
        (1, 25),
        (2, 25),
        (14, 1 + 15),
        (23, 1 + 5),
    ],
)
def test_kill_costs_the_pages_since_the_last_state(
    request_number: int,
    requests_left: int,
    drift: FakeDrift,
    config: dict[str, Any],
    tmp_path: Path,
) -> None:
    run = TapProcess(drift, tmp_path, "conversations", page_size=PAGE_SIZE)
    run.signal_at(request_number, signal.SIGKILL)
    status, lines = run.wait()
    assert status == -signal.SIGKILL
    assert resume(drift, config, lines).missing(drift) == set()
    assert len(drift.requests) == requests_left


@pytest.mark.parametrize(("request_number", "requests_left"), [(2, 25), (12, 1 + 15)])
def test_dead_target_costs_the_pages_since_the_last_state(
    request_number: int,
    requests_left: int,
    drift: FakeDrift,
    config: dict[str, Any],
    tmp_path: Path,
) -> None:
    run = TapProcess(drift, tmp_path, "conversations", page_size=PAGE_SIZE)
    lines: list[str] = []

    def die(request: int) -> None:
        if request == request_number:
            pages = request_number - 1
            states = pages // 10
            lines.extend(run.close_output_after(1 + PAGE_SIZE * pages + states))

    drift.on_request = die
    assert run.wait_without_output() == 1
    assert resume(drift, config, lines).missing(drift) == set()
    assert len(drift.requests) == requests_left


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(403), id="refused"),
        pytest.param(page({"id": 1, "updatedAt": "words"}), id="invalid row"),
    ],
)
def test_error_is_preceded_by_a_state(
    fault: Fault, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([*[answer_normally] * 3, fault])
    messages, _ = sync_failing(config)
    assert messages.all[-1]["type"] == "STATE"
    assert len(FakeTarget(messages.all).conversations) == 3 * PAGE_SIZE
    assert messages.state()["bookmarks"]["conversations"]["resume"]["next"]


# The last STATE


def test_signal_with_batches_writes_no_state(config: dict[str, Any]) -> None:
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///nowhere"}}
    for settings, types in ((config, ["STATE"]), (config | {"batch_config": batch}, [])):
        messages = CapturedMessages()
        tap = TapDrift(config=settings, state={"bookmarks": {}}, message_writer=messages)
        tap.state["bookmarks"] = {"conversations": {}}
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        assert [message["type"] for message in messages.all] == types


def test_signal_flushes_records_when_state_is_unchanged(config: dict[str, Any]) -> None:
    output = io.BytesIO()
    tap = TapDrift(config=config, message_writer=MessageWriter(output))
    tap.state_writer.write_state(tap.state)
    tap.message_writer.write_record("conversations", {"id": 1}, None, None)
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    types = [json.loads(line)["type"] for line in output.getvalue().splitlines()]
    assert types == ["STATE", "RECORD"]


def test_signal_after_the_output_is_closed_ends_the_run(config: dict[str, Any]) -> None:
    output = io.BytesIO()
    tap = TapDrift(config=config, message_writer=MessageWriter(output))
    output.close()
    tap.message_writer.write_record("conversations", {"id": 1}, None, None)
    with pytest.raises(SystemExit) as end:
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143


def test_signal_before_the_state_is_loaded_writes_nothing(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty STATE would replace the state that the run was given."""
    state = {"bookmarks": {"conversations": {"replication_key": "updatedAt"}}}
    monkeypatch.setattr(TapDrift, "setup_mapper", lambda _: signal.raise_signal(signal.SIGTERM))
    messages = CapturedMessages()
    with pytest.raises(SystemExit) as end:
        TapDrift(config=config, state=state, message_writer=messages)
    assert end.value.code == 143
    assert messages.all == []


# While standard output is not read


@contextmanager
def blocked_run(
    drift: FakeDrift, folder: Path, exit_seconds: float
) -> Iterator[tuple[subprocess.Popen[str], BinaryIO]]:
    """Start a run that waits for its reader, because the pipe cannot hold the page being written.

    The first character of the first RECORD has been read from it.

    Args:
        drift: The server.
        folder: Where its files are written.
        exit_seconds: Seconds that the run may take after a signal.
    """
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    code = (
        "from tap_drift import __main__, tap",
        f"tap.EXIT_SECONDS = {exit_seconds}",
        "__main__.main()",
    )
    python = ("-c", "\n".join(code))
    run = TapProcess(
        drift, folder, "conversations", page_size=100, python=python, stdout=write_end
    ).process
    os.close(write_end)
    try:
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            assert b"SCHEMA" in pipe.readline()
            assert pipe.read(1) == b"{"
            yield run, pipe
    finally:
        run.kill()
        run.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_run_whose_output_is_not_read(
    number: signal.Signals, drift: FakeDrift, tmp_path: Path
) -> None:
    with blocked_run(drift, tmp_path, exit_seconds=0.1) as (run, _):
        run.send_signal(number)
        assert run.wait(30) == 128 + number


def test_process_ends_within_a_call_that_no_signal_interrupts() -> None:
    """The main thread locks a mutex of the C library twice."""
    code = """
import ctypes
from tap_drift import process

def command():
    process.end_process_after(0.1, 143)
    lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
    lock(mutex)
    lock(mutex)

process._ALARM_SECONDS = 0.1
process.run_as_process(command)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 143


def test_second_signal_ends_such_a_run_at_once(drift: FakeDrift, tmp_path: Path) -> None:
    """The signals differ, because two pending signals of a kind count as one."""
    with blocked_run(drift, tmp_path, exit_seconds=3600) as (run, _):
        run.send_signal(signal.SIGTERM)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) in {128 + signal.SIGTERM, 128 + signal.SIGINT}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_signal_within_a_write_loses_nothing(
    unbuffered: str,
    drift: FakeDrift,
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write that a signal interrupts has written a part; Python repeats only buffered ones."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with blocked_run(drift, tmp_path, exit_seconds=3600) as (run, pipe):
        run.send_signal(signal.SIGTERM)
        lines = ("{" + pipe.read().decode()).splitlines(keepends=True)
        assert run.wait(30) == 128 + signal.SIGTERM
    assert all(line.endswith("\n") for line in lines)
    target = FakeTarget(complete_lines(lines))
    assert len(target.conversations) == 100
    assert target.state
    target.load(sync(config, target.state).all)
    assert target.missing(drift) == set()


def test_signal_has_seconds_to_end_a_run() -> None:
    assert 2 <= EXIT_SECONDS <= 8


# With streams that are requested per conversation


@pytest.fixture
def forty() -> Iterator[FakeDrift]:
    """A server with 40 conversations."""
    with FakeDrift(Account.from_seed(40, seed=7)) as server:
        yield server


def check_next_run(drift: FakeDrift, lines: list[str], number: signal.Signals) -> None:
    """Check what the interrupted run wrote, and that the next run emits all that is missing."""
    if number != signal.SIGKILL:
        assert all(line.endswith("\n") for line in lines)
        assert '"STATE"' in "".join(lines)
    target = FakeTarget(complete_lines(lines))
    drift.faults_by_path.clear()
    drift.RequestHandlerClass = FakeDriftHandler
    config = {"api_url": drift.url, "access_token": drift.token, "lookback_seconds": 0}
    target.load(sync(config, target.state, catalog(*STREAMS)).all)
    assert target.missing(drift, *STREAMS) == set()


SIGNALS = [
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGKILL,
]


@pytest.mark.parametrize("request_number", positions([40], [1, 2, 9, 40, 90]))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signal_at_any_request_loses_no_row(
    number: signal.Signals, request_number: int, forty: FakeDrift, tmp_path: Path
) -> None:
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    run.signal_at(request_number, number)
    status, lines = run.wait()
    assert status == exit_code(number)
    check_next_run(forty, lines, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_does_not_wait_for_requests_in_flight(
    number: signal.Signals, forty: FakeDrift, tmp_path: Path
) -> None:
    """The server answers them after the process has ended."""
    ended, held = threading.Event(), []

    class HoldingHandler(FakeDriftHandler):
        def answer(self) -> Answer:
            if "/messages" in self.path or "/transcript" in self.path or "/contacts" in self.path:
                held.append(self.path)
                if len(held) == 8:
                    run.process.send_signal(number)
                assert ended.wait(30)
            return super().answer()

    forty.RequestHandlerClass = HoldingHandler
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    status, lines = run.wait()
    assert len(held) == 8
    ended.set()
    assert status == exit_code(number)
    check_next_run(forty, lines, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_does_not_wait_for_a_retry(
    number: signal.Signals, forty: FakeDrift, tmp_path: Path
) -> None:
    """Drift requests a wait of minutes; the signal is sent once the wait is logged."""
    forty.faults_by_path["/messages"] = answer(429, Retry_After="200")
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    assert run.process.stderr
    for line in run.process.stderr:
        if "Retrying in 20" in line:  # other lines can have 429 in their time
            run.process.send_signal(number)
            break
    status, lines = run.wait()
    assert status == exit_code(number)
    check_next_run(forty, lines, number)


def test_signal_logs_what_was_counted(forty: FakeDrift, tmp_path: Path) -> None:
    newest = forty.conversation_ids()[0]
    forty.faults_by_path[f"{newest}/transcript"] = answer(404)
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    run.signal_at(95, signal.SIGTERM)  # of about 105; not all pages can be read ahead
    _, lines = run.wait()
    rows = Counter(message["stream"] for message in complete_lines(lines) if "record" in message)
    counters = re.findall(r'"record_count","value":(\d+),"tags":{"stream":"(\w+)"', run.errors)
    assert {stream for _, stream in counters} == {*STREAMS}
    # The signal can come between a record and its count.
    assert all(rows[stream] - int(count) in {0, 1} for count, stream in counters)
    assert re.search(r"transcripts: 1 of \d+ not found \(404 or 410\)", run.errors)


def test_signal_within_a_wait_of_threading_ends_the_run(forty: FakeDrift, tmp_path: Path) -> None:
    """The wait has released the lock that the `with` around it releases once more.

    An exception raised there would be replaced by a `RuntimeError`.
    """
    code = """
import linecache, signal, sys, threading
from tap_drift import __main__

def interrupt(frame, event, _):
    if frame.f_code.co_filename != threading.__file__:
        return None
    if linecache.getline(threading.__file__, frame.f_lineno).strip() == "gotit = False":
        sys.settrace(None)
        signal.raise_signal(signal.SIGTERM)
    return interrupt

sys.settrace(interrupt)
__main__.main()
"""
    python = ("-c", code)
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE, python=python)
    status, lines = run.wait()
    assert status == 128 + signal.SIGTERM
    check_next_run(forty, lines, signal.SIGTERM)


def test_signal_that_does_not_interrupt_a_wait_ends_the_run(
    forty: FakeDrift, tmp_path: Path
) -> None:
    """It arrives in another thread, while the main thread waits for a response.

    One that arrives just before the wait has the same effect.
    """
    os.mkfifo(tmp_path / "send")
    code = """
import signal, threading
from pathlib import Path
from tap_drift import __main__

def interrupt():
    Path("send").read_bytes()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=interrupt, daemon=True).start()
__main__.main()
"""
    ended, held = threading.Event(), []

    class HoldingHandler(FakeDriftHandler):
        def answer(self) -> Answer:
            if "/messages" in self.path:
                held.append(self.path)
                if len(held) == STREAMS_PAGE_SIZE:
                    (tmp_path / "send").write_bytes(b"")
                assert ended.wait(30)
            return super().answer()

    forty.RequestHandlerClass = HoldingHandler
    streams = ("conversations", "messages")
    python = ("-c", code)
    run = TapProcess(forty, tmp_path, *streams, page_size=STREAMS_PAGE_SIZE, python=python)
    status, lines = run.wait()
    ended.set()
    assert status == 128 + signal.SIGTERM
    check_next_run(forty, lines, signal.SIGTERM)


@pytest.mark.parametrize("line_count", positions([60], [1, 2, 60, 250]))
def test_dead_target_loses_no_committed_row(
    line_count: int, forty: FakeDrift, tmp_path: Path
) -> None:
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    lines = run.close_output_after(line_count)
    assert run.wait_without_output() == 1
    check_next_run(forty, lines, signal.SIGKILL)


def test_concurrent_requests_leave_output_lines_whole(forty: FakeDrift, tmp_path: Path) -> None:
    run = TapProcess(forty, tmp_path, *STREAMS, page_size=STREAMS_PAGE_SIZE)
    status, lines = run.wait()
    assert status == 0
    messages = [json.loads(line) for line in lines]
    assert {message["stream"] for message in messages if "stream" in message} == set(STREAMS)
    check_next_run(forty, lines, signal.SIGTERM)
