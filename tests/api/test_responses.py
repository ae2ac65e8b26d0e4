"""Drift's answers, checked and taken apart."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import requests

from tap_drift.api.responses import parse_listing
from tap_drift.exceptions import UnexpectedResponseError

LINK = "https://api.drift.com/conversations/list?page_token=YWJj%2BZGVm%3D%3D"


def response(body: Any) -> requests.Response:
    made = requests.Response()
    made._content = (body if isinstance(body, str) else json.dumps(body)).encode()  # noqa: SLF001
    return made


def test_a_page_has_rows_and_the_query_of_its_next_link_as_it_stands() -> None:
    page = parse_listing(response({"data": [{"id": 1}], "links": {"next": LINK}}))
    assert page.rows == [{"id": 1}]
    assert page.next_query == "page_token=YWJj%2BZGVm%3D%3D"


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"data": [], "links": None},
        {"data": [], "links": {}},
        {"data": [], "links": {"next": None}},
        {"data": [], "links": {"next": ""}},
    ],
)
def test_without_a_next_link_it_is_the_last_page(answer: dict[str, Any]) -> None:
    assert parse_listing(response(answer)).next_query is None


@pytest.mark.parametrize(
    "answer",
    ["", "<html>", '{"data": [', "null", "[]", "{}", {"data": None}, {"data": {}}, {"data": [1]}],
)
def test_what_holds_no_rows_is_never_an_empty_page(answer: Any) -> None:
    with pytest.raises(UnexpectedResponseError):
        parse_listing(response(answer))


@pytest.mark.parametrize("link", ["https://api.drift.com/conversations/list", 5, {"href": LINK}])
def test_a_next_link_that_leads_nowhere_is_not_the_end(link: Any) -> None:
    with pytest.raises(UnexpectedResponseError):
        parse_listing(response({"data": [], "links": {"next": link}}))


@pytest.mark.parametrize("links", [[], [LINK], LINK, 5])
def test_links_that_are_no_object_are_not_the_end(links: Any) -> None:
    with pytest.raises(UnexpectedResponseError):
        parse_listing(response({"data": [], "links": links}))


def test_the_complaint_quotes_nothing_of_the_answer() -> None:
    with pytest.raises(UnexpectedResponseError) as error:
        parse_listing(response({"messages": "my password is hunter2"}))
    assert "hunter2" not in str(error.value)


def test_numbers_keep_their_digits() -> None:
    page = parse_listing(
        response('{"data": [{"id": 9007199254740993, "score": 0.10000000000000000001}]}')
    )
    assert page.rows == [{"id": 9007199254740993, "score": Decimal("0.10000000000000000001")}]
