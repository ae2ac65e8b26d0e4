"""Canonical values and digests: the same for every spelling of a record."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tap_drift.sandbox.data.account import Account
from tap_drift.timestamps import from_epoch_ms
from tap_drift.verify.canonical import canonical, converter, encode
from tap_drift.verify.fields import StreamFields

DOCUMENTATION = Path(__file__).parents[2] / "docs/verify.md"

DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
NOON = "2026-01-02T12:00:00.250+00:00"


def digest(stream: str, record: dict[str, Any], **restriction: Any) -> bytes:
    fields = StreamFields(stream)
    if restriction:
        fields.restrict(**restriction)
    return fields.digest(fields.canonical_record(record), is_source=False).all


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (
            DATE_TIME,
            [
                *(NOON, "2026-01-02T12:00:00.25Z", "2026-01-02 13:00:00.250000+01:00"),
                "2026-01-02T12:00:00.250",
                datetime(2026, 1, 2, 12, 0, 0, 250_000),
                datetime(2026, 1, 2, 14, 0, 0, 250_000, timezone(timedelta(hours=2))),
                datetime(2026, 1, 2, 12, 0, 0, 250_000, UTC),
            ],
            NOON,
        ),
        (DATE_TIME, ["yesterday"], "yesterday"),
        (DATE_TIME, [datetime(2026, 1, 2, 12, 0, 0, 250_001)], "2026-01-02T12:00:00.250001+00:00"),
        ({"type": "integer"}, [2**62 + 1, Decimal(2**62 + 1), str(2**62 + 1)], 2**62 + 1),
        ({"type": ["null", "integer"]}, [5, 5.0, "5", Decimal("5.00")], 5),
        ({"type": "number"}, [0.5, Decimal("0.50")], 0.5),
        ({"type": "boolean"}, [True, 1], True),
        ({"type": "string"}, ["5", b"5", 5], "5"),
        ({"type": "string"}, [str(UUID(int=5)), UUID(int=5)], str(UUID(int=5))),
        ({"type": ["integer", "string"]}, ["5", 5], "5"),
        (
            {"type": ["object", "null"]},
            [
                {"a": 1.0, "B": [None, {"c": None}]},
                '{"B": [null, {"c": null}], "a": 1}',
                {"B": (None, {}), "a": Decimal(1), "d": None},
            ],
            {"a": 1, "B": [None, {}]},
        ),
        ({"type": "array"}, ["not JSON"], "not JSON"),
    ],
)
def test_spellings_of_a_value_become_one(
    kind: dict[str, Any], values: list[Any], expected: object
) -> None:
    convert = converter(kind)
    assert [encode(convert(value)) for value in values] == [encode(expected)] * len(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, "0.1"),
        (-1.5e-6, "-0.0000015"),
        (1e-5, "0.00001"),
        (1.5e-7, "1.5e-7"),
        (1e22, "1" + "0" * 22),
        (2**63 - 1, "9223372036854775807"),
        (-0.0, "0"),
    ],
)
def test_numbers_are_written_as_in_rfc_8785(value: float, expected: str) -> None:
    assert encode(canonical(value)).decode() == expected


def test_members_are_sorted_and_text_is_utf8() -> None:
    text = encode({"é": '"\\\n\u001f/', "Z": 1, "a": 2}).decode()
    assert text == '{"Z":1,"a":2,"é":"\\"\\\\\\n\\u001f/"}'


def test_columns_of_targets_do_not_change_a_digest() -> None:
    record = {"id": 5, "updatedAt": NOON, "status": None}
    added = record | {"_sdc_extracted_at": NOON, "inboxId": None}
    assert digest("conversations", record) == digest("conversations", added)
    assert digest("conversations", record) != digest("conversations", added | {"inboxId": 1})


def test_restricted_digest_covers_the_listed_members() -> None:
    shape: dict[str, Any] = {"id": None, "author": {"id": None}, "buttons": {"label": None}}
    fields = StreamFields("messages")
    fields.restrict(shape, has_others=False)
    assert fields.paths == ["id", "author.id", "buttons.label"]
    again = StreamFields("messages")
    again.fix(fields.paths)
    assert again.paths == fields.paths
    record = {"id": 5, "author": {"id": 7}, "buttons": [{"label": "a"}, None]}
    more = record | {
        "author": {"id": 7, "bot": True},
        "buttons": [{"label": "a", "value": 1}, {"value": 2}],
        "other": 1,
    }
    digests = [
        fields.digest(fields.canonical_record(each), is_source=True) for each in (record, more)
    ]
    assert digests[0] == digests[1]
    assert fields.unkept == {"author.bot": 1, "buttons.value": 2, "other": 1}


def test_documented_program_computes_the_same_digests() -> None:
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - the program of the documentation
    account = Account.from_seed(40, seed=3)
    messages = [each for c in account.conversations for each in account.messages(c)]
    for message in messages:
        message["createdAt"] = from_epoch_ms(message["createdAt"])
        assert names["digest"](message) == digest("messages", message).hex()
    assert any(isinstance((each.get("context") or {}).get("location"), dict) for each in messages)
