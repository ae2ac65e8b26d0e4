"""The process: its end, which waits for a token refresh and for nothing else."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_LOCK = threading.Lock()
"""Held while the process must not exit: from a token refresh until the token is saved."""

_TOKEN_SECONDS, _LOG_SECONDS = 300.0, 1.0
"""Longest waits, at the end, for `EXIT_LOCK` and for the logs, whose output can be blocked."""

_owns_process = threading.Event()


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
    _owns_process.set()
    try:
        command()
    except SystemExit as error:
        status = error.code
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if exit_by_signal and status == 128 + signal.SIGTERM:
        _wait_and_shut_down()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    _exit_process(status if isinstance(status, int) else 0)


def force_exit(status: int, seconds: float = 0.0) -> None:
    """End the process if it is still running after some seconds, whatever blocks it.

    Does nothing in a process that `run_as_process` does not control, such as a notebook.
    """
    if not _owns_process.is_set():
        return
    if not seconds:
        _exit_process(status)
    deadline = threading.Timer(seconds, _exit_process, [status])
    deadline.daemon = True
    deadline.start()


def _exit_process(status: int) -> NoReturn:
    _wait_and_shut_down()
    os._exit(status)


def _wait_and_shut_down() -> None:
    EXIT_LOCK.acquire(timeout=_TOKEN_SECONDS)
    # In a thread, because a thread that is blocked on standard error holds the lock of its handler.
    shutdown = threading.Thread(target=logging.shutdown, daemon=True)
    shutdown.start()
    shutdown.join(_LOG_SECONDS)
