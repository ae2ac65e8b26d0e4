"""The command `drift-verify`: whether what arrived is all that Drift had."""

from __future__ import annotations

import logging
import os
import stat
import sys
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from typing_extensions import override

from tap_drift.cli import DriftCommand, as_process
from tap_drift.tap import TapDrift
from tap_drift.verify.compare import compare
from tap_drift.verify.extraction import read
from tap_drift.verify.progress import Progress
from tap_drift.verify.report import Comparison, lacking, report
from tap_drift.verify.source_reader import Drift
from tap_drift.verify.store import Store

if TYPE_CHECKING:
    from singer_sdk.plugin_base import _ConfigInput


_CHUNK = 1 << 20


class VerifyCommand(DriftCommand):
    """Ends as the tap does, and never before its input has."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, and exit.

        Args:
            args: click's.
            kwargs: click's.

        Raises:
            SystemExit: Always: 0 if all has arrived, 1 if not or if that could not be found out, 2
                if the command line was wrong.
        """
        _set_up_logging()
        # As in `tap | tee >(drift-verify) | target`, where our output is the target's input: the
        # target shall not read a table there, nor wait for it.
        if _is_pipe(sys.stdin) and _is_pipe(sys.stdout):
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        super().main(*args, **kwargs)

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line; if that is wrong, read the input to its end all the same.

        Args:
            args: click's.
            kwargs: click's.

        Returns:
            click's context.

        Raises:
            click.UsageError: If the command line is wrong.
        """
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError:
            if _is_pipe(sys.stdin):
                _drain(sys.stdin.buffer)
            raise


@click.command(cls=VerifyCommand)
@click.option(
    "--config",
    multiple=True,
    callback=TapDrift.cb_config,
    metavar="FILE|ENV",
    help="The tap's settings, as the tap was given them: a JSON file, or ENV for the environment.",
)
@click.option(
    "--missing",
    type=click.File("wb", lazy=False),
    metavar="FILE",
    help="Write what is missing there: a JSON object a line, with `stream`, `id` and `why`.",
)
@click.argument("messages", type=click.File("rb"), default="-")
@click.pass_context
def main(
    context: click.Context, config: _ConfigInput, missing: IO[bytes] | None, messages: IO[bytes]
) -> None:
    """Say whether MESSAGES, which tap-drift wrote, are all that Drift has.

    Reads standard input, if no file is given; then asks Drift. Exits with 0 only if nothing is
    missing.
    """
    try:
        comparison, store = _compare(config, messages)
    finally:
        _drain(messages)
    for line in report(comparison, store):
        click.echo(line)
    if missing:
        missing.writelines(lacking(store))
    context.exit(0 if comparison.is_whole else 1)


def run() -> NoReturn:
    """Run the command as a process of its own."""
    as_process(main)


def _compare(config: _ConfigInput, messages: IO[bytes]) -> tuple[Comparison, Store]:
    store, progress = Store(), Progress()
    drift = Drift(config.config, store, progress.asked, env=config.parse_env)
    try:
        arrived = read(messages, store, drift.lookback, progress.arrived)
        asked = datetime.now(timezone.utc)
        counts = drift.read(arrived.runs) if arrived.runs else None
    finally:
        progress.end()
    lines = compare(store, arrived, asked, drift.lookback)
    return Comparison(arrived, lines, counts, asked, drift.requests, drift.failed), store


def _drain(messages: IO[bytes]) -> None:
    """Read on to the end: a `tee` that has nobody to write to ends, and the run with it."""
    while not messages.isatty() and messages.read(_CHUNK):
        pass


def _set_up_logging() -> None:
    is_debug = os.environ.get("TAP_DRIFT_LOGLEVEL", "").upper() == "DEBUG"
    level = logging.DEBUG if is_debug else logging.WARNING
    handler = logging.StreamHandler()
    handler.setLevel(level)  # some of the SDK's loggers have a lower one of their own
    # On a terminal, a line begins where the progress stands.
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    logging.basicConfig(format=f"{clear}drift-verify: %(message)s", handlers=[handler], level=level)


def _is_pipe(stream: IO[str] | None) -> bool:
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
