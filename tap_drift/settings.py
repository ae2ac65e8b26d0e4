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

SETTINGS = th.PropertiesList(
    th.Property(
        "access_token",
        # Printable ASCII: anything else cannot go into a header, and the HTTP library's
        # complaint about it would repeat the token.
        th.StringType(pattern=r"^\s*[!-~]+\s*$"),
        required=True,
        secret=True,
        title="Access token",
        description="Bearer token of a Drift app that has the scope `conversation_read`.",
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
            "Without it: Drift's own, https://api.drift.com."
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
)

_ACCEPTS = {
    "access_token": "a Drift token by itself: no spaces, no word `Bearer`",
    "start_date": "a date or date-time, such as 2024-01-31 or 2024-01-31T09:00:00Z",
    "statuses": f"a list of {', '.join(STATUS_IDS)}",
    "page_size": "an integer from 1 to 100",
    "lookback_seconds": "an integer of at least 0, in seconds",
    "request_timeout": "an integer of at least 1, in seconds",
    "api_url": "an http:// or https:// URL, such as https://api.drift.com, without user or query",
    "user_agent": "a line of printable ASCII text",
}

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if isinstance(value, str):
        parse(value)
    return True


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
    missing = [name for name in schema.get("required", ()) if name not in config]
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    wrong = [error for error in validator.iter_errors(config) if error.validator != "required"]
    return [
        *(_missing(name) for name in missing),
        *dict.fromkeys(_sentence(error) for error in wrong),
    ]


def _missing(name: str) -> str:
    return (
        f"`{name}` is missing: give it in the --config file, or as TAP_DRIFT_{name.upper()} with "
        f"--config=ENV; it must be {_ACCEPTS[name]}."
    )


def _sentence(error: ValidationError) -> str:
    name = str(error.path[0]) if error.path else "config"
    if name in _ACCEPTS:
        return f"`{name}` must be {_ACCEPTS[name]}."
    return f"`{name}` must have {error.validator} {error.validator_value} (a setting of the SDK's)."
