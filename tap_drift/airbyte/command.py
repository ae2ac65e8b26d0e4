"""The command `source-drift` with its subcommands: spec, check, discover, read."""

from __future__ import annotations

import logging
import os
import sys
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
from singer_sdk.exceptions import ConfigValidationError, FatalAPIError, FatalSyncError
from typing_extensions import override

from tap_drift.airbyte.catalog import airbyte_catalog, parse_configured_catalog, parse_states
from tap_drift.airbyte.spec import specification, tap_settings, with_refresh_token
from tap_drift.airbyte.writer import AirbyteLogHandler, AirbyteWriter
from tap_drift.cli import ErrorReportingCommand
from tap_drift.connection_test import check_streams
from tap_drift.exceptions import (
    FailedItemsError,
    InvalidJsonError,
    RequestRefusedError,
    StreamsFailedError,
    TokenNotSavedError,
    TokenRefusedError,
    is_output_error,
    user_messages,
)
from tap_drift.json_input import json_kind, parse_json
from tap_drift.process import run_as_process
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_drift.api.auth import TokenStore

_NO_BATCHES = (
    "`batch_config` cannot be used with Airbyte, which has no message for batch files: remove it."
)
_JSON_TYPES: dict[type, str] = {dict: "an object", list: "a list"}


class ControlMessageTokenStore:
    """Keeps the refresh token in Airbyte's configuration, by CONTROL messages."""

    def __init__(self, config: dict[str, Any], writer: AirbyteWriter) -> None:
        self._config = config
        self._writer = writer

    def check(self, used: str) -> None:
        """Do nothing: a CONTROL message can always be written."""

    def save(self, used: str, new: str) -> None:  # noqa: ARG002 - the message has all settings
        """Write the configuration with the new token."""
        self._config = with_refresh_token(self._config, new)
        self._writer.write_control(self._config)


class SourceDrift(TapDrift):
    """The tap, with an Airbyte configuration and Airbyte's messages."""

    message_writer: AirbyteWriter

    def __init__(self, config: Mapping[str, Any], writer: AirbyteWriter, **kwargs: Any) -> None:
        self._airbyte_config = dict(config)
        super().__init__(config=tap_settings(config), message_writer=writer, **kwargs)

    @property
    @override
    def token_store(self) -> TokenStore:
        return ControlMessageTokenStore(self._airbyte_config, self.message_writer)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        errors = super()._validate_config(raise_errors=raise_errors)
        if self.config.get("batch_config"):
            errors.append(_NO_BATCHES)
            if raise_errors:
                raise ConfigValidationError("The settings are wrong", errors=errors)
        return errors

    @override  # type: ignore[misc] # final in the SDK; TapDrift overrides it too
    def sync_all(self) -> None:
        """Run all selected streams and write the final status of each.

        Streams that have not finished when an exception ends the run are INCOMPLETE.

        Raises:
            StreamsFailedError: At the end, if any stream has failed.
        """
        ran_all, failures = False, dict[str, Exception]()
        try:
            super().sync_all()
            ran_all = True
        except StreamsFailedError as error:
            ran_all, failures = True, error.failures
            raise
        finally:
            for name in self.message_writer.started_streams:
                is_complete = ran_all and name not in failures
                self.message_writer.write_final_status(name, is_complete=is_complete)

    @override
    def end_interrupted(self, status: int) -> NoReturn:
        """End the process after a signal; streams that have not finished are INCOMPLETE."""
        try:
            for name in self.message_writer.started_streams:
                self.message_writer.write_final_status(name, is_complete=False)
        finally:
            super().end_interrupted(status)


class SourceCommand(ErrorReportingCommand, click.Group):
    """The command group: reports errors as TRACE messages and exits with code 1."""

    writer: AirbyteWriter
    """The writer of all messages of a run."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, with its log as LOG messages, and exit as the base class does."""
        self.writer = AirbyteWriter()
        _set_up_logging(self.writer)
        super().main(*args, **kwargs)

    @override
    def report_error(self, error: Exception) -> None:
        if is_output_error(error) and not cast("OSError", error).filename:
            # Standard output has failed, so it cannot take a TRACE message about it.
            sys.stderr.write(f"source-drift: {' '.join(user_messages(error))}\n")
            return
        failures = error.failures if isinstance(error, StreamsFailedError) else {None: error}
        for stream, failure in failures.items():
            message = " ".join(user_messages(failure))
            self.writer.write_error(message, failure_type(failure), stream)


source = SourceCommand(
    name="source-drift",
    help="Airbyte source connector for Drift. Writes Airbyte messages to standard output.",
)

_config_option = click.option(
    "--config", required=True, metavar="FILE", help="JSON file with the configuration."
)
_catalog_option = click.option(
    "--catalog", required=True, metavar="FILE", help="JSON file with the ConfiguredCatalog."
)
_state_option = click.option(
    "--state", metavar="FILE", help="JSON file with the state messages of earlier syncs."
)


@source.command()
def spec() -> None:
    """Print the connector specification."""
    source.writer.write(AirbyteMessage(Type.SPEC, spec=specification()))


@source.command()
@_config_option
def check(config: str) -> None:
    """Check the configuration and the access to each stream."""
    messages: list[str] = []
    try:
        tap = SourceDrift(_read_json(config, dict), source.writer)
        succeeded = check_streams(tap.drift_streams, tap.client, messages.append)
    except ConfigValidationError as error:
        succeeded, messages = False, user_messages(error)
    status = AirbyteConnectionStatus(
        Status.SUCCEEDED if succeeded else Status.FAILED, None if succeeded else " ".join(messages)
    )
    source.writer.write(AirbyteMessage(Type.CONNECTION_STATUS, connectionStatus=status))


@source.command()
@_config_option
def discover(config: str) -> None:
    """Print the catalog. The configuration does not have to be valid."""
    tap = SourceDrift(_read_json(config, dict), source.writer, validate_config=False)
    catalog = airbyte_catalog(tap.drift_streams)
    source.writer.write(AirbyteMessage(Type.CATALOG, catalog=catalog))


@source.command()
@_config_option
@_catalog_option
@_state_option
def read(config: str, catalog: str, state: str | None) -> None:
    """Read the streams of the catalog, starting from the state."""
    writer, airbyte_config = source.writer, _read_json(config, dict)
    # The Singer catalog and state are arguments of the tap and need its list of streams.
    discovered = SourceDrift(airbyte_config, writer, validate_config=False)
    configured = parse_configured_catalog(_read_json(catalog, dict), discovered.streams)
    states = parse_states(_read_json(state, dict, list)) if state else []
    singer_state = configured.singer_state(states)
    writer.start_sync(configured, singer_state)
    tap = SourceDrift(
        airbyte_config,
        writer,
        catalog=configured.singer_catalog(discovered),
        state=singer_state,
    )
    for name in configured.unknown:
        writer.write_error(
            f"The catalog has a stream `{name}` that this source does not have. Run `discover` "
            "again, and remove it from the catalog.",
            FailureType.config_error,
            name,
        )
    tap.sync_all()
    if configured.unknown:
        sys.exit(1)


def failure_type(error: Exception) -> FailureType:
    """Classify an error that ended a stream or the run.

    Returns:
        `config_error` if the user must change the configuration, `transient_error` if a later sync
        may succeed, `system_error` for a defect of the source or of Drift.
    """
    if isinstance(error.__cause__, Exception) and type(error) is FatalSyncError:
        return failure_type(error.__cause__)  # of the stream that this one is read along with
    if isinstance(error, RequestRefusedError):
        # A deleted item is skipped and fails no stream. A 404 that does means a wrong `api_url`.
        is_config_error = error.is_not_found or not error.rejects_request
        return FailureType.config_error if is_config_error else FailureType.system_error
    if isinstance(error, (ConfigValidationError, TokenNotSavedError, TokenRefusedError)):
        return FailureType.config_error
    if isinstance(error, (FailedItemsError, FatalAPIError, requests.RequestException)):
        return FailureType.transient_error
    return FailureType.system_error


def run() -> NoReturn:
    """Run the command and exit the process."""
    # PyAirbyte sends SIGTERM when it stops reading, and reports exit code 143 as a failure.
    run_as_process(source, exit_by_signal=True)


def _set_up_logging(writer: AirbyteWriter) -> None:
    named = logging.getLevelName(os.environ.get("TAP_DRIFT_LOGLEVEL", "INFO").upper())
    level = named if isinstance(named, int) else logging.INFO
    logging.basicConfig(handlers=[AirbyteLogHandler(writer)], level=level, force=True)
    logging.captureWarnings(capture=True)


def _read_json(path: str, *kinds: type) -> Any:  # noqa: ANN401 - JSON
    try:
        content = parse_json(Path(path).read_bytes(), path)
    except InvalidJsonError as error:
        raise ConfigValidationError(str(error)) from None
    if not isinstance(content, kinds):
        expected = " or ".join(_JSON_TYPES[kind] for kind in kinds)
        raise ConfigValidationError(f"'{path}' is {json_kind(content)}, not {expected}.")
    return content
