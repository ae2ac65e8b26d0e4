"""Failures in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from fake_drift import TOKEN

from tap_drift.api.redaction import error_text, redirect_host


def response(body: Any, **headers: str) -> requests.Response:
    made = requests.Response()
    made._content = (body if isinstance(body, str) else json.dumps(body)).encode()  # noqa: SLF001
    made.headers.update(headers)
    made.request = requests.Request(
        "GET", "http://drift.test/", headers={"Authorization": f"Bearer {TOKEN}"}
    ).prepare()
    return made


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
def test_both_forms_of_drifts_errors_are_quoted_on_one_line(body: dict[str, Any]) -> None:
    assert error_text(response(body)) == "validation_error: limit is too large"


@pytest.mark.parametrize(
    "body",
    ["", "<html>my words</html>", "null", "[]", {"error": "words"}, {"errors": {}}, {"error": 5}],
)
def test_nothing_else_of_an_answer_is_quoted(body: Any) -> None:
    assert error_text(response(body)) == ""


def test_a_token_that_drift_repeats_is_masked() -> None:
    error = error_text(response({"error": {"type": "x", "message": f"bad token {TOKEN}!"}}))
    assert error == "x: bad token ***!"


def test_secrets_of_a_form_that_drift_repeats_are_masked() -> None:
    form = {"client_id": "id", "client_secret": TOKEN[:9], "refresh_token": f"{TOKEN}/+&"}
    answer = response({"error": {"type": "x", "message": f"id {TOKEN[:9]} {TOKEN}/+&."}})
    answer.request = requests.Request("POST", "http://drift.test/", data=form).prepare()
    assert error_text(answer) == "x: id *** ***."


def test_a_long_message_is_cut() -> None:
    assert len(error_text(response({"error": {"message": "words " * 1000}}))) <= 300


def test_of_a_redirect_only_the_host_is_named() -> None:
    redirect = response("", Location="https://user:pw@elsewhere.test:444/path?token=1")
    assert redirect_host(redirect) == "https://elsewhere.test"
    assert redirect_host(response("")) == "an unknown host"
    assert redirect_host(response("", Location="/other")) == "an unknown host"
