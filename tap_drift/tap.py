"""The tap: its settings, its streams, its command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._compat import datetime_fromisoformat

from tap_drift.cli import DriftCommand, json_file
from tap_drift.settings import SETTINGS, defaults, faults
from tap_drift.streams import ConversationsStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.plugin_base import _ConfigInput
    from singer_sdk.streams import Stream


class TapDrift(Tap):
    """Singer tap for Drift: every conversation of an account, whole, and then what changed."""

    name = "tap-drift"
    config_jsonschema = SETTINGS.to_dict()

    @override
    def discover_streams(self) -> Sequence[Stream]:
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
                datetime_fromisoformat(value or "1970-01-01")
            except (TypeError, ValueError):
                fault = (
                    f"The state's `replication_key_value` of `{stream}` is not a date-time: give "
                    "the state as an earlier run left it, or none to read everything."
                )
                raise ConfigValidationError("The state is wrong", errors=[fault]) from None
        super().load_state(state)

    # The SDK has no public way to word the faults of a configuration, and its own words repeat
    # the value, which may be the token. Both of these are private; tests/test_settings.py fails
    # if they are no longer called.

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
        """Read the files given as `--config`, or complain in a sentence."""
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
        """The SDK's command, ending as `DriftCommand` ends."""
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
