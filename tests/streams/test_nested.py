"""Tests of values inside records: they fit the schema, and none is lost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tap_drift.schemas import SCHEMAS
from tap_drift.streams.nested import MisfitError, NestedType
from tap_drift.streams.records import RecordConverter


def nullable(kind: str, **keywords: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **keywords}


TAGS = nullable("array", items=nullable("object", properties={"name": nullable("string")}))
CONTEXT = nullable(
    "object",
    properties={
        "title": nullable("string"),
        "port": nullable("integer"),
        "latitude": nullable("number"),
        "bot": nullable("boolean"),
        "location": nullable("object", properties={"city": nullable("string")}),
        "tags": TAGS,
    },
)


def fitted(**members: Any) -> tuple[dict[str, Any], list[str]]:
    """Return an object after it was fitted to `CONTEXT`, and the members that do not fit."""
    misfits: list[str] = []
    return NestedType(CONTEXT).fit(members, "context", misfits.append), misfits


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"title": None, "port": None, "location": None, "tags": None},
        {"title": "a", "port": 2**60, "latitude": Decimal("42.36"), "bot": False},
        {"latitude": 42, "location": {"city": "Oslo", "added": [1]}, "tags": [{"name": "b"}, None]},
        {"title": "5", "added": {"x": 1}},
    ],
)
def test_value_of_the_declared_type_is_kept(members: dict[str, Any]) -> None:
    assert fitted(**members) == (members, [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (Decimal("12.50"), "12.50"),
        (True, "true"),
        (["chat", "email"], '["chat","email"]'),
        ({"a": "ü"}, '{"a":"ü"}'),
    ],
)
def test_text_member_takes_other_values_as_json(value: Any, text: str) -> None:
    assert fitted(title=value) == ({"title": text}, [])


@pytest.mark.parametrize(
    ("member", "text", "value"),
    [
        ("port", "5", 5),
        ("latitude", "-71.06", Decimal("-71.06")),
        ("bot", "true", True),
        ("location", '{"city":"Oslo"}', {"city": "Oslo"}),
        ("tags", '[{"name":7}]', [{"name": "7"}]),
    ],
)
def test_text_that_is_json_of_the_type_is_parsed(member: str, text: str, value: Any) -> None:
    assert fitted(**{member: text}) == ({member: value}, [])


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("port", "", '""'),
        ("port", 1.5, "1.5"),
        ("port", True, "true"),
        ("latitude", "north", '"north"'),
        ("bot", 0, "0"),
        ("location", "Oslo", '"Oslo"'),
        ("location", "[" * 100_000, '"' + "[" * 100_000 + '"'),
        ("location", ["Oslo"], '["Oslo"]'),
        ("tags", ["CQL"], '["CQL"]'),
        ("tags", [{"name": "a"}, "b"], '[{"name":"a"},"b"]'),
    ],
)
def test_other_value_is_kept_in_a_member_of_its_own(member: str, value: Any, text: str) -> None:
    expected = {member: None, f"{member}_json": text}
    assert fitted(**{member: value}) == (expected, [f"context.{member}"])


def test_misfit_deep_inside_leaves_the_rest() -> None:
    kind = NestedType(nullable("array", items=nullable("object", properties={"context": CONTEXT})))
    misfits: list[str] = []
    value = [{"context": {"port": "x", "title": "a"}}, {"context": {"port": 1}}]
    assert kind.fit(value, "list", misfits.append) == [
        {"context": {"port": None, "port_json": '"x"', "title": "a"}},
        {"context": {"port": 1}},
    ]
    assert misfits == ["list.context.port"]


@pytest.mark.parametrize("value", ["page", 5, [], [{"title": "a"}]])
def test_value_that_is_no_object_does_not_fit(value: Any) -> None:
    with pytest.raises(MisfitError):
        NestedType(CONTEXT).fit(value, "context", pytest.fail)


VALUES: list[Any] = ["words", "5", "", 5, Decimal("5.5"), True, [], ["words"], [{}], {}, {"a": 1}]


def variants(kind: dict[str, Any]) -> list[Any]:
    """Return values for a member: of every type, and objects that have those in each member."""
    members = kind.get("properties", {})
    objects = [{name: variant} for name, member in members.items() for variant in variants(member)]
    items = [[variant] for variant in variants(kind["items"])] if "items" in kind else []
    return [*VALUES, *objects, *items]


@pytest.mark.parametrize("stream", ["accounts", "contacts", "meetings", "messages", "playbooks"])
def test_no_value_inside_an_object_violates_the_schema(stream: str) -> None:
    """Targets validate records: a wrong guess about Drift's types must not fail a load."""
    schema = SCHEMAS.get_schema(stream)
    objects = {
        name: kind for name, kind in schema["properties"].items() if "object" in kind["type"]
    }
    validator = Draft202012Validator({"type": "object", "properties": objects})
    for name, kind in objects.items():
        for variant in variants(kind):
            if isinstance(variant, dict):
                row = {name: variant}
                RecordConverter(stream, schema, (), lambda _: None).fit_nested([row])
                assert validator.is_valid(row), (name, variant)


def warnings_about(rows: list[dict[str, Any]]) -> set[str]:
    """Return the warnings about the column `context` of rows, which are fitted in place."""
    warnings: set[str] = set()
    schema = {"properties": {"context": CONTEXT}}
    RecordConverter("messages", schema, (), warnings.add).fit_nested(rows)
    return warnings


def test_warning_names_the_member_and_where_its_value_is() -> None:
    rows = [{"context": {"location": "my words"}}, {"context": {"location": "Rome"}}]
    [warning] = warnings_about(rows)
    assert "values in `context.location` of `messages`" in warning
    assert warning.endswith("emitted as JSON text in `context.location_json`.")


@pytest.mark.parametrize("value", ["my words", 5, ["x"]])
def test_column_that_is_no_object_is_emitted_with_a_warning(value: Any) -> None:
    rows = [{"context": value}]
    [warning] = warnings_about(rows)
    assert rows == [{"context": value}]
    assert "values in `context` of `messages`" in warning
    assert warning.endswith("emitted as they are.")
