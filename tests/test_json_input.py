"""JSON that users pass: what is wrong with it, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_drift.exceptions import InvalidJsonError
from tap_drift.json_input import json_kind, parse_json

SECRET = "s3cret"


def error(data: str | bytes) -> str:
    with pytest.raises(InvalidJsonError) as raised:
        parse_json(data, "config.json")
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "access_token": "s3cret"\n  "page_size": 1\n}', "line 3, column 3"),
        ('{"access_token": s3cret}', "line 1, column 18"),
        ('{"access_token": "s3cret}', "line 1, column 18"),
        ('{"access_token": "\\s3cret"}', "line 1, column 19"),
        ('{"access_token": "s3cret"', "line 1, column 26"),
        ('{"bookmarks": {}}\n{"bookmarks": {}}', "line 2, column 1"),
    ],
)
def test_error_names_line_and_column_without_content(text: str, place: str) -> None:
    assert error(text).startswith(f"'config.json' is not valid JSON: {place}: ")


@pytest.mark.parametrize("text", ["", " \n", b""])
def test_empty_file_is_named_as_empty(text: str | bytes) -> None:
    assert error(text) == "'config.json' is empty."


def test_binary_file_is_named_as_no_text() -> None:
    assert error(b"\xff\xff\xff\xff") == "'config.json' is not a text file."


def test_deep_nesting_is_an_error() -> None:
    assert error("[" * 100_000).endswith("it is nested too deeply.")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_may_have_a_byte_order_mark(encoding: str) -> None:
    assert parse_json('{"user_agent": "Zoë"}'.encode(encoding), "x") == {"user_agent": "Zoë"}


def test_text_may_have_a_byte_order_mark() -> None:
    assert parse_json("\ufeff{}", "x") == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "an object"),
        ("[]", "a list"),
        ('"x"', "a string"),
        ("1", "a number"),
        ("1.5", "a number"),
        ("true", "a boolean"),
        ("null", "null"),
    ],
)
def test_every_json_value_has_a_kind(text: str, kind: str) -> None:
    content: Any = json.loads(text)
    assert json_kind(content) == kind
