"""The process: its end, which waits for a token refresh and for nothing else."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_LOCK = threading.Lock()
"""Held while the process must not exit: from a token refresh until the token is saved."""

_TOKEN_SECONDS, _LOG_SECONDS = 300.0, 1.0
"""Longest waits, at the end, for `EXIT_LOCK` and for the logs, whose output can be blocked."""

_ALARM_SECONDS = 1.0


class _Process:
    # Plain booleans: a signal handler can interrupt code that holds the lock of an `Event`.
    is_owned = False
    """Whether `run_as_process` controls the process."""
    ends_by_sigterm = False
    """Whether SIGTERM ends the process instead of exit code 143."""
    is_ending = False
    """Whether the command has ended."""


_process = _Process()


def run_as_process(command: Callable[[], object], *, exit_by_signal: bool = False) -> NoReturn:
    """Run a command that raises `SystemExit`, and end the process with its status.

    Worker threads can still be waiting for responses. The process does not wait for them, and skips
    interpreter shutdown, during which a running thread can crash the process. It waits for
    `EXIT_LOCK`, and ignores signals until then.

    Args:
        command: The command.
        exit_by_signal: Whether SIGTERM ends the process instead of exit code 143.
    """
    status: object = None
    _process.is_owned, _process.ends_by_sigterm = True, exit_by_signal
    if sys.platform != "win32":
        _start_alarm_after_signal()
    try:
        command()
    except SystemExit as error:
        status = error.code
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    _ignore_signals()
    _process.is_ending = True
    EXIT_LOCK.acquire(timeout=_TOKEN_SECONDS)
    _exit(status if isinstance(status, int) else 0)


def end_process(status: int) -> NoReturn:
    """End the process from a signal handler, at once.

    An exception instead could be raised within a wait of the interrupted code, and be lost.

    Raises:
        SystemExit: If a token refresh is in progress: it may need a lock that the interrupted code
            holds, and then releases. Also in a process that `run_as_process` does not control, such
            as a notebook.
    """
    if not _process.is_owned:
        sys.exit(status)
    _exit_unless_refreshing(status)
    sys.exit(status)


def end_process_after(seconds: float, status: int) -> None:
    """End the process if it is still running after some seconds; called by a signal handler.

    It waits for `EXIT_LOCK`, and for nothing else. Does nothing in a process that `run_as_process`
    does not control.
    """
    if not _process.is_owned:
        return
    if sys.platform != "win32":
        deadline = time.monotonic() + seconds
        signal.signal(signal.SIGALRM, lambda *_: _end_at(deadline, status))
    # If the main thread is in a call that no signal interrupts.
    _thread.start_new_thread(_sleep_and_end, (seconds + 2 * _ALARM_SECONDS, status))
    if not seconds:
        _end_at(0.0, status)


def _start_alarm_after_signal() -> None:
    """Let an alarm interrupt the main thread once per second after SIGTERM or SIGINT.

    A signal that arrives just before a wait, or in another thread, does not interrupt the wait:
    its handler would run when the wait ends.
    """
    signal.signal(signal.SIGALRM, lambda *_: None)
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    _thread.start_new_thread(_start_alarm, (signals,))


def _end_at(deadline: float, status: int) -> None:
    if time.monotonic() >= deadline:
        _exit_unless_refreshing(status)


def _exit_unless_refreshing(status: int) -> None:
    # First of all: the handler of another signal would not get the lock, and raise `SystemExit`.
    _ignore_signals()
    if EXIT_LOCK.acquire(blocking=False):
        _exit(status)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _exit(status: int) -> NoReturn:
    _shut_down_logging()
    if _process.ends_by_sigterm and status == 128 + signal.SIGTERM:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    os._exit(status)


# The threads below are not of `threading`, which needs locks that the interrupted code may hold.


def _start_alarm(signals: int) -> None:
    os.read(signals, 1)
    signal.setitimer(signal.ITIMER_REAL, _ALARM_SECONDS, _ALARM_SECONDS)


def _sleep_and_end(seconds: float, status: int) -> None:
    time.sleep(seconds)
    if _process.is_ending:
        return
    EXIT_LOCK.acquire(timeout=_TOKEN_SECONDS)
    _shut_down_logging()
    os._exit(status)


def _shut_down_logging() -> None:
    # In a thread, because a thread that is blocked on standard error holds the lock of its handler.
    running = threading.Lock()
    running.acquire()

    def shut_down() -> None:
        logging.shutdown()
        running.release()

    _thread.start_new_thread(shut_down, ())
    running.acquire(timeout=_LOG_SECONDS)
