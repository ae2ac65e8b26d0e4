"""Tests of the setting `nested_as_json`: objects and lists as JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from runs import CapturedMessages, catalog, catalog_entry, sync

from tap_drift.airbyte.catalog import airbyte_catalog
from tap_drift.sandbox.data.account import Account
from tap_drift.tap import TapDrift

pytestmark = pytest.mark.slow

NESTED = {
    "accounts": {"customProperties"},
    "contacts": {"attributes"},
    "conversation_details": {"participants", "conversationTags"},
    "meetings": {"conferenceDetails"},
    "messages": {"author", "buttons", "context", "attributes", "attachments"},
    "playbooks": {"goals", "meta"},
    "teams": {"members"},
}
"""The columns of objects and lists."""


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


@pytest.fixture
def as_json(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"nested_as_json": True}


def schemas(messages: CapturedMessages) -> dict[str, dict[str, Any]]:
    found = [message for message in messages.all if message["type"] == "SCHEMA"]
    return {message["stream"]: message["schema"] for message in found}


def nested_columns(schema: dict[str, Any]) -> set[str]:
    columns = schema["properties"].items()
    return {name for name, kind in columns if {"array", "object"} & {*kind["type"]}}


def assert_in_step(messages: CapturedMessages) -> None:
    """Check the records of all streams against their SCHEMA messages."""
    for stream, schema in schemas(messages).items():
        validator = Draft202012Validator(schema)
        assert [row for row in messages.records(stream) if not validator.is_valid(row)] == []


def decoded(stream: str, record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in NESTED.get(stream, ()) and value else value
        for name, value in record.items()
    }


def test_text_has_what_the_objects_have(config: dict[str, Any], as_json: dict[str, Any]) -> None:
    objects, text = sync(config, catalog=catalog()), sync(as_json, catalog=catalog())
    assert {name: nested_columns(each) for name, each in schemas(objects).items()} == {
        name: NESTED.get(name, set()) for name in schemas(objects)
    }
    assert {name: nested_columns(each) for name, each in schemas(text).items()} == {
        name: set() for name in schemas(objects)
    }
    for stream in schemas(objects):
        records = [decoded(stream, record) for record in text.records(stream)]
        assert records == objects.records(stream)
    assert_in_step(objects)
    assert_in_step(text)


def test_fields_are_in_the_order_of_the_schema(as_json: dict[str, Any]) -> None:
    messages = sync(as_json, catalog=catalog())
    for stream, schema in schemas(messages).items():
        orders = {tuple(record) for record in messages.records(stream)}
        assert orders <= {tuple(schema["properties"])}


def test_null_stays_null(as_json: dict[str, Any]) -> None:
    messages = sync(as_json, catalog=catalog("messages")).records("messages")
    assert None in {message["context"] for message in messages}
    assert "null" not in {message["context"] for message in messages}


def test_discovered_catalog_has_text_columns(as_json: dict[str, Any]) -> None:
    discovered = TapDrift(config=as_json).catalog_dict
    assert [each for each in discovered["streams"] if nested_columns(each["schema"])] == []


def test_airbyte_catalog_has_text_columns(as_json: dict[str, Any]) -> None:
    streams = airbyte_catalog(TapDrift(config=as_json).drift_streams).streams
    assert [each.name for each in streams if nested_columns(each.json_schema)] == []


def test_catalog_of_a_run_with_the_setting_fits_one_without(
    config: dict[str, Any], as_json: dict[str, Any]
) -> None:
    """Orchestrators keep catalogs: the records fit the catalog's schema."""
    kept = TapDrift(config=as_json, catalog=catalog("messages")).catalog.to_dict()
    messages = sync(config, catalog=kept)
    assert nested_columns(schemas(messages)["messages"]) == set()
    assert_in_step(messages)


def test_one_column_can_be_text_by_the_catalog(config: dict[str, Any]) -> None:
    selected = catalog("messages")
    columns = catalog_entry(selected, "messages")["schema"]["properties"]
    columns["context"] = {"type": ["string", "null"]}
    messages = sync(config, catalog=selected)
    assert nested_columns(schemas(messages)["messages"]) == NESTED["messages"] - {"context"}
    assert_in_step(messages)


def test_deselected_member_is_not_in_the_text(as_json: dict[str, Any]) -> None:
    selected = catalog("messages")
    breadcrumbs = (["context", "ip"], ["context", "location", "latitude"])
    catalog_entry(selected, "messages")["metadata"].extend(
        {
            "breadcrumb": [word for name in path for word in ("properties", name)],
            "metadata": {"selected": False},
        }
        for path in breadcrumbs
    )
    records = sync(as_json, catalog=selected).records("messages")
    contexts = [json.loads(each["context"]) for each in records if each["context"]]
    assert contexts
    assert all("title" in each and "ip" not in each for each in contexts)
    assert all("city" in each["location"] for each in contexts)
    assert all("latitude" not in each["location"] for each in contexts)


def test_stream_maps_and_flattening_see_text(as_json: dict[str, Any]) -> None:
    maps = {"messages": {"city": "json.loads(context)['location']['city'] if context else ''"}}
    messages = sync(
        as_json | {"stream_maps": maps, "flattening_enabled": True, "flattening_max_depth": 3},
        catalog=catalog("messages"),
    )
    records = messages.records("messages")
    assert {"", "Boston"} < {record["city"] for record in records}
    assert all(isinstance(record["author"], str) for record in records)
