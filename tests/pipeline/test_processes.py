"""Pipelines of real processes: exit codes, and what the state file has after a failure.

A shell script takes the place of the tap, and another that of the target.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tap_drift.pipeline.processes import Pipeline
from tap_drift.pipeline.state_file import StateFile

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = '{"bookmarks": {"users": 1}}', '{"bookmarks": {"users": 2}}'
LOAD = "cat > /dev/null"
CONFIRM = f"echo '{NEW}'"


class End(NamedTuple):
    """How a pipeline ended."""

    status: int
    state: str
    messages: list[str]


def run(tap: str, target: str, folder: Path) -> End:
    """Run two shell scripts as tap and target, with the state `OLD`."""
    path, messages = folder / "state.json", list[str]()
    path.write_text(f"{OLD}\n")
    with StateFile(path) as state:
        shell = ["/bin/sh", "-c"]
        status = Pipeline([*shell, tap], [*shell, target], state, messages.append).run()
    return End(status, path.read_text().rstrip("\n"), messages)


def test_target_reads_what_the_tap_writes(tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    end = run("echo record", f"cat > {loaded}; {CONFIRM}", tmp_path)
    assert end.status == 0
    assert loaded.read_text() == "record\n"
    assert end.state == NEW
    assert end.messages == [f"{tmp_path / 'state.json'} has the last state that sh confirmed."]


def test_last_of_several_states_is_saved(tmp_path: Path) -> None:
    assert run("true", f"{LOAD}; echo '{OLD}'; echo; {CONFIRM}", tmp_path)[:2] == (0, NEW)


def test_state_without_a_line_break_is_saved(tmp_path: Path) -> None:
    assert run("true", f"{LOAD}; printf '%s' '{NEW}'", tmp_path)[:2] == (0, NEW)


# Each failure has its exit code, and the state that was confirmed before it is saved.
FAILURES = {
    "tap fails": ("exit 1", LOAD, 1),
    "tap gets a wrong option": ("exit 2", LOAD, 2),
    "tap is killed": ("echo x; kill -9 $$", LOAD, 137),
    "killed tap breaks the target": ("echo x; kill -9 $$", f"{LOAD}; exit 5", 137),
    "target fails": ("echo x", f"{LOAD}; exit 3", 3),
    "target is killed": ("echo x", f"{LOAD}; kill -9 $$", 137),
    "target dies before the end": ("yes; exit 1", "exit 3", 3),
    "target dies while the tap waits": ("exec sleep 600", "exit 3", 3),
    "target stops reading": ("yes; exit 1", "exit 0", 1),
    "target stops reading while the tap waits": ("exec sleep 600", "exit 0", 1),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_keeps_its_code_and_the_confirmed_state(failure: str, tmp_path: Path) -> None:
    tap, target, status = FAILURES[failure]
    assert run(tap, f"{CONFIRM}; {target}", tmp_path)[:2] == (status, NEW)


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_without_a_new_state_keeps_the_old(failure: str, tmp_path: Path) -> None:
    tap, target, status = FAILURES[failure]
    end = run(tap, target, tmp_path)
    assert end[:2] == (status, OLD)
    assert end.messages[-1].startswith("sh confirmed no new state: ")


@pytest.mark.parametrize("output", [NEW[:-1], "{}", '{"bookmarks": {}}', "loaded"])
def test_output_that_is_no_state_keeps_the_old(output: str, tmp_path: Path) -> None:
    end = run("true", f"{LOAD}; printf '%s' '{output}'", tmp_path)
    assert end[:2] == (1, OLD)
    assert end.messages[0] == "sh wrote a line that is not a state; skipped."


def test_no_output_with_an_old_state_is_a_success(tmp_path: Path) -> None:
    end = run("true", LOAD, tmp_path)
    assert end[:2] == (0, OLD)
    assert end.messages == [f"sh confirmed no new state: {tmp_path / 'state.json'} is unchanged."]


def test_no_output_without_an_old_state_is_a_failure(tmp_path: Path) -> None:
    path, messages = tmp_path / "state.json", list[str]()
    with StateFile(path) as state:
        assert Pipeline(["true"], ["cat"], state, messages.append).run() == 1
    assert messages == [f"cat confirmed no new state: {path} is not created."]


def test_other_lines_are_reported_once_without_text(tmp_path: Path) -> None:
    end = run("true", f"{LOAD}; echo body; echo body; {CONFIRM}", tmp_path)
    assert end[:2] == (0, NEW)
    assert len(end.messages) == 2
    assert "body" not in "".join(end.messages)


def test_failure_is_named(tmp_path: Path) -> None:
    assert run("exit 2", f"{LOAD}; {CONFIRM}; kill -9 $$", tmp_path).messages[:2] == [
        "sh failed: exit code 137, as after SIGKILL.",
        "tap-drift failed: exit code 2.",
    ]


def test_unsaved_state_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_file: StateFile, _state: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StateFile, "save", fail)
    end = run("true", f"{LOAD}; {CONFIRM}", tmp_path)
    assert end[:2] == (1, OLD)
    assert "could not be saved" in end.messages[0]
    assert "No space left on device" in end.messages[0]


def test_missing_target_starts_no_tap(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with StateFile(tmp_path / "state.json") as state, pytest.raises(FileNotFoundError):
        Pipeline(["/bin/sh", "-c", f"touch {started}"], ["no-target"], state, print).run()
    assert not started.exists()


# Signals

# Opening a FIFO waits for the other side, so the signal is sent when the tap has come so far.
WAIT = "echo row; : > ready; exec sleep 600"
GRACEFUL = f"cat > loaded; {CONFIRM}"
STUBBORN = "exec sleep 600"


def interrupt(folder: Path, *numbers: signal.Signals, target: str) -> End:
    """Send signals to the pipeline when its tap has started."""
    ready = folder / "ready"
    os.mkfifo(ready)
    main = threading.get_ident()

    def send() -> None:
        ready.read_text()
        for number in numbers:
            signal.pthread_kill(main, number)

    thread = threading.Thread(target=send)
    thread.start()
    end = run(f"cd {folder}; {WAIT}", f"cd {folder}; {target}", folder)
    thread.join()
    return end


def test_interrupted_tap_is_not_reported_as_failed(tmp_path: Path) -> None:
    end = interrupt(tmp_path, signal.SIGINT, target=GRACEFUL)
    assert end.messages[0] == "tap-drift was interrupted by SIGINT."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_lets_the_target_load_what_it_has(number: signal.Signals, tmp_path: Path) -> None:
    end = interrupt(tmp_path, number, target=GRACEFUL)
    assert end[:2] == (128 + number, NEW)
    assert (tmp_path / "loaded").read_text() == "row\n"


def test_second_signal_ends_the_target(tmp_path: Path) -> None:
    end = interrupt(tmp_path, signal.SIGINT, signal.SIGTERM, target=STUBBORN)
    assert end[:2] == (130, OLD)
