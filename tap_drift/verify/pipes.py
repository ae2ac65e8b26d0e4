"""Pipes of drift-verify: reads messages to their end, so that tap and target continue."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.verify.inputs import Input

_CHUNK_BYTES = 1 << 20


@contextmanager
def messages_read_to_end(data: Input) -> Iterator[None]:
    """Read messages to their end, even after an error, but not after a signal.

    In `tap | tee >(drift-verify) | target`, standard output is the target's input: the report goes
    to standard error, and the target does not wait for this process to close the pipe.
    """
    if not data.is_messages:
        yield
        return
    if is_pipe(sys.stdin) and is_pipe(sys.stdout):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        yield
    finally:
        drain(data.messages)


def drain(messages: IO[bytes]) -> None:
    """Read the input to its end: `tee`, and with it the tap, ends if its output pipe is closed."""
    while not messages.isatty() and messages.read(_CHUNK_BYTES):
        pass


def is_pipe(stream: IO[str] | None) -> bool:
    """Return whether a stream is open, and a pipe."""
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
