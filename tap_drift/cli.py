"""How a run ends: its exit code, and errors in sentences instead of tracebacks."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from jsonschema import Draft202012Validator
from typing_extensions import override

from tap_drift.exceptions import sentences, traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("tap-drift")

_KINDS = {
    "state": "an object with `bookmarks`, as the last STATE message of a run has in `value`",
    "catalog": "an object with `streams`, as --discover prints it",
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "state": {
        "type": "object",
        "anyOf": [{"maxProperties": 0}, {"required": ["bookmarks"]}],
        "properties": {"bookmarks": {"type": "object", "additionalProperties": {"type": "object"}}},
    },
    "catalog": {
        "type": "object",
        "required": ["streams"],
        "properties": {
            "streams": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["tap_stream_id", "schema"],
                    "properties": {"schema": {"type": "object"}},
                },
            }
        },
    },
}


class DriftCommand(click.Command):
    """The command `tap-drift`: exits non-zero with a sentence for each thing that is wrong."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, and exit.

        Args:
            args: click's.
            kwargs: click's.

        Raises:
            SystemExit: Always: 0 if all went well, 1 if not, 2 if the command line was wrong; 130
                and 143 after SIGINT and SIGTERM.
        """
        if sys.stdout is None:
            sys.exit("tap-drift: standard output is closed; there is nowhere to write to.")
        try:
            with _flushed_output():
                super().main(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends in words
            self.tell(error)
            logger.debug("Traceback:\n%s", traceback(error))
            sys.exit(1)

    def tell(self, error: Exception) -> None:
        """Say what ended the run.

        Args:
            error: What was raised.
        """
        for sentence in sentences(error):
            logger.error(sentence)


def as_process(command: Callable[[], object]) -> NoReturn:
    """Run a command, and end the process as it does.

    Threads that still ask Drift for something are not waited for; nor may they run while the
    interpreter takes itself apart, which not all libraries survive.

    Args:
        command: Exits when it is done.
    """
    status: object = None
    try:
        command()
    except SystemExit as end:
        status = end.code
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    logging.shutdown()
    os._exit(status if isinstance(status, int) else 0)


def json_file(
    _context: click.Context, option: click.Parameter, file: IO[str] | None
) -> IO[str] | None:
    """Check the file given as `--state` or `--catalog`, before the SDK trusts it.

    Args:
        _context: click's.
        option: Which of the two.
        file: The file, open; None if the option was not given.

    Returns:
        Its text, ready to be read again: it may have been a pipe.

    Raises:
        click.BadParameter: If it is not of that kind.
    """
    if file is None:
        return None
    kind = str(option.name)
    try:
        text = file.read()
        fits = Draft202012Validator(_SCHEMAS[kind]).is_valid(json.loads(text))
    except (RecursionError, ValueError):
        fits = False
    if not fits:
        raise click.BadParameter(f"'{file.name}' is not a Singer {kind}: {_KINDS[kind]}.")
    return io.StringIO(text)


@contextmanager
def _flushed_output() -> Iterator[None]:
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            # What cannot be written now never can be: leave nothing for the interpreter to try.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
