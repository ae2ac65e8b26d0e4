"""The command `source-drift`: spec, check, discover, read."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
import requests
from airbyte_protocol_dataclasses.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    FailureType,
    Status,
    Type,
)
from singer_sdk.exceptions import ConfigValidationError, FatalAPIError
from typing_extensions import override

from tap_drift.airbyte.catalog import airbyte_catalog, chosen
from tap_drift.airbyte.spec import settings, specification, with_refresh_token
from tap_drift.airbyte.writer import AirbyteHandler, AirbyteWriter
from tap_drift.api.auth import TokenRefusedError
from tap_drift.api.client import RequestRefusedError
from tap_drift.cli import DriftCommand, as_process
from tap_drift.connection_test import works
from tap_drift.exceptions import StreamsFailedError, sentences
from tap_drift.streams.base import is_of_output
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_drift.streams.base import DriftStream


class SourceDrift(TapDrift):
    """The tap, as Airbyte runs it."""

    message_writer: AirbyteWriter

    def __init__(self, config: Mapping[str, Any], writer: AirbyteWriter, **kwargs: Any) -> None:
        """Prepare.

        Args:
            config: The settings, as Airbyte gives them.
            writer: Where the messages go.
            kwargs: The SDK's.
        """
        self._given = dict(config)
        super().__init__(config=settings(config), message_writer=writer, **kwargs)

    @override
    def keep_refresh_token(self, used: str, new: str) -> None:
        self._given = with_refresh_token(self._given, new)
        self.message_writer.keep(self._given)

    @override  # type: ignore[misc] # as the tap's own
    def sync_all(self) -> None:
        """Run all streams that are selected, and say how each has ended.

        Raises:
            StreamsFailedError: At the end, if any has failed.
        """
        is_over = False
        try:
            super().sync_all()
            is_over = True
        except StreamsFailedError:
            is_over = True
            raise
        finally:
            for name in self.message_writer.open:
                failure = cast("DriftStream", self.streams[name]).failure
                self.message_writer.end(name, is_complete=is_over and failure is None)


class SourceCommand(DriftCommand, click.Group):
    """The commands of a source: whatever ends one is a TRACE message, and exit code 1."""

    @cached_property
    def writer(self) -> AirbyteWriter:
        """Where all messages go, the log's as well."""
        writer = AirbyteWriter()
        named = logging.getLevelName(os.environ.get("TAP_DRIFT_LOGLEVEL", "INFO").upper())
        level = named if isinstance(named, int) else logging.INFO
        logging.basicConfig(handlers=[AirbyteHandler(writer)], level=level, force=True)
        logging.captureWarnings(capture=True)
        return writer

    @override
    def tell(self, error: Exception) -> None:
        if is_of_output(error) and not cast("OSError", error).filename:
            # Standard output, which can take no message about itself.
            sys.stderr.write(f"source-drift: {' '.join(sentences(error))}\n")
            return
        failed = error.failures if isinstance(error, StreamsFailedError) else {None: error}
        for stream, failure in failed.items():
            self.writer.fail(" ".join(sentences(failure)), failure_type(failure), stream)


source = SourceCommand(
    name="source-drift",
    help="Read a Drift account, and speak Airbyte's protocol on standard output.",
)

_config = click.option("--config", required=True, metavar="FILE", help="The settings, as JSON.")
_catalog = click.option("--catalog", required=True, metavar="FILE", help="What to read.")
_state = click.option("--state", metavar="FILE", help="What earlier syncs left.")


@source.command()
def spec() -> None:
    """Say what there is to set."""
    source.writer.say(AirbyteMessage(Type.SPEC, spec=specification()))


@source.command()
@_config
def check(config: str) -> None:
    """Say whether Drift lets conversations be read."""
    said: list[str] = []
    try:
        tap = SourceDrift(_read(config, dict), source.writer)
        is_good = works(tap.drift_streams, tap.client, said.append)
    except ConfigValidationError as error:
        is_good, said = False, sentences(error)
    outcome = AirbyteConnectionStatus(
        Status.SUCCEEDED if is_good else Status.FAILED, None if is_good else " ".join(said)
    )
    source.writer.say(AirbyteMessage(Type.CONNECTION_STATUS, connectionStatus=outcome))


@source.command()
@_config
def discover(config: str) -> None:
    """Say which streams there are; the settings need not be right."""
    tap = SourceDrift(_read(config, dict), source.writer, validate_config=False)
    catalog = airbyte_catalog(tap.drift_streams)
    source.writer.say(AirbyteMessage(Type.CATALOG, catalog=catalog))


@source.command()
@_config
@_catalog
@_state
def read(config: str, catalog: str, state: str | None) -> None:
    """Read what the catalog asks for, from where the state says."""
    writer, settings_given = source.writer, _read(config, dict)
    found = SourceDrift(settings_given, writer, validate_config=False)
    wanted = chosen(_read(catalog, dict), found.streams)
    before = wanted.state(_states(state))
    writer.expect(wanted, before)
    tap = SourceDrift(settings_given, writer, catalog=wanted.catalog(found), state=before)
    tap.sync_all()


def failure_type(error: Exception) -> FailureType:
    """Say who can mend what went wrong.

    Args:
        error: What ended a stream, or the run.

    Returns:
        Whoever wrote the settings; nobody, since it may pass by itself; or the developers.
    """
    if isinstance(error, RequestRefusedError):
        # What is gone is skipped; where that ends a stream, it is the address that is wrong.
        is_set_wrong = error.is_gone or not error.is_of_request
        return FailureType.config_error if is_set_wrong else FailureType.system_error
    if isinstance(error, (ConfigValidationError, TokenRefusedError)):
        return FailureType.config_error
    if isinstance(error, (FatalAPIError, requests.RequestException)):
        return FailureType.transient_error
    return FailureType.system_error


def run() -> NoReturn:
    """Run the source as a process of its own."""
    as_process(_as_signals_have_it)


def _as_signals_have_it() -> None:
    """End by SIGTERM where that came: a client that stops reading asks for it, and looks for it."""
    try:
        source()
    except SystemExit as end:
        if end.code == 128 + signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        raise


def _states(path: str | None) -> list[dict[str, Any]]:
    states = _read(path, (dict, list)) if path else []
    return states if isinstance(states, list) else []  # `{}` says that there is none


def _read(path: str, kind: type | tuple[type, ...]) -> Any:  # noqa: ANN401 - JSON
    try:
        content = json.loads(Path(path).read_bytes())
    except (RecursionError, ValueError):
        content = None
    if not isinstance(content, kind):
        raise ConfigValidationError(f"{path} is not JSON of the kind that Airbyte gives.")
    return content
