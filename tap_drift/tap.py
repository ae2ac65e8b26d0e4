"""The tap: streams, settings, state and signals."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.mapper import PluginMapper
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_drift.api.client import DriftClient
from tap_drift.api.token_store import ConfigFileTokenStore
from tap_drift.cli import DriftCommand, log_level_error
from tap_drift.connection_test import check_streams
from tap_drift.exceptions import FailedItemsError, StreamsFailedError, user_messages
from tap_drift.input_files import config_paths
from tap_drift.logs import SdkNoiseFilter, counted, name_streams_of_metrics, omit_urls
from tap_drift.process import end_process, end_process_after
from tap_drift.settings import (
    default_values,
    schema,
    validation_errors,
    variable_warnings,
    warnings,
    without_blanks,
)
from tap_drift.streams import STREAMS
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.emitted_schema import with_emitted_schemas
from tap_drift.streams.failed_items import FailedItemsStream
from tap_drift.streams.per_conversation import PerConversationStream
from tap_drift.sync.checkpoints import assume_coverage, state_error
from tap_drift.sync.failed_items import requested_again
from tap_drift.sync.plan import WalkPlanner
from tap_drift.sync.shards import Shard
from tap_drift.sync.writer import MessageWriter
from tap_drift.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from singer_sdk.plugin_base import _ConfigInput
    from singer_sdk.streams import Stream

    from tap_drift.api.auth import TokenStore
    from tap_drift.streams.base import DriftStream


EXIT_SECONDS = 4.0
"""Seconds that the process may take after a signal; after a second one, none."""


class TapDrift(Tap):
    """Singer tap for Drift: extracts an account's conversations, then what changed."""

    name = "tap-drift"
    config_jsonschema = schema()
    message_writer_class = MessageWriter
    message_writer: MessageWriter
    _has_state = False
    _is_interrupted = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if error := log_level_error():
            raise ConfigValidationError("The log level is wrong", errors=[error])
        self.logger.addFilter(SdkNoiseFilter())
        name_streams_of_metrics()
        omit_urls()
        # Worker threads, which can refresh a token, have no click context.
        self._config_paths = config_paths()
        # Meltano reads the environment itself, and drops the variables that it does not know.
        self._has_variables = "MELTANO_EXTRACTOR_NAME" in os.environ or bool(
            kwargs.get("parse_env_config")
        )
        super().__init__(*args, **kwargs)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        """Return all streams; needs no settings and no network."""
        return [stream(self, self.client) for stream in STREAMS]

    @cached_property
    @override
    def input_catalog(self) -> Catalog | None:
        """The catalog that the user provides, with objects and lists as the settings want them."""
        catalog = self._input_catalog
        return with_emitted_schemas(catalog, self.config) if catalog else catalog

    @override
    def setup_mapper(self) -> None:
        """Set up the stream maps, also those of streams that are not selected.

        The SDK checks a map against the selected fields. A stream that is not selected has none,
        so its map would be an error.
        """
        self.mapper = PluginMapper(dict(self.config), self.logger)
        selected = Catalog()
        for name, entry in self.catalog.items():
            if entry.metadata.resolve_selection()[()]:
                selected[name] = entry
            else:
                schema = entry.schema.to_dict()
                self.mapper.register_raw_stream_schema(name, schema, entry.key_properties)
        self.mapper.register_raw_streams_from_catalog(selected)

    @property
    def drift_streams(self) -> list[DriftStream]:
        """All streams, selected or not."""
        return [cast("DriftStream", stream) for stream in self.streams.values()]

    @cached_property
    def client(self) -> DriftClient:
        """The client of all streams."""
        # Discovery works with wrong settings.
        is_invalid = validation_errors(without_blanks(self.config), self.config_jsonschema)
        config = default_values(self.config_jsonschema) if is_invalid else self.config
        return DriftClient(config, self.token_store)

    @property
    def token_store(self) -> TokenStore:
        """Keeps the rotated OAuth refresh token for the next run."""
        return ConfigFileTokenStore(self._config_paths)

    # Marked final in the SDK, whose method ends with the first stream that fails.
    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        """Sync all selected streams, also if one of them fails.

        Raises:
            StreamsFailedError: At the end, if any stream failed.
        """
        streams = self.drift_streams
        if not any(stream.selected for stream in streams):
            self.logger.warning("No stream is selected: nothing is read.")
        # The long walk comes after the short streams, and the items that it could not read last.
        for name in (ConversationsStream.name, FailedItemsStream.name):
            if name in self.streams:
                self.streams[name] = self.streams.pop(name)
        super().sync_all()
        failures = {stream.name: stream.failure for stream in streams if stream.failure}
        incomplete = self._incomplete_streams()
        if failures or incomplete:
            selected = sum(stream.selected or stream.failure is not None for stream in streams)
            raise StreamsFailedError(failures, selected, incomplete)

    def _incomplete_streams(self) -> dict[str, FailedItemsError]:
        """Return the streams with failed items, if these are more than allowed in all."""
        counts = {
            stream.name: len(stream.failed_items) + stream.unnamed_failures
            for stream in self.drift_streams
            if isinstance(stream, PerConversationStream) and stream.selected and not stream.failure
        }
        total, allowed = sum(counts.values()), int(self.config["max_failed_items"])
        if total > allowed:
            return {
                name: FailedItemsError(
                    f"{counted(count, 'items')} could not be read; all others were "
                    f"(`max_failed_items` is {allowed:,}). {requested_again(count)}"
                )
                for name, count in counts.items()
                if count
            }
        if total:
            self.logger.warning(
                "%s could not be read; `max_failed_items` allows %s.",
                counted(total, "items"),
                f"{allowed:,}",
            )
        return {}

    def failed_item_records(self) -> list[dict[str, Any]]:
        """Return a record of the stream `failed_items` for each failed or resolved item."""
        now = format_timestamp(datetime.now(UTC))
        streams = [each for each in self.drift_streams if isinstance(each, PerConversationStream)]
        found = [
            (stream.name, item, resolved_at)
            for stream in streams
            for items, resolved_at in ((stream.failed_items, None), (stream.resolved.values(), now))
            for item in items
        ]
        return [
            {
                "stream": name,
                "id": item.id,
                "reason": item.reason,
                "httpStatus": item.status,
                "firstFailedAt": item.first_failed_at,
                "lastFailedAt": item.last_failed_at,
                "resolvedAt": resolved_at,
            }
            for name, item, resolved_at in found
        ]

    def report_failure(self, stream: str, error: Exception) -> None:
        """Log that a stream failed, if others continue; the error at the end repeats it."""
        if any(each.selected and each.failure is None for each in self.drift_streams):
            reason = " ".join(user_messages(error))
            self.logger.warning("%s failed: %s Continuing with the other streams.", stream, reason)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of an earlier run.

        Raises:
            ConfigValidationError: If a bookmark is not a date-time, or a state is another shard's.
        """
        shard = Shard.from_config(self.config)
        for stream, stream_state in state.get("bookmarks", {}).items():
            if error := state_error(stream, stream_state, shard):
                raise ConfigValidationError("The state is wrong", errors=[error])
        super().load_state(state)
        self._assume_coverage()
        self._has_state = True

    def _assume_coverage(self) -> None:
        """Complete a state of an earlier version, and warn of what that assumes."""
        wanted = WalkPlanner.from_config(self.config, self.initialized_at).wanted
        bookmarks = self.state.get("bookmarks", {}).items()
        if names := [name for name, state in bookmarks if assume_coverage(state, wanted)]:
            self.logger.warning(
                "The state of %s was written by an earlier version, which did not record "
                "`statuses` and `start_date`: it is taken as made with those of this run. If they "
                "have changed since, run once without state.",
                ", ".join(names),
            )

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return DriftCommand.from_sdk(
            super().get_singer_command(), cls.run_test, cls.discovered_catalog
        )

    @classmethod
    def discovered_catalog(cls) -> dict[str, Any]:
        """Return the catalog of all streams; needs no settings."""
        return cls(validate_config=False, setup_mapper=False).catalog_dict

    @classmethod
    def run_test(cls, config: _ConfigInput, catalog: dict[str, Any] | None) -> bool:
        """Print whether each selected stream works; return whether all do.

        Args:
            config: The settings of the command line.
            catalog: A Singer catalog; None for the streams selected by default.
        """
        tap = cls(config=config.config, catalog=catalog, parse_env_config=config.parse_env)
        tap._has_state = False  # a signal must not write a state
        return check_streams(tap.drift_streams, tap.client, click.echo)

    # Private in the SDK, whose method exits with 0 and can write into the middle of a line.
    # Tests: tests/test_interruption.py.
    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End the process with a last STATE, and the status that a shell gives to a signal."""
        status = 128 + signum
        # First of all, because a second signal can interrupt the handler of the first.
        is_second, self._is_interrupted = self._is_interrupted, True
        # If standard output is not read, the lines being written do not end.
        end_process_after(0.0 if is_second else EXIT_SECONDS, status)
        if not self._has_state:
            end_process(status)  # before the state is loaded there is none to write
        self.message_writer.between_lines(lambda: self._interrupt(status))

    def end_interrupted(self, status: int) -> NoReturn:
        """End the process after a signal."""
        end_process(status)

    def _interrupt(self, status: int) -> NoReturn:
        try:
            self.message_writer.flush()
            # With batches, records can be in a file that no BATCH message has named yet.
            if not self.config.get("batch_config"):
                self.state_writer.write_state(self.state)
            self.logger.info("Interrupted by a signal; the next run resumes from the last STATE.")
            for stream in self.drift_streams:
                stream.log_counts()
        finally:  # an error, such as a closed pipe, is not raised in the interrupted code
            self.end_interrupted(status)

    # Private in the SDK, whose messages repeat the value, which can be the token.
    # Tests: tests/test_settings.py.
    @property
    def _env_var_config(self) -> dict[str, Any]:
        """The settings in the environment; values that cannot be parsed are kept as text."""
        self.append_builtin_config(self.config_jsonschema)
        config: dict[str, Any] = {}
        for name, kind in self.config_jsonschema["properties"].items():
            setting = {"properties": {name: kind}}
            try:
                config |= parse_environment_config(setting, self._env_var_prefix)
            except ValueError:
                config[name] = os.environ[f"{self._env_var_prefix}{name.upper()}"]
        return without_blanks(config)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self.append_builtin_config(self.config_jsonschema)
        config = without_blanks(self._config)
        self._config = default_values(self.config_jsonschema) | config
        errors = validation_errors(config, self.config_jsonschema)
        if raise_errors:
            self._warn_of_settings(config)
            if errors:
                raise ConfigValidationError("The settings are wrong", errors=errors)
        return errors

    def _warn_of_settings(self, config: dict[str, Any]) -> None:
        messages = warnings(config, self.config_jsonschema)
        if self._has_variables:
            messages += variable_warnings(os.environ, self.config_jsonschema)
        for message in messages:
            self.logger.warning(message)
