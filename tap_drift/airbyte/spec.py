"""The settings, as Airbyte asks for them and gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airbyte_protocol_dataclasses.models import ConnectorSpecification, DestinationSyncMode

from tap_drift.settings import OAUTH, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOKEN = ("access_token",)
# Of a kind's JSON Schema, what Airbyte's forms make something of.
_SHOWN = (
    *("title", "description", "examples", "default", "format", "pattern"),
    *("minimum", "maximum", "enum", "items"),
)


def specification() -> ConnectorSpecification:
    """Say what there is to set.

    Returns:
        The tap's settings: a token or an OAuth app first, then all others.
    """
    kinds = SETTINGS.to_dict()["properties"]
    others = [name for name in kinds if name not in {*_TOKEN, *OAUTH}]
    properties = {
        "credentials": {
            "title": "Credentials",
            "description": "How to sign in to Drift.",
            "type": "object",
            "order": 0,
            "oneOf": [
                _way("Access token of a private app", "access_token", _TOKEN, kinds),
                _way("OAuth app", "oauth", OAUTH, kinds),
            ],
        },
        **{name: _property(kinds[name]) | {"order": n} for n, name in enumerate(others, start=1)},
    }
    return ConnectorSpecification(
        connectionSpecification={
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "Drift",
            "type": "object",
            "required": ["credentials"],
            "additionalProperties": True,
            "properties": properties,
        },
        supportsIncremental=True,
        supported_destination_sync_modes=[
            DestinationSyncMode.append,
            DestinationSyncMode.overwrite,
            DestinationSyncMode.append_dedup,
        ],
    )


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read what Airbyte gives.

    Args:
        config: As the specification describes it, or the tap's settings as they are.

    Returns:
        The tap's settings.
    """
    credentials = config.get("credentials")
    given = {name: value for name, value in config.items() if name != "credentials"}
    if not isinstance(credentials, dict):
        return given
    return given | {name: value for name, value in credentials.items() if name != "auth_type"}


def with_refresh_token(config: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Put another refresh token in its place.

    Args:
        config: As Airbyte gave it.
        token: The new one.

    Returns:
        A copy that has it.
    """
    credentials = config.get("credentials")
    if isinstance(credentials, dict):
        return {**config, "credentials": {**credentials, "refresh_token": token}}
    return {**config, "refresh_token": token}


def _way(title: str, name: str, required: Iterable[str], kinds: dict[str, Any]) -> dict[str, Any]:
    chosen = {"type": "string", "const": name, "default": name, "order": 0}
    asked = {key: _property(kinds[key]) | {"order": n} for n, key in enumerate(required, start=1)}
    return {
        "title": title,
        "type": "object",
        "required": ["auth_type", *required],
        "properties": {"auth_type": chosen, **asked},
    }


def _property(kind: dict[str, Any]) -> dict[str, Any]:
    shown = {key: kind[key] for key in _SHOWN if key in kind}
    if "items" in shown:
        shown["items"] = {**shown["items"], "type": "string"}
    secret = {"airbyte_secret": True} if kind.get("secret") else {}
    return {"type": kind["type"][0], **shown, **secret}
