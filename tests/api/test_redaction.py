"""Drift's error answers in error messages, without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from fake_drift import TOKEN

from tap_drift.api.redaction import error_text, redirect_host


def make_response(body: Any, **headers: str) -> requests.Response:
    response = requests.Response()
    text = body if isinstance(body, str) else json.dumps(body)
    response._content = text.encode()  # noqa: SLF001 - requests has no public way to set it
    response.headers.update(headers)
    response.request = requests.Request(
        "GET", "http://drift.test/", headers={"Authorization": f"Bearer {TOKEN}"}
    ).prepare()
    return response


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "validation_error", "message": "limit is too large"}},
        {"errors": [{"type": "validation_error", "message": "limit is too large", "param": "x"}]},
        {
            "error": {"type": "validation_error", "message": "limit\nis   too large"},
            "data": "words",
        },
    ],
)
def test_both_error_formats_are_quoted_on_one_line(body: dict[str, Any]) -> None:
    assert error_text(make_response(body)) == "validation_error: limit is too large"


@pytest.mark.parametrize(
    "body",
    ["", "<html>my words</html>", "null", "[]", {"error": "words"}, {"errors": {}}, {"error": 5}],
)
def test_other_bodies_are_not_quoted(body: Any) -> None:
    assert error_text(make_response(body)) == ""


def test_token_in_an_error_is_masked() -> None:
    response = make_response({"error": {"type": "x", "message": f"bad token {TOKEN}!"}})
    assert error_text(response) == "x: bad token ***!"


def test_form_secrets_in_an_error_are_masked() -> None:
    form = {"client_id": "id", "client_secret": TOKEN[:9], "refresh_token": f"{TOKEN}/+&"}
    response = make_response({"error": {"type": "x", "message": f"id {TOKEN[:9]} {TOKEN}/+&."}})
    response.request = requests.Request("POST", "http://drift.test/", data=form).prepare()
    assert error_text(response) == "x: id *** ***."


def test_long_error_is_shortened() -> None:
    response = make_response({"error": {"message": "words " * 1000}})
    assert len(error_text(response)) <= 300


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ({"Location": "https://user:pw@elsewhere.test:444/path?token=1"}, "https://elsewhere.test"),
        ({"Location": "/other"}, "an unknown host"),
        ({}, "an unknown host"),
    ],
)
def test_redirect_target_is_scheme_and_host_only(headers: dict[str, str], target: str) -> None:
    assert redirect_host(make_response("", **headers)) == target
