"""Tests of the text that is quoted of Drift's responses, and of the secrets masked in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from fake_drift import TOKEN

from tap_drift.api.redaction import error_text, redirect_host


def build_response(body: Any = "", **headers: str) -> requests.Response:
    """Build a response to a request with the token."""
    response = requests.Response()
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()  # noqa: SLF001 - requests has no other way to set it
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
def test_both_documented_error_bodies_become_one_line(body: dict[str, Any]) -> None:
    assert error_text(build_response(body)) == "validation_error: limit is too large"


@pytest.mark.parametrize(
    "body",
    ["", "<html>my words</html>", "null", "[]", {"error": "words"}, {"errors": {}}, {"error": 5}],
)
def test_any_other_body_is_not_quoted(body: Any) -> None:
    assert error_text(build_response(body)) == ""


def test_token_repeated_by_drift_is_masked() -> None:
    body = {"error": {"type": "x", "message": f"bad token {TOKEN}!"}}
    assert error_text(build_response(body)) == "x: bad token ***!"


def test_form_secrets_repeated_by_drift_are_masked() -> None:
    form = {"client_id": "id", "client_secret": TOKEN[:9], "refresh_token": f"{TOKEN}/+&"}
    body = {"error": {"type": "x", "message": f"id {TOKEN[:9]} {TOKEN}/+&."}}
    response = build_response(body)
    response.request = requests.Request("POST", "http://drift.test/", data=form).prepare()
    assert error_text(response) == "x: id *** ***."


def test_long_message_is_truncated() -> None:
    assert len(error_text(build_response({"error": {"message": "words " * 1000}}))) == 300


def test_redirect_is_named_by_scheme_and_host_only() -> None:
    redirect = build_response(Location="https://user:pw@elsewhere.test:444/path?token=1")
    assert redirect_host(redirect) == "https://elsewhere.test"


@pytest.mark.parametrize("headers", [{}, {"Location": "/other"}, {"Location": "http://[bad/"}])
def test_redirect_without_a_host_is_to_an_unknown_host(headers: dict[str, str]) -> None:
    assert redirect_host(build_response(**headers)) == "an unknown host"
