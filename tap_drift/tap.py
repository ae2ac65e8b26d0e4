"""The tap: its settings, its streams, its command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from typing_extensions import override

from tap_drift.cli import DriftCommand, json_file
from tap_drift.settings import SETTINGS, defaults, faults
from tap_drift.streams import ConversationsStream
from tap_drift.timestamps import parse
from tap_drift.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from singer_sdk.plugin_base import _ConfigInput
    from singer_sdk.streams import Stream


class TapDrift(Tap):
    """Singer tap for Drift: every conversation of an account, whole, and then what changed."""

    name = "tap-drift"
    config_jsonschema = SETTINGS.to_dict()
    message_writer_class = MessageWriter
    message_writer: MessageWriter
    _has_state = False

    @override
    def discover_streams(self) -> Sequence[Stream]:
        """Give all streams that there are; needs no configuration and no network."""
        return [ConversationsStream(self)]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of an earlier run.

        Args:
            state: A state that this tap has emitted.

        Raises:
            ConfigValidationError: If a bookmark in it is not a date-time.
        """
        for stream, bookmark in state.get("bookmarks", {}).items():
            value = bookmark.get("replication_key_value")
            try:
                parse(value or "1970-01-01")
            except (TypeError, ValueError):
                fault = (
                    f"The state's `replication_key_value` of `{stream}` is not a date-time: give "
                    "the state as an earlier run left it, or none to read everything."
                )
                raise ConfigValidationError("The state is wrong", errors=[fault]) from None
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
        return config

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self.append_builtin_config(self.config_jsonschema)
        # Orchestrators write null for what is not set.
        given = {name: value for name, value in self._config.items() if value is not None}
        self._config = defaults(self.config_jsonschema) | given
        errors = faults(given, self.config_jsonschema)
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
        files = ", ".join(value)
        try:
            return super().cb_config(ctx, param, value)
        except OSError:
            raise click.BadParameter(f"'{files}' cannot be opened.") from None
        except (TypeError, ValueError):
            raise click.BadParameter(f"'{files}' is not a JSON object.") from None

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Give the SDK's command, ending as `DriftCommand` ends."""
        command = super().get_singer_command()
        for option in command.params:
            if option.name in {"state", "catalog"}:
                option.callback = json_file
        return DriftCommand(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
            help=command.help,
        )
