"""The command `drift-verify`."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

import click
import msgspec
from click.core import ParameterSource
from typing_extensions import override

from tap_drift.cli import ErrorReportingCommand
from tap_drift.input_files import config_callback
from tap_drift.process import run_as_process
from tap_drift.tap import TapDrift
from tap_drift.timestamps import parse_timestamp
from tap_drift.verify.check import check
from tap_drift.verify.check_report import check_findings_as_json, format_check
from tap_drift.verify.inputs import Input
from tap_drift.verify.manifest import write_manifest
from tap_drift.verify.pipes import drain, is_pipe, messages_read_to_end
from tap_drift.verify.progress import TerminalProgress
from tap_drift.verify.report import findings_as_json, format_report
from tap_drift.verify.report_data import check_as_data, comparison_as_data
from tap_drift.verify.reuse import EarlierVerification
from tap_drift.verify.store import Store
from tap_drift.verify.verification import Scope, Verification

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from singer_sdk.plugin_base import _ConfigInput


_OTHER_INPUTS = {"--database", "--folder"}


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
        super().main(*args, **kwargs)

    @override
    def make_context(
        self, info_name: str | None, args: list[str], *others: Any, **kwargs: Any
    ) -> click.Context:
        """Parse the command line; reads the input to its end if that fails.

        Raises:
            click.UsageError: If the command line is invalid.
        """
        try:
            return super().make_context(info_name, args, *others, **kwargs)
        except click.UsageError:
            reads_messages = not {arg.partition("=")[0] for arg in args} & _OTHER_INPUTS
            if reads_messages and is_pipe(sys.stdin):
                drain(sys.stdin.buffer)
            raise


def parse_time(
    context: click.Context, option: click.Parameter, value: str | None
) -> datetime | None:
    """Parse a date-time in ISO 8601; UTC unless it names an offset.

    Raises:
        click.BadParameter: If it is none.
    """
    try:
        return parse_timestamp(value) if value else None
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a time such as 2026-01-02T03:04:05+00:00.", context, option
        ) from None


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@click.option(
    "--database",
    metavar="URL",
    help="Verify tables instead of messages: the SQLAlchemy URL of the database that a target "
    "loads into, such as postgresql://user@host/name, duckdb:///file or sqlite:///file.",
)
@click.option(
    "--schema",
    metavar="NAME",
    help="With --database: the schema that the target loads into. The default is the database's.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Verify files instead of messages: a folder with the JSON Lines or Parquet files of a "
    "target.",
)
@click.option(
    "--extracted-at",
    callback=parse_time,
    metavar="TIME",
    help="When the last run began; Drift's later changes are not missing. The default is the time "
    "in the messages, or the latest one in the column _sdc_extracted_at.",
)
@click.option(
    "--attachments",
    metavar="PATH",
    help="Compare the saved files of attachments with their records. PATH is the folder, or fsspec "
    "URL, that `attachments_path` was.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Request the messages, details, transcripts and contacts of N random conversations only. "
    "The report says what that proves.",
)
@click.option("--seed", type=int, help="Repeats the sample that a report names.")
@click.option(
    "--reuse",
    type=_FILE,
    help="A manifest: conversations that have not changed since it was written are not requested "
    "again.",
)
@click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a manifest of what was verified, to check the data later with --against.",
)
@click.option(
    "--against",
    type=_FILE,
    help="Check the data against a manifest instead of Drift. No token is needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.argument("messages", type=click.File("rb"), default="-")
@click.pass_context
def main(
    context: click.Context,
    /,
    config: _ConfigInput,
    missing: IO[bytes] | None,
    **options: Any,
) -> None:
    """Check whether an extraction contains every record that Drift has, with its content.

    MESSAGES is a file with the output of one or more runs of tap-drift; the default is standard
    input. With --database or --folder, the command verifies what a target has loaded. It reads the
    same streams from Drift and prints a comparison.

    With --manifest, it writes the digest of every record to a file. With --against, it checks data
    against that file, without Drift.

    Exit codes: 0 if complete, or unchanged; 1 if records are missing, stale or different, or if an
    error prevented the check; 2 if the command line is invalid.
    """
    data = Input(**{name: options.pop(name) for name in Input._fields})
    _check_input(context, data)
    _check_modes(options)
    store = Store()
    with messages_read_to_end(data):
        outcome = (_check if options["against"] else _verify)(config, data, store, options)
    lines = [_as_json(outcome.content)] if options["as_json"] else outcome.lines
    for line in lines:
        click.echo(line)
    if missing:
        missing.writelines(outcome.findings)
    context.exit(0 if outcome.is_good else 1)


class _Outcome(NamedTuple):
    is_good: bool
    lines: Iterable[str]
    """The report."""

    content: dict[str, Any]
    """The report as data."""

    findings: Iterable[bytes]
    """The JSON lines of `--missing`."""


def run() -> NoReturn:
    """Run the command as its own process."""
    run_as_process(main)


def _check_input(context: click.Context, data: Input) -> None:
    """Check that the options name one input.

    Raises:
        click.UsageError: If they do not.
    """
    has_messages = context.get_parameter_source("messages") is not ParameterSource.DEFAULT
    names = [
        name
        for name, is_given in [
            ("--database", data.database is not None),
            ("--folder", data.folder is not None),
            ("MESSAGES", has_messages),
        ]
        if is_given
    ]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} exclude each other.")
    if data.schema and data.database is None:
        raise click.UsageError("--schema needs --database.")


def _check_modes(options: dict[str, Any]) -> None:
    """Check that the options name one mode.

    Raises:
        click.UsageError: If they do not.
    """
    modes = ("manifest", "sample", "reuse")
    for name in modes if options["against"] else ():
        if options[name]:
            raise click.UsageError(f"--against sends no request to Drift: it excludes --{name}.")
    if options["sample"] and options["reuse"]:
        raise click.UsageError("--sample and --reuse exclude each other.")
    if options["seed"] is not None and not options["sample"]:
        raise click.UsageError("--seed needs --sample.")


def _verify(config: _ConfigInput, data: Input, store: Store, options: dict[str, Any]) -> _Outcome:
    verification = Verification(config, data, store, TerminalProgress())
    seed = secrets.randbelow(1 << 32) if options["seed"] is None else options["seed"]
    earlier = EarlierVerification(options["reuse"]) if options["reuse"] else None
    scope = Scope(options["sample"], seed, earlier)
    comparison = verification.run(scope, options["attachments"])
    content = comparison_as_data(comparison, store, data, verification.source)
    lines = [*format_report(comparison, store)]
    if options["manifest"]:
        sha256 = write_manifest(options["manifest"], content, store)
        lines.append(
            f"Manifest written to {options['manifest']}. Keep its SHA-256 in another place: it "
            f"proves that the manifest has not changed: {sha256}"
        )
    return _Outcome(comparison.is_complete, lines, content, findings_as_json(store))


def _check(_config: _ConfigInput, data: Input, store: Store, options: dict[str, Any]) -> _Outcome:
    progress = TerminalProgress()
    result = check(options["against"], data, options["attachments"], store, progress)
    return _Outcome(
        result.is_unchanged,
        format_check(result, store),
        check_as_data(result),
        check_findings_as_json(store),
    )


def _as_json(content: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(content)).decode()


def _set_up_logging() -> None:
    is_debug = os.environ.get("TAP_DRIFT_LOGLEVEL", "").upper() == "DEBUG"
    level = logging.DEBUG if is_debug else logging.WARNING
    handler = logging.StreamHandler()
    handler.setLevel(level)  # some loggers of the SDK set a lower level
    # On a terminal, a log line replaces the progress line.
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    logging.basicConfig(format=f"{clear}drift-verify: %(message)s", handlers=[handler], level=level)
