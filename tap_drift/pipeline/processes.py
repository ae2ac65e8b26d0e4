"""The processes of `drift-run`: the tap, connected to a target whose states are saved."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from tap_drift.pipeline.state_file import parse_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from tap_drift.pipeline.state_file import StateFile

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END_SECONDS = 1.0
_SIGNAL_STATUS = 128  # added to the signal's number, as in a shell


class Pipeline:
    """Runs the tap into a target, and saves each state that the target writes."""

    def __init__(
        self,
        tap: Sequence[str],
        target: Sequence[str],
        state: StateFile,
        report: Callable[[str], None],
    ) -> None:
        """Create a pipeline.

        Args:
            tap: Command of the tap.
            target: Command of the target.
            state: Where to save the states.
            report: Called with each message for the user.
        """
        self._commands = (target, tap)
        self._target_name = Path(target[0]).name
        self._state = state
        self._report = report
        self._processes: list[subprocess.Popen[bytes]] = []  # the target, then the tap
        self._signals: list[int] = []
        self._is_saved = False
        self._has_other_output = False
        self._save_error: OSError | None = None

    def run(self) -> int:
        """Run both to their end.

        Returns:
            0 if everything was loaded and the state is saved; otherwise the exit code of the one
            that failed, 128 and the number of the signal, or 1.

        Raises:
            OSError: If the target cannot be started.
        """
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        target, tap = self._start()
        with cast("IO[bytes]", target.stdout) as output:  # it is a pipe
            self._save_states(output)
        target_status = _exit_status(target)
        has_ended_early = not _ends_soon(tap)
        if has_ended_early:
            tap.terminate()  # it may wait for Drift for hours before it writes again
        status = self._first_failure(_exit_status(tap), target_status, has_ended_early)
        status = self._report_end(status)
        return _SIGNAL_STATUS + self._signals[0] if status and self._signals else status

    def _start(self) -> list[subprocess.Popen[bytes]]:
        read, write = os.pipe()
        target, tap = self._commands
        try:
            self._start_process(target, stdin=read, stdout=subprocess.PIPE)
            self._start_process(tap, stdin=None, stdout=write)
        finally:
            os.close(read)
            os.close(write)
        if self._signals:
            self._processes[1].terminate()  # the signal came before there was a process
        return self._processes

    def _start_process(self, command: Sequence[str], stdin: int | None, stdout: int) -> None:
        process = subprocess.Popen(  # noqa: S603 - the user's command
            command,
            stdin=stdin,
            stdout=stdout,
            # Ctrl-C in a terminal reaches this process only, which ends the others in order.
            process_group=0,
            # If this process is killed, the lock is held as long as the others run.
            pass_fds=(self._state.lock,),
        )
        self._processes.append(process)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """End the tap, so that the target loads what it has received; end both the second time."""
        self._signals.append(number)
        is_second = len(self._signals) > 1
        for process in self._processes[0 if is_second else 1 :]:
            process.terminate()

    def _save_states(self, output: Iterable[bytes]) -> None:
        """Read the target's output to its end, and save each state at once."""
        for line in output:
            state = parse_state(line)
            if state is not None:
                self._save(state)
            elif line.strip() and not self._has_other_output:
                self._has_other_output = True
                self._report(f"{self._target_name} wrote a line that is not a state; skipped.")

    def _save(self, state: str) -> None:
        try:
            self._state.save(state)
        except OSError as error:
            self._save_error = error
        else:
            self._save_error, self._is_saved = None, True

    def _first_failure(self, tap: int, target: int, has_ended_early: bool) -> int:  # noqa: FBT001 - private
        """Report who failed, and return the exit code of the one that failed first."""
        if target:
            self._report(f"{self._target_name} failed: {_describe(target)}.")
        if not tap:
            return target
        if has_ended_early:
            self._report(f"{self._target_name} ended before it had read everything.")
            return target or 1
        # 1 is also the tap's exit code if the target has ended, and no longer reads.
        if tap == 1 and target:
            return target
        if self._signals and tap == _SIGNAL_STATUS + signal.SIGTERM:  # from `_on_signal`
            name = signal.Signals(self._signals[0]).name
            self._report(f"tap-drift was interrupted by {name}.")
        else:
            self._report(f"tap-drift failed: {_describe(tap)}.")
        return tap

    def _report_end(self, status: int) -> int:
        """Report what the state file has now; return the exit code, which no state makes 1."""
        path = self._state.path
        if self._save_error:
            self._report(
                f"the state could not be saved in {path}: {self._save_error.strerror}. The next "
                "run starts from the state before it."
            )
            return status or 1
        if not self._is_saved:
            now = "is unchanged" if path.exists() else "is not created"
            self._report(f"{self._target_name} confirmed no new state: {path} {now}.")
            # Some targets write none if the last STATE came before the last record, as in a run
            # with nothing new. Without a state at all, every run would read everything.
            is_unchanged = path.exists() and not self._has_other_output
            return status if is_unchanged else status or 1
        self._report(f"{path} has the last state that {self._target_name} confirmed.")
        return status


def _ends_soon(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process ends soon by itself: its output is closed just before its end."""
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _exit_status(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process, and return its exit code as a shell does."""
    code = process.wait()
    return code if code >= 0 else _SIGNAL_STATUS - code


def _describe(status: int) -> str:
    if status <= _SIGNAL_STATUS:
        return f"exit code {status}"
    try:
        return f"exit code {status}, as after {signal.Signals(status - _SIGNAL_STATUS).name}"
    except ValueError:
        return f"exit code {status}"
