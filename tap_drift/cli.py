"""The command line: options, exit codes, and errors as messages instead of tracebacks."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import click
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_drift.exceptions import traceback_lines, user_messages
from tap_drift.input_files import CHECKED_OPTIONS, config_callback, read_json_file
from tap_drift.selection import (
    MELTANO_SELECT,
    UnknownStreamError,
    select_in_meltano,
    select_streams,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.plugin_base import _ConfigInput

    Callback: TypeAlias = Callable[..., Any]
    ConnectionTest: TypeAlias = Callable[[_ConfigInput, dict[str, Any] | None], bool]
    Discovery: TypeAlias = Callable[[], dict[str, Any]]

logger = logging.getLogger("tap-drift")

_HELP = {
    "config": "JSON file with settings, or ENV for environment variables. Can be repeated.",
    "discover": "Print the catalog, and exit. Needs no settings.",
    "test": (
        "Send one request for each selected stream, print whether it works, and exit. "
        "--test=schema prints the SCHEMA message of every stream instead, without a request."
    ),
    "catalog": "JSON file with a Singer catalog: which streams and fields to extract.",
    "state": "JSON file with the state of an earlier run: extract only what changed since.",
}
_SELECT_HELP = (
    "Streams to extract, such as 'messages,users'; '*' for all. Default: conversations. A stream "
    "that belongs to conversations does not select them. With --catalog, this option chooses the "
    "streams, and the catalog their fields."
)


class ErrorReportingCommand(click.Command):
    """A command that reports each error as a message and exits non-zero."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command and exit.

        Raises:
            SystemExit: Always. 0 for success, 1 for a failure, 2 for a wrong command line; 130
                and 143 after SIGINT and SIGTERM.
        """
        if sys.stdout is None:
            sys.exit(f"{self.name}: standard output is closed, so nothing can be written.")
        try:
            with _flushed_stdout():
                super().main(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(1)
        except Exception as error:  # noqa: BLE001 - every error becomes a message
            self.report_error(error)
            logger.debug("Traceback:\n%s", traceback_lines(error))
            sys.exit(1)

    def report_error(self, error: Exception) -> None:
        """Log the messages for the error that ended the run."""
        for message in user_messages(error):
            logger.error(message)


class DriftCommand(ErrorReportingCommand, SingerCommand):
    """The command `tap-drift`."""

    @classmethod
    def from_sdk(
        cls, command: click.Command, test: ConnectionTest, discover: Discovery
    ) -> DriftCommand:
        """Create the command from the SDK's, which is always a plain `SingerCommand`.

        Args:
            command: The SDK's command.
            test: Runs `--test` with the settings and the catalog; returns whether all streams work.
            discover: Returns the tap's catalog.
        """
        for option in command.params:
            if isinstance(option, click.Option) and option.name in _HELP:
                option.help = _HELP[option.name]
            if option.name in CHECKED_OPTIONS:
                option.callback = read_json_file
                option.is_eager = True  # so that --test knows what is selected
            elif option.name == "config":
                option.callback = config_callback(cast("Callback", option.callback))
            elif option.name == "test":
                # The SDK runs its own test, which exits with 0, for any other value.
                option.type = click.Choice([each.value for each in CliTestOptionValue])
                option.callback = partial(_test_callback, test, cast("Callback", option.callback))
            elif option.name == "discover":
                option.callback = partial(_discover_callback, cast("Callback", option.callback))
        # Eager, so that --discover and --test know it.
        select = click.Option(["--select"], metavar="STREAMS", help=_SELECT_HELP, is_eager=True)
        context_settings: dict[str, Any] = {**command.context_settings, "obj": discover}
        return cls(
            name=command.name,
            callback=command.callback,
            context_settings=context_settings,
            params=[*command.params, select],
            help="Extract data from Drift, and write it as Singer messages to standard output.",
            logger=logger,
        )

    @override
    def invoke(self, ctx: click.Context) -> Any:
        ctx.params["catalog"] = _selected_catalog(ctx)
        del ctx.params["select"]
        # The SDK's method would log wrong settings a second time; `main` reports them.
        return click.Command.invoke(self, ctx)


def log_level_error() -> str | None:
    """Return what is wrong with the log level in the environment, which the SDK trusts."""
    for name in ("TAP_DRIFT_LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name)
        if level:
            levels = logging.getLevelNamesMapping()
            return (
                None if level.upper() in levels else f"{name} must be one of {', '.join(levels)}."
            )
    return None


def _test_callback(
    test: ConnectionTest,
    sdk_callback: Callback,
    ctx: click.Context,
    option: click.Option,
    value: str,
) -> None:
    """Run `--test`, without the whole run that the SDK starts; the SDK runs `--test=schema`."""
    if value != CliTestOptionValue.All.value:
        if value != CliTestOptionValue.Disabled.value and ctx.params["select"] is not None:
            raise click.UsageError("--test=schema prints all streams; it does not take --select.")
        sdk_callback(ctx, option, value)
        return
    is_ok = test(ctx.params["config"], _tested_catalog(ctx))
    ctx.exit(0 if is_ok else 1)


def _tested_catalog(ctx: click.Context) -> dict[str, Any] | None:
    """Return the catalog for `--test`; under Meltano, with what the project selects.

    `meltano invoke tap-drift --test` passes the catalog of an earlier run, or none, because
    Meltano applies the selection only when it runs the tap without options.
    """
    select = os.environ.get(MELTANO_SELECT)
    if select and ctx.params["select"] is None:
        discover: Discovery = ctx.obj
        return select_in_meltano(discover(), select)
    file = _selected_catalog(ctx)
    return cast("dict[str, Any]", json.load(file)) if file else None


def _discover_callback(
    sdk_callback: Callback,
    ctx: click.Context,
    option: click.Option,
    value: bool,  # noqa: FBT001 - click's
) -> None:
    """Run `--discover`; with `--select`, these streams are selected in the catalog."""
    if value and ctx.params["select"] is not None:
        catalog = cast("IO[str]", _selected_catalog(ctx))
        click.echo(catalog.read())
        ctx.exit()
    sdk_callback(ctx, option, value)


def _selected_catalog(ctx: click.Context) -> IO[str] | None:
    """Return the file of `--catalog`, or with `--select`, one with these streams selected."""
    names, file = ctx.params["select"], ctx.params["catalog"]
    if names is None:
        return cast("IO[str] | None", file)
    discover: Discovery = ctx.obj
    try:
        catalog = select_streams(discover(), json.load(file) if file else {}, names)
    except UnknownStreamError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--select") from None
    return io.StringIO(json.dumps(catalog, indent=2))


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            # Prevents the interpreter from flushing at shutdown, which would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
