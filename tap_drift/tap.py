"""The tap: its settings, its streams, its command."""

from __future__ import annotations

import json
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_drift.api.client import DriftClient
from tap_drift.api.token_store import save_refresh_token
from tap_drift.cli import DriftCommand, json_file
from tap_drift.connection_test import works
from tap_drift.exceptions import StreamsFailedError
from tap_drift.logs import is_news
from tap_drift.settings import defaults, faults, given, schema
from tap_drift.streams import STREAMS
from tap_drift.sync.shards import Shard
from tap_drift.sync.writer import MessageWriter
from tap_drift.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from singer_sdk.plugin_base import _ConfigInput
    from singer_sdk.streams import Stream

    from tap_drift.streams.base import DriftStream

# Where click keeps what was given as `--config`.
_SOURCES = "tap_drift.config"


class TapDrift(Tap):
    """Singer tap for Drift: every conversation of an account, whole, and then what changed."""

    name = "tap-drift"
    config_jsonschema = schema()
    message_writer_class = MessageWriter
    message_writer: MessageWriter
    _has_state = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Requests may be sent from threads, which know nothing of the command line.
        context = click.get_current_context(silent=True)
        self._sources = context.meta.get(_SOURCES, ()) if context else ()
        super().__init__(*args, **kwargs)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        """Give all streams that there are; needs no configuration and no network."""
        self.logger.addFilter(is_news)
        return [stream(self, self.client) for stream in STREAMS]

    @property
    def drift_streams(self) -> list[DriftStream]:
        """All streams, chosen or not."""
        return [cast("DriftStream", stream) for stream in self.streams.values()]

    @cached_property
    def client(self) -> DriftClient:
        """What sends the requests of all streams."""
        # To discover what there is, settings need not be right.
        are_wrong = faults(given(self.config), self.config_jsonschema)
        config = defaults(self.config_jsonschema) if are_wrong else self.config
        return DriftClient(config, self.keep_refresh_token)

    def keep_refresh_token(self, used: str, new: str) -> None:
        """Keep an OAuth app's next refresh token for the next run, or warn.

        Args:
            used: The refresh token that was used up.
            new: The one that takes its place.
        """
        save_refresh_token(self._sources, used, new)

    # Final to a type checker; the SDK's own ends with the first stream that fails.
    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        """Run all streams that are selected, also if one of them fails.

        Raises:
            StreamsFailedError: At the end, if any has failed.
        """
        streams = self.drift_streams
        if not any(stream.selected for stream in streams):
            self.logger.warning("No stream is selected: nothing is read.")
        super().sync_all()
        failures = {stream.name: stream.failure for stream in streams if stream.failure}
        selected = sum(stream.selected or stream.failure is not None for stream in streams)
        if failures:
            raise StreamsFailedError(failures, selected)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of an earlier run.

        Args:
            state: A state that this tap has emitted.

        Raises:
            ConfigValidationError: If a bookmark in it is not a date-time, or if it is of another
                share of the conversations.
        """
        shard = Shard.from_config(self.config)
        for stream, bookmark in state.get("bookmarks", {}).items():
            fault = _fault_in(bookmark, stream, shard)
            if fault:
                raise ConfigValidationError("The state is wrong", errors=[fault])
        super().load_state(state)
        self._has_state = True

    # Private to the SDK, whose own ends the run with exit code 0, and may write into the middle of
    # a line; tests/test_ending.py fails if it is no longer called.
    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with a last STATE, and as a shell tells of a program that a signal ended.

        Args:
            signum: The signal.
            frame: Not used.
        """
        if not self._has_state:
            sys.exit(128 + signum)  # too early to say anything
        self.message_writer.between_lines(lambda: self._end(128 + signum))

    def _end(self, status: int) -> NoReturn:
        self.message_writer.flush()
        # With batches, what was read may still wait in a file that nobody was told of.
        if not self.config.get("batch_config"):
            self.state_writer.write_state(self.state)
        self.logger.info("Stopped by a signal; the next run goes on from the last STATE.")
        sys.exit(status)

    # The SDK has no public way to word the faults of a configuration, and its own words repeat the
    # value, which may be the token. These two, and what they use of the SDK's, are private;
    # tests/test_settings.py fails if they are no longer called.

    @property
    def _env_var_config(self) -> dict[str, Any]:
        """The settings in the environment; what cannot be read is left for the check to name."""
        self.append_builtin_config(self.config_jsonschema)
        config: dict[str, Any] = {}
        for name, kind in self.config_jsonschema["properties"].items():
            setting = {"properties": {name: kind}}
            try:
                config |= parse_environment_config(setting, self._env_var_prefix)
            except ValueError:
                config[name] = os.environ[f"{self._env_var_prefix}{name.upper()}"]
        return given(config)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self.append_builtin_config(self.config_jsonschema)
        config = given(self._config)
        self._config = defaults(self.config_jsonschema) | config
        errors = faults(config, self.config_jsonschema)
        if errors and raise_errors:
            raise ConfigValidationError("The configuration is wrong", errors=errors)
        return errors

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Read what is given as `--config`.

        Args:
            ctx: click's.
            param: click's.
            value: Paths of JSON files, and `ENV` for the environment.

        Returns:
            The settings in the files, and whether to read the environment.

        Raises:
            click.BadParameter: If a file cannot be read, or is not a JSON object.
        """
        ctx.meta[_SOURCES] = value
        files = ", ".join(value)
        try:
            return super().cb_config(ctx, param, value)
        except OSError:
            raise click.BadParameter(f"'{files}' cannot be opened.") from None
        except (TypeError, ValueError):
            raise click.BadParameter(f"'{files}' is not a JSON object.") from None

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Say, a line a stream, whether it works; the SDK's own starts to read everything.

        Args:
            ctx: click's.
            param: click's.
            value: `all`, `schema`, or that there is nothing to test.
        """
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        config, catalog = ctx.params["config"], ctx.params["catalog"]
        tap = cls(
            config=config.config,
            catalog=json.load(catalog) if catalog else None,
            parse_env_config=config.parse_env,
        )
        tap._has_state = False  # nothing is read, so that a signal has no state to write
        ctx.exit(0 if works(tap.drift_streams, tap.client, click.echo) else 1)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Give the SDK's command, ending as `DriftCommand` ends."""
        command = super().get_singer_command()
        for option in command.params:
            if option.name in {"state", "catalog"}:
                option.callback = json_file
                option.is_eager = True  # so that --test knows what is selected
        return DriftCommand(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
            help=command.help,
        )


def _fault_in(bookmark: dict[str, Any], stream: str, shard: Shard) -> str | None:
    """Say why a stream's state cannot be taken up, if it cannot."""
    as_left = "give the state as an earlier run left it, or none to read everything."
    try:
        parse(bookmark.get("replication_key_value") or "1970-01-01")
    except (TypeError, ValueError):
        return f"The state's `replication_key_value` of `{stream}` is not a date-time: {as_left}"
    try:
        its = Shard.from_state(bookmark)
    except (TypeError, ValueError):
        return f"The state's `shard` of `{stream}` is not an index and a count: {as_left}"
    if its.covers(shard):
        return None
    return (
        f"The state of `{stream}` is of {its}, and the settings `shard_index` and `shard_count` "
        f"say {shard}: give each shard its own state, with Meltano by --state-id-suffix."
    )
