"""Settings of the tap: their schema, and messages for wrong values."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker
from singer_sdk import typing as th

from tap_drift.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jsonschema import ValidationError

STATUS_IDS = {"open": 1, "closed": 2, "pending": 3}
"""`statusId` of each status that the listing can be filtered by (Drift's page on the listing)."""

ENVIRONMENT_PREFIX = "TAP_DRIFT_"
_OTHER_VARIABLES = ("LOGLEVEL", "SOURCE")
"""Variables with this prefix that are not settings: the SDK's, and that of the Hub definition."""

_HOST = r"[\w-]{1,63}(\.[\w-]{1,63})*"
_IPV6 = r"\[[\da-fA-F:.]+\]"
# Other characters are invalid in a header, and the HTTP library's error would quote the token.
_PRINTABLE_ASCII = r"^\s*[!-~]+\s*$"

SETTINGS = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType(pattern=_PRINTABLE_ASCII),
        secret=True,
        title="Access token",
        description=(
            "Bearer token of a Drift app with the scopes of the selected streams, such as "
            "`conversation_read` for `conversations`. If it is set, the OAuth settings are ignored."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType(),
        title="Start date",
        description=(
            "Earliest `updatedAt` that a first run extracts, UTC unless it has an offset. If it is "
            "not set, everything is extracted. Later runs continue from their state."
        ),
        examples=["2024-01-31T00:00:00Z"],
    ),
    th.Property(
        "statuses",
        th.ArrayType(th.StringType(allowed_values=list(STATUS_IDS))),
        title="Statuses",
        description=(
            "Extract only conversations with one of these statuses: `open`, `closed`, `pending`. "
            "If it is not set, all are extracted, also those with other statuses."
        ),
        examples=[["open", "pending"]],
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=100),
        default=100,
        title="Page size",
        description="Number of conversations per page, 1 to 100.",
    ),
    th.Property(
        "lookback_seconds",
        th.IntegerType(minimum=0),
        default=300,
        title="Lookback",
        description=(
            "Seconds before the bookmark that a run reads again, in case Drift lists an update "
            "late."
        ),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=8,
        title="Concurrency",
        description=(
            "Number of concurrent requests, 1 to 32, for streams with a request per conversation."
        ),
    ),
    th.Property(
        "shard_count",
        th.IntegerType(minimum=1),
        default=1,
        title="Shard count",
        description=(
            "Number of processes that share the conversations. Each reads the whole listing, and "
            "emits its own shard."
        ),
    ),
    th.Property(
        "shard_index",
        th.IntegerType(minimum=0),
        default=0,
        title="Shard index",
        description=(
            "Index of this process's shard, from 0. Streams that do not depend on conversations, "
            "such as `users`, are read by shard 0."
        ),
    ),
    th.Property(
        "max_failed_items",
        th.IntegerType(minimum=0),
        default=0,
        title="Maximum of failed items",
        description=(
            "Number of conversations and contacts that may fail. With more, the run still reads "
            "all others, and exits with 1."
        ),
    ),
    th.Property(
        "nested_as_json",
        th.BooleanType(),
        default=False,
        title="Nested data as JSON text",
        description=(
            "Emit objects and lists as JSON text, and declare them as strings. Parquet and Avro "
            "targets need it, and so do CSV files that are to be parsed."
        ),
    ),
    th.Property(
        "attachments_path",
        th.StringType(pattern=r"^\S([^\n]*\S)?$(?!\n)"),
        title="Attachments path",
        description=(
            "Folder, or fsspec URL, where the stream `attachments` saves the files. If it is not "
            "set, files are not saved."
        ),
        examples=["output/attachments", "s3://bucket/drift"],
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1),
        default=60,
        title="Request timeout",
        description=(
            "Seconds to wait for a connection, and for each read of a response. A whole response "
            "may take twice as long."
        ),
    ),
    th.Property(
        "api_url",
        # No user, query or fragment: they would be sent with each request, beside the token.
        # No braces: the SDK would replace them with settings.
        th.StringType(pattern=rf"^https?://({_HOST}|{_IPV6})(:\d{{1,5}})?(/[^\s?#{{}}]*)?$(?!\n)"),
        title="API URL",
        description=(
            "Base URL of all requests, for a sandbox or a proxy. If it is not set, Drift's hosts "
            "are used: https://api.drift.com for the listing of conversations, "
            "https://driftapi.com for all other endpoints."
        ),
        examples=["http://127.0.0.1:8000"],
    ),
    th.Property(
        "user_agent",
        th.StringType(pattern=r"^[!-~]([ -~]*[!-~])?$(?!\n)"),
        default=f"tap-drift/{version('tap-drift')}",
        title="User agent",
        description="User-Agent header of all requests.",
    ),
    th.Property(
        "client_id",
        th.StringType(pattern=_PRINTABLE_ASCII),
        title="Client id",
        description="Client id of an OAuth app, if there is no `access_token`.",
    ),
    th.Property(
        "client_secret",
        th.StringType(pattern=_PRINTABLE_ASCII),
        secret=True,
        title="Client secret",
        description="Client secret of the OAuth app.",
    ),
    th.Property(
        "refresh_token",
        th.StringType(pattern=_PRINTABLE_ASCII),
        secret=True,
        title="Refresh token",
        description=(
            "Refresh token of the OAuth app. It is valid once: the tap saves the next one in the "
            "--config file, or in Airbyte's settings."
        ),
    ),
)

OAUTH = ("client_id", "client_secret", "refresh_token")
"""Settings that are required without `access_token`."""

_ACCEPTED = {
    "access_token": "a Drift token, without spaces and without the word `Bearer`",
    "start_date": "a date or date-time, such as 2024-01-31 or 2024-01-31T09:00:00Z",
    "statuses": f"a list of {', '.join(STATUS_IDS)}",
    "page_size": "an integer from 1 to 100",
    "lookback_seconds": "an integer of at least 0, in seconds",
    "concurrency": "an integer from 1 to 32",
    "shard_count": "an integer of at least 1",
    "shard_index": "an integer of at least 0, and less than `shard_count`",
    "max_failed_items": "an integer of at least 0",
    "nested_as_json": "true or false",
    "attachments_path": "a folder or a URL, without a space at its ends",
    "request_timeout": "an integer of at least 1, in seconds",
    "api_url": "an http:// or https:// URL, such as https://api.drift.com, without user or query",
    "user_agent": "a line of printable ASCII text",
    "client_id": "an id as Drift shows it, without spaces",
    "client_secret": "a secret as Drift shows it, without spaces",
    "refresh_token": "a Drift token, without spaces and without the word `Bearer`",
}

_OAUTH_SHARDS = (
    "An OAuth app cannot be used with `shard_count`: its refresh token is valid once, and each "
    "shard would need one. Use the `access_token` of a private app."
)

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if isinstance(value, str):
        parse_timestamp(value)
    return True


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the settings."""
    # First, because validation errors are reported in this order.
    credentials = {"anyOf": [{"required": ["access_token"]}, {"required": [*OAUTH]}]}
    return credentials | SETTINGS.to_dict()


def without_blanks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without null and blank values, which orchestrators write for unset."""
    return {name: value for name, value in config.items() if value not in (None, "")}


def default_values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a JSON Schema that have a default."""
    properties = schema["properties"].items()
    return {name: kind["default"] for name, kind in properties if "default" in kind}


def validation_errors(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting that is wrong or missing, in the schema's order.

    Values are not repeated: any of them can be a token by mistake.

    Args:
        config: The settings, without defaults.
        schema: JSON Schema of the settings, the SDK's own included.
    """
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    errors = [_message(error, config) for error in validator.iter_errors(config)]
    if not errors and config.get("shard_index", 0) >= config.get("shard_count", 1):
        errors = [_must_be("shard_index")]
    if not errors and config.get("shard_count", 1) > 1 and "access_token" not in config:
        errors = [_OAUTH_SHARDS]
    return [*dict.fromkeys(errors)]


def warnings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting that is accepted and is probably a mistake.

    Args:
        config: Valid or invalid settings, without blanks.
        schema: JSON Schema of the settings, the SDK's own included.
    """
    known = schema["properties"]
    messages = [
        f"The unknown setting `{name}` is ignored{_suggestion(name.lower(), known, '`{}`')}"
        for name in config
        # Names that begin with `_` are comments, or added by an orchestrator.
        if name not in known and not name.startswith("_")
    ]
    if _is_in_future(config.get("start_date")):
        messages.append(
            "`start_date` is in the future: until then, a run without a state extracts no "
            "conversation."
        )
    return messages


def variable_warnings(environment: Mapping[str, str], schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each environment variable that looks like a setting and is none."""
    known = {name.upper(): kind for name, kind in schema["properties"].items()}
    return [
        f"The unknown environment variable {ENVIRONMENT_PREFIX}{name} is ignored"
        f"{_suggestion(name, [*known, 'LOGLEVEL'], ENVIRONMENT_PREFIX + '{}')}"
        for name in _suffixes(environment)
        if name not in {*known, *_OTHER_VARIABLES} and not _is_member(name, known)
    ]


def _suffixes(environment: Mapping[str, str]) -> Iterable[str]:
    for name, value in environment.items():
        suffix = name.removeprefix(ENVIRONMENT_PREFIX)
        # Meltano's own, such as TAP_DRIFT__SELECT, have two underscores.
        if suffix != name and value and not suffix.startswith("_"):
            yield suffix


def _is_member(name: str, known: Mapping[str, Any]) -> bool:
    """Whether a variable is Meltano's for a member of an object: TAP_DRIFT_STREAM_MAPS_USERS."""
    return any(
        name.startswith(f"{setting}_") and "object" in kind.get("type", ())
        for setting, kind in known.items()
    )


def _suggestion(name: str, known: Collection[str], form: str) -> str:
    nearest = get_close_matches(name, known, n=1)
    if nearest:
        return f": did you mean {form.format(nearest[0])}?"
    return ". `tap-drift --about` lists the settings."


def _is_in_future(start_date: object) -> bool:
    try:
        return isinstance(start_date, str) and parse_timestamp(start_date) > datetime.now(UTC)
    except ValueError:
        return False


def _message(error: ValidationError, config: Mapping[str, Any]) -> str:
    if error.validator == "anyOf":
        return _missing_credentials(config)
    name = str(error.path[0]) if error.path else "config"
    if name in _ACCEPTED:
        return _must_be(name)
    return f"`{name}` must have {error.validator} {error.validator_value} (a setting of the SDK)."


def _missing_credentials(config: Mapping[str, Any]) -> str:
    missing = [f"`{name}`" for name in OAUTH if name not in config]
    if len(missing) == len(OAUTH):
        return (
            "`access_token` is missing: set it in the --config file, or as TAP_DRIFT_ACCESS_TOKEN "
            "with --config=ENV; or set `client_id`, `client_secret` and `refresh_token` of an "
            "OAuth app."
        )
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{' and '.join(missing)} {verb} missing: without `access_token`, an OAuth app needs all "
        "of `client_id`, `client_secret` and `refresh_token`."
    )


def _must_be(name: str) -> str:
    return f"`{name}` must be {_ACCEPTED[name]}."
