"""The command `drift-verify`."""

from __future__ import annotations

import logging
import os
import stat
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from typing_extensions import override

from tap_drift.cli import ErrorReportingCommand, config_callback
from tap_drift.process import run_as_process
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.tap import TapDrift
from tap_drift.verify.compare import compare, status_differences
from tap_drift.verify.extraction import read_messages
from tap_drift.verify.progress import TerminalProgress
from tap_drift.verify.report import Comparison, findings_as_json, format_report
from tap_drift.verify.source_reader import SourceReader
from tap_drift.verify.store import Store

if TYPE_CHECKING:
    from singer_sdk.plugin_base import _ConfigInput


_CHUNK_BYTES = 1 << 20


class VerifyCommand(ErrorReportingCommand):
    """Reports errors as the tap does, and always reads its input to the end."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command and exit.

        Raises:
            SystemExit: Always. 0: complete; 1: incomplete, or not verified because of an error;
                2: invalid command line.
        """
        _set_up_logging()
        # In `tap | tee >(drift-verify) | target`, standard output is the target's input: the report
        # goes to standard error, and the target does not wait for this process to close the pipe.
        if _is_pipe(sys.stdin) and _is_pipe(sys.stdout):
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        super().main(*args, **kwargs)

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line; reads the input to its end if that fails.

        Raises:
            click.UsageError: If the command line is invalid.
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
    callback=config_callback(TapDrift.cb_config),
    metavar="FILE|ENV",
    help="Settings that tap-drift ran with: a JSON file, or ENV for environment variables.",
)
@click.option(
    "--missing",
    type=click.File("wb", lazy=False),
    metavar="FILE",
    help="Write each record that is missing, stale, different, not requested, unknown or not "
    "extracted to FILE: a JSON object per line with `stream`, `id` and `why`.",
)
@click.argument("messages", type=click.File("rb"), default="-")
@click.pass_context
def main(
    context: click.Context, config: _ConfigInput, missing: IO[bytes] | None, messages: IO[bytes]
) -> None:
    """Check whether MESSAGES contains every record that Drift has.

    MESSAGES is a file with the output of one or more runs of tap-drift; the default is standard
    input. The command reads the same streams from Drift and prints a comparison.

    Exit codes: 0 if complete; 1 if records are missing, stale or different, or if an error
    prevented the check; 2 if the command line is invalid.
    """
    try:
        comparison, store = _compare(config, messages)
    finally:
        _drain(messages)
    for line in format_report(comparison, store):
        click.echo(line)
    if missing:
        missing.writelines(findings_as_json(store))
    context.exit(0 if comparison.is_complete else 1)


def run() -> NoReturn:
    """Run the command as its own process."""
    run_as_process(main)


def _compare(config: _ConfigInput, messages: IO[bytes]) -> tuple[Comparison, Store]:
    store, progress = Store(), TerminalProgress()
    source = SourceReader(config.config, store, progress.on_source, env=config.parse_env)
    try:
        extraction = read_messages(messages, store, source.lookback, progress.on_extracted)
        verified_at = datetime.now(UTC)
        counts = source.read(extraction.runs) if extraction.runs else None
    finally:
        progress.clear()
    results = compare(store, extraction, verified_at, source.lookback)
    comparison = Comparison(
        extraction,
        results,
        counts,
        verified_at,
        source.request_count,
        source.failed_streams,
        source.unread_items,
        status_differences(store) if ConversationsStream.name in extraction.runs else [],
    )
    return comparison, store


def _drain(messages: IO[bytes]) -> None:
    """Read the input to its end: `tee`, and with it the tap, ends if its output pipe is closed."""
    while not messages.isatty() and messages.read(_CHUNK_BYTES):
        pass


def _set_up_logging() -> None:
    is_debug = os.environ.get("TAP_DRIFT_LOGLEVEL", "").upper() == "DEBUG"
    level = logging.DEBUG if is_debug else logging.WARNING
    handler = logging.StreamHandler()
    handler.setLevel(level)  # some loggers of the SDK set a lower level
    # On a terminal, a log line replaces the progress line.
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    logging.basicConfig(format=f"{clear}drift-verify: %(message)s", handlers=[handler], level=level)


def _is_pipe(stream: IO[str] | None) -> bool:
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
