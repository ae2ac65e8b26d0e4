"""What every schema owes to those who load its records, and to those who read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib import Catalog

from tap_drift.schemas import SCHEMAS
from tap_drift.streams.base import DriftStream
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = dict[str, Any]

# What a row is known by, and so never null.
KEYS = {
    "accounts": {"accountId"},
    "contact_attributes": {"name"},
    "contacts": {"id"},
    "conversation_details": {"id"},
    "conversation_stats": {"status"},
    "conversations": {"id"},
    "landing_pages": {"playbookId", "landingPageUrl"},
    "meetings": {"slug"},
    "messages": {"id"},
    "playbooks": {"id"},
    "teams": {"id"},
    "transcripts": {"conversationId"},
    "users": {"id"},
}

# What else is never null: the replication key, and the conversation that a row was asked for with.
NEVER_NULL = {
    "conversation_details": {"conversationId"},
    "conversations": {"updatedAt"},
    "messages": {"conversationId"},
}

SIXTY_FOUR_BITS = (-(2**63), 2**63 - 1)

every_schema = pytest.mark.parametrize("name", KEYS)


def schema(name: str) -> Kind:
    return SCHEMAS.get_schema(name)


def within(kind: Kind, path: str) -> Iterator[tuple[str, Kind]]:
    """Every kind of value within a kind, and where it stands."""
    for name, inner in kind.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from within(inner, f"{path}.{name}")
    if "items" in kind:
        yield f"{path}[]", kind["items"]
        yield from within(kind["items"], f"{path}[]")


def types(kind: Kind) -> set[str]:
    return {kind["type"]} if isinstance(kind["type"], str) else set(kind["type"])


def test_every_schema_has_its_keys_here() -> None:
    assert sorted(file.name for file in SCHEMAS.dir_path.iterdir()) == [
        f"{name}.json" for name in KEYS
    ]


@every_schema
def test_it_is_a_schema(name: str) -> None:
    assert schema(name)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema(name))


@every_schema
def test_the_sdk_puts_all_of_it_into_the_catalog(name: str) -> None:
    described = {
        "name": name,
        "path": "",
        "scope": "",
        "primary_keys": tuple(KEYS[name]),
        "schema": StreamSchema(SCHEMAS),
    }
    stream_class = type("Described", (DriftStream,), described)
    tap_class = type(
        "Tap", (TapDrift,), {"discover_streams": lambda tap: [stream_class(tap, tap.client)]}
    )
    catalog = Catalog.from_dict(tap_class(config={"access_token": "t"}).catalog_dict)
    [entry] = catalog.streams
    assert entry.schema.to_dict() == schema(name)
    assert set(entry.key_properties or ()) == KEYS[name]


@every_schema
def test_what_drift_adds_tomorrow_passes(name: str) -> None:
    kinds = [schema(name), *(kind for _, kind in within(schema(name), name))]
    assert all(kind["additionalProperties"] is True for kind in kinds if "object" in types(kind))


@every_schema
def test_keys_are_never_null_and_everything_else_may_be(name: str) -> None:
    required = KEYS[name] | NEVER_NULL.get(name, set())
    nullable = {path for path, kind in within(schema(name), name) if "null" in types(kind)}
    assert nullable == {path for path, _ in within(schema(name), name)} - {
        f"{name}.{key}" for key in required
    }
    assert set(schema(name)["required"]) == required


@every_schema
def test_every_value_has_one_type(name: str) -> None:
    """So has a column of a database: of several types, targets make text."""
    kinds = {path: types(kind) - {"null"} for path, kind in within(schema(name), name)}
    assert [path for path, several in kinds.items() if len(several) != 1] == []


@every_schema
def test_every_list_says_what_is_in_it(name: str) -> None:
    lists = [(path, kind) for path, kind in within(schema(name), name) if "array" in types(kind)]
    assert [path for path, kind in lists if "items" not in kind] == []


@every_schema
def test_integers_fit_64_bits(name: str) -> None:
    bounds = {
        (kind["minimum"], kind["maximum"])
        for _, kind in within(schema(name), name)
        if "integer" in types(kind)
    }
    assert bounds <= {SIXTY_FOUR_BITS}


@every_schema
def test_no_two_names_differ_in_case_alone(name: str) -> None:
    """Most databases would take them for one column."""
    paths = [path.lower() for path, _ in within(schema(name), name)]
    assert len(set(paths)) == len(paths)


@every_schema
def test_every_property_is_described(name: str) -> None:
    described = [(name, schema(name)), *within(schema(name), name)]
    assert [path for path, kind in described if len(kind.get("description", "")) < 20] == []
