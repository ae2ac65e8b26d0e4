"""Rules that every stream's JSON Schema follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from singer_sdk.singerlib import Catalog

from tap_drift.schemas import SCHEMAS
from tap_drift.streams.base import DriftStream
from tap_drift.streams.emitted_schema import EmittedSchema
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

# The primary key of each stream, which is never null.
KEYS = {
    "accounts": {"accountId"},
    "attachments": {"messageId", "id"},
    "contact_attributes": {"name"},
    "contacts": {"id"},
    "conversation_details": {"id"},
    "conversation_stats": {"status"},
    "conversations": {"id"},
    "failed_items": {"stream", "id"},
    "landing_pages": {"playbookId", "landingPageUrl"},
    "meetings": {"slug"},
    "messages": {"id"},
    "playbooks": {"id"},
    "teams": {"id"},
    "transcripts": {"conversationId"},
    "users": {"id"},
}

# Other properties that are never null: the replication key, and the id of the conversation that a
# row belongs to.
NEVER_NULL = {
    "attachments": {"conversationId"},
    "conversation_details": {"conversationId"},
    "conversations": {"updatedAt"},
    "messages": {"conversationId"},
}

INT64 = (-(2**63), 2**63 - 1)

every_stream = pytest.mark.parametrize("stream", KEYS)


def get_schema(stream: str) -> Schema:
    return SCHEMAS.get_schema(stream)


def subschemas(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield the path and schema of every property and list item, at any depth."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from subschemas(inner, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from subschemas(schema["items"], f"{path}[]")


def properties(stream: str) -> dict[str, Schema]:
    """Return all subschemas of a stream by path."""
    return dict(subschemas(get_schema(stream), stream))


def types(schema: Schema) -> set[str]:
    return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])


def test_every_schema_file_is_tested() -> None:
    files = sorted(file.name for file in SCHEMAS.dir_path.iterdir())
    assert files == [f"{stream}.json" for stream in KEYS]


@every_stream
def test_schema_is_valid_json_schema(stream: str) -> None:
    assert get_schema(stream)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(get_schema(stream))


@every_stream
def test_catalog_has_the_whole_schema(stream: str) -> None:
    """The SDK parses the schema, and could drop keywords that it does not know."""
    attributes = {
        "name": stream,
        "path": "",
        "scope": "",
        "primary_keys": tuple(KEYS[stream]),
        "schema": EmittedSchema(),
    }
    stream_class = type("Stream", (DriftStream,), attributes)
    tap_class = type(
        "Tap", (TapDrift,), {"discover_streams": lambda tap: [stream_class(tap, tap.client)]}
    )
    catalog = Catalog.from_dict(tap_class(config={"access_token": "t"}).catalog_dict)
    [entry] = catalog.streams
    assert entry.schema.to_dict() == get_schema(stream)
    assert set(entry.key_properties or ()) == KEYS[stream]


@every_stream
def test_undocumented_properties_are_allowed(stream: str) -> None:
    schemas = [get_schema(stream), *properties(stream).values()]
    objects = [schema for schema in schemas if "object" in types(schema)]
    assert all(schema["additionalProperties"] is True for schema in objects)


@every_stream
def test_exactly_the_keys_are_required_and_not_nullable(stream: str) -> None:
    required = KEYS[stream] | NEVER_NULL.get(stream, set())
    not_nullable = {path for path, each in properties(stream).items() if "null" not in types(each)}
    assert not_nullable == {f"{stream}.{name}" for name in required}
    assert set(get_schema(stream)["required"]) == required


@every_stream
def test_every_property_has_one_type_besides_null(stream: str) -> None:
    """Targets turn a property with several types into text."""
    property_types = {path: types(each) - {"null"} for path, each in properties(stream).items()}
    assert [path for path, several in property_types.items() if len(several) != 1] == []


def test_only_undocumented_objects_declare_no_members() -> None:
    """Parquet and Avro targets fail on an object without members: see `nested_as_json`."""
    objects = {
        path: each
        for stream in KEYS
        for path, each in properties(stream).items()
        if "object" in types(each)
    }
    assert [path for path, each in objects.items() if not each.get("properties")] == [
        "playbooks.meta"
    ]


@every_stream
def test_every_list_has_items(stream: str) -> None:
    lists = {path: each for path, each in properties(stream).items() if "array" in types(each)}
    assert [path for path, each in lists.items() if "items" not in each] == []


@every_stream
def test_integers_fit_64_bits(stream: str) -> None:
    integers = [each for each in properties(stream).values() if "integer" in types(each)]
    assert {(each["minimum"], each["maximum"]) for each in integers} <= {INT64}


@every_stream
def test_no_two_names_differ_only_in_case(stream: str) -> None:
    """Most databases treat such names as the same column."""
    paths = [path.lower() for path in properties(stream)]
    assert len(set(paths)) == len(paths)


@every_stream
def test_every_property_has_a_description(stream: str) -> None:
    described = {stream: get_schema(stream), **properties(stream)}
    assert [path for path, each in described.items() if len(each.get("description", "")) < 20] == []
