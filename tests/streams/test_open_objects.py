"""Flattening keeps the members that no schema names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from runs import CapturedMessages, catalog, sync

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from fake_drift import FakeDrift

pytestmark = pytest.mark.slow

STREAMS = ("contacts", "messages", "meetings")


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


def flattened(config: dict[str, Any], max_depth: int) -> CapturedMessages:
    flattening = {"flattening_enabled": True, "flattening_max_depth": max_depth}
    return sync(config | flattening, catalog=catalog(*STREAMS))


def columns(messages: CapturedMessages, stream: str) -> set[str]:
    return next(
        {*message["schema"]["properties"]}
        for message in messages.all
        if message["type"] == "SCHEMA" and message["stream"] == stream
    )


@pytest.mark.parametrize("max_depth", [1, 2, 3])
def test_every_flat_record_has_exactly_the_declared_columns(
    config: dict[str, Any], max_depth: int
) -> None:
    """target-csv fails on any other column, and most targets drop it."""
    messages = flattened(config, max_depth)
    for stream in STREAMS:
        assert messages.records(stream)
        assert {frozenset(row) for row in messages.records(stream)} == {
            frozenset(columns(messages, stream))
        }


def test_undeclared_members_are_one_text_column(config: dict[str, Any], drift: FakeDrift) -> None:
    for record in flattened(config, 3).records("contacts"):
        answer = drift.account.contact(record["id"])
        assert answer
        members = {
            name.removeprefix("attributes__"): value
            for name, value in record.items()
            if name.startswith("attributes__")
        }
        others = json.loads(members.pop("otherMembers"))
        members["tags"] = json.loads(members["tags"])
        assert "_END_USER_VERSION" in others
        found = {name: value for name, value in (members | others).items() if value is not None}
        expected = {name: v for name, v in answer["attributes"].items() if v is not None}
        assert found == expected


def test_deeper_objects_are_text(config: dict[str, Any]) -> None:
    records = flattened(config, 1).records("messages")
    locations = [record["context__location"] for record in records]
    assert None in locations
    assert {json.loads(each)["city"] for each in locations if each} > {"Boston"}


def test_without_flattening_no_object_has_the_member(config: dict[str, Any]) -> None:
    records = sync(config, catalog=catalog("contacts")).records("contacts")
    assert all("otherMembers" not in record["attributes"] for record in records)
    assert all("_END_USER_VERSION" in record["attributes"] for record in records)
