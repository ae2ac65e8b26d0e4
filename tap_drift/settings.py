"""What the tap can be told: its settings, and what is wrong with the ones it was given."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker
from singer_sdk import typing as th

from tap_drift.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import ValidationError

# Drift's code for each status that the listing can be narrowed to (its page on the listing).
STATUS_IDS = {"open": 1, "closed": 2, "pending": 3}

_HOST = r"[\w-]{1,63}(\.[\w-]{1,63})*"
_IPV6 = r"\[[\da-fA-F:.]+\]"
# Printable ASCII: anything else cannot go into a header, and the HTTP library's complaint about it
# would repeat the token.
_PRINTABLE = r"^\s*[!-~]+\s*$"

SETTINGS = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType(pattern=_PRINTABLE),
        secret=True,
        title="Access token",
        description=(
            "Bearer token of a Drift app that has the scopes of the streams that are read, "
            "`conversation_read` for conversations. If it is given, the settings of an OAuth app "
            "are not used."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType(),
        title="Start date",
        description=(
            "The earliest `updatedAt` that a first run extracts, UTC unless it says otherwise. "
            "Without it: everything. Later runs go on from their state."
        ),
        examples=["2024-01-31T00:00:00Z"],
    ),
    th.Property(
        "statuses",
        th.ArrayType(th.StringType(allowed_values=list(STATUS_IDS))),
        title="Statuses",
        description=(
            "Only conversations that have one of these statuses: `open`, `closed`, `pending`. "
            "Without it: all, also those that Drift gives other statuses."
        ),
        examples=[["open", "pending"]],
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=100),
        default=100,
        title="Page size",
        description="How many conversations to ask for in one request, 1 to 100.",
    ),
    th.Property(
        "lookback_seconds",
        th.IntegerType(minimum=0),
        default=300,
        title="Lookback",
        description=(
            "How many seconds before its bookmark a run reads again, in case Drift lists an update "
            "late."
        ),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=8,
        title="Concurrency",
        description=(
            "How many requests are under way at once, 1 to 32, for streams that ask once per "
            "conversation."
        ),
    ),
    th.Property(
        "shard_count",
        th.IntegerType(minimum=1),
        default=1,
        title="Shard count",
        description=(
            "Among how many processes the conversations are shared out. Each walks the whole "
            "listing, and emits, and asks for, its own share."
        ),
    ),
    th.Property(
        "shard_index",
        th.IntegerType(minimum=0),
        default=0,
        title="Shard index",
        description=(
            "Which of the shards this process is, from 0. What is not of a conversation, such as "
            "`users`, is read by shard 0."
        ),
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1),
        default=60,
        title="Request timeout",
        description="Seconds to wait for a connection, and for each part of an answer.",
    ),
    th.Property(
        "api_url",
        # No user, query or fragment: requests go to this host, and nothing else is sent along. No
        # braces: the SDK would put settings in their place.
        th.StringType(pattern=rf"^https?://({_HOST}|{_IPV6})(:\d{{1,5}})?(/[^\s?#{{}}]*)?$(?!\n)"),
        title="API URL",
        description=(
            "Base URL of every request: a sandbox or a proxy. "
            "Without it: Drift's own, https://api.drift.com for the listing of conversations, "
            "https://driftapi.com for all else."
        ),
        examples=["http://127.0.0.1:8000"],
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=r"^[!-~]([ -~]*[!-~])?$(?!\n)"),
        default=f"tap-drift/{version('tap-drift')}",
        title="User agent",
        description="How the tap names itself to Drift.",
    ),
    th.Property(
        "client_id",
        th.StringType(pattern=_PRINTABLE),
        title="Client id",
        description="Client id of an OAuth app, where there is no `access_token`.",
    ),
    th.Property(
        "client_secret",
        th.StringType(pattern=_PRINTABLE),
        secret=True,
        title="Client secret",
        description="Client secret of the OAuth app.",
    ),
    th.Property(
        "refresh_token",
        th.StringType(pattern=_PRINTABLE),
        secret=True,
        title="Refresh token",
        description=(
            "Refresh token of the OAuth app. It works once: the tap puts the next one into the "
            "--config file, or into Airbyte's settings."
        ),
    ),
)

OAUTH = ("client_id", "client_secret", "refresh_token")
"""What there must be where there is no `access_token`."""

_ACCEPTS = {
    "access_token": "a Drift token by itself: no spaces, no word `Bearer`",
    "start_date": "a date or date-time, such as 2024-01-31 or 2024-01-31T09:00:00Z",
    "statuses": f"a list of {', '.join(STATUS_IDS)}",
    "page_size": "an integer from 1 to 100",
    "lookback_seconds": "an integer of at least 0, in seconds",
    "concurrency": "an integer from 1 to 32",
    "shard_count": "an integer of at least 1",
    "shard_index": "an integer of at least 0, and less than `shard_count`",
    "request_timeout": "an integer of at least 1, in seconds",
    "api_url": "an http:// or https:// URL, such as https://api.drift.com, without user or query",
    "user_agent": "a line of printable ASCII text",
    "client_id": "an id by itself, as Drift shows it: no spaces",
    "client_secret": "a secret by itself, as Drift shows it: no spaces",
    "refresh_token": "a Drift token by itself: no spaces, no word `Bearer`",
}

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if isinstance(value, str):
        parse(value)
    return True


def schema() -> dict[str, Any]:
    """Give the JSON Schema of the settings."""
    # First, because the check complains in this order.
    token = {"anyOf": [{"required": ["access_token"]}, {"required": [*OAUTH]}]}
    return token | SETTINGS.to_dict()


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null or blank: orchestrators write that for what is not set.

    Args:
        config: Settings.

    Returns:
        Those that have a value.
    """
    return {name: value for name, value in config.items() if value not in (None, "")}


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the value that each setting has if it is not given.

    Args:
        schema: JSON Schema of the settings.

    Returns:
        The settings that have a default, by name.
    """
    properties = schema["properties"].items()
    return {name: kind["default"] for name, kind in properties if "default" in kind}


def faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a configuration.

    The values themselves are not repeated: a token can end up in any of them.

    Args:
        config: The settings as given.
        schema: JSON Schema of the settings, the SDK's own included.

    Returns:
        A sentence for each setting that is wrong or missing, in the schema's order; empty if all
        is well.
    """
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    errors = [_sentence(error, config) for error in validator.iter_errors(config)]
    if not errors and config.get("shard_index", 0) >= config.get("shard_count", 1):
        errors = [_not_accepted("shard_index")]
    return [*dict.fromkeys(errors)]


def _missing(config: Mapping[str, Any]) -> str:
    missing = [f"`{name}`" for name in OAUTH if name not in config]
    if len(missing) == len(OAUTH):
        return (
            "`access_token` is missing: give it in the --config file, or as TAP_DRIFT_ACCESS_TOKEN "
            "with --config=ENV; or give `client_id`, `client_secret` and `refresh_token` of an "
            "OAuth app."
        )
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{' and '.join(missing)} {verb} missing: without `access_token`, an OAuth app needs all "
        "of `client_id`, `client_secret` and `refresh_token`."
    )


def _sentence(error: ValidationError, config: Mapping[str, Any]) -> str:
    if error.validator == "anyOf":
        return _missing(config)
    name = str(error.path[0]) if error.path else "config"
    if name in _ACCEPTS:
        return _not_accepted(name)
    return f"`{name}` must have {error.validator} {error.validator_value} (a setting of the SDK's)."


def _not_accepted(name: str) -> str:
    return f"`{name}` must be {_ACCEPTS[name]}."
