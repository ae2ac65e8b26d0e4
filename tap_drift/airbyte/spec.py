"""Settings: conversion between Airbyte's connection specification and the tap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airbyte_protocol_dataclasses.models import ConnectorSpecification, DestinationSyncMode

from tap_drift.settings import OAUTH, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOKEN = ("access_token",)
# JSON Schema keywords of a setting that Airbyte's forms use.
_FORM_KEYWORDS = (
    *("title", "description", "examples", "default", "format", "pattern"),
    *("minimum", "maximum", "enum", "items"),
)


def specification() -> ConnectorSpecification:
    """Describe the tap's settings: first the credentials, then the other settings in order."""
    schemas = SETTINGS.to_dict()["properties"]
    others = [name for name in schemas if name not in {*_TOKEN, *OAUTH}]
    properties = {
        "credentials": {
            "title": "Credentials",
            "description": "How the source authenticates with Drift.",
            "type": "object",
            "order": 0,
            "oneOf": [
                _credentials_option(
                    "Access token of a private app", "access_token", _TOKEN, schemas
                ),
                _credentials_option("OAuth app", "oauth", OAUTH, schemas),
            ],
        },
        **_ordered_properties(others, schemas),
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


def tap_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an Airbyte configuration to the tap's settings: `credentials` is flattened.

    A configuration without the object `credentials` may hold the tap's settings at the top level.
    """
    credentials = config.get("credentials")
    settings = {name: value for name, value in config.items() if name != "credentials"}
    if not isinstance(credentials, dict):
        return settings
    return settings | {name: value for name, value in credentials.items() if name != "auth_type"}


def with_refresh_token(config: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Return a copy of an Airbyte configuration with a new refresh token."""
    credentials = config.get("credentials")
    if isinstance(credentials, dict):
        return {**config, "credentials": {**credentials, "refresh_token": token}}
    return {**config, "refresh_token": token}


def _credentials_option(
    title: str, auth_type: str, names: Iterable[str], schemas: Mapping[str, Any]
) -> dict[str, Any]:
    """Build a `oneOf` option of `credentials`; Airbyte selects it by the constant `auth_type`."""
    discriminator = {"type": "string", "const": auth_type, "default": auth_type, "order": 0}
    return {
        "title": title,
        "type": "object",
        "required": ["auth_type", *names],
        "properties": {"auth_type": discriminator, **_ordered_properties(names, schemas)},
    }


def _ordered_properties(names: Iterable[str], schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _property(schemas[name], order) for order, name in enumerate(names, start=1)}


def _property(schema: Mapping[str, Any], order: int) -> dict[str, Any]:
    keywords = {key: schema[key] for key in _FORM_KEYWORDS if key in schema}
    if "items" in keywords:
        keywords["items"] = {**keywords["items"], "type": "string"}
    secret = {"airbyte_secret": True} if schema.get("secret") else {}
    return {"type": schema["type"][0], **keywords, **secret, "order": order}
