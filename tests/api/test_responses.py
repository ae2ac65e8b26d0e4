"""Tests of the parsing of Drift's responses."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_drift.api.responses import (
    Page,
    parse_accounts,
    parse_counts,
    parse_listing,
    parse_messages,
    parse_object,
    parse_rows,
    parse_text,
)
from tap_drift.exceptions import UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

    Parser = Callable[[requests.Response], Page]

LINK = "https://api.drift.com/conversations/list?page_token=YWJj%2BZGVm%3D%3D"
JSON_PARSERS = [
    parse_accounts,
    parse_counts,
    parse_listing,
    parse_messages,
    parse_object,
    parse_rows,
]


def build_response(body: Any) -> requests.Response:
    """Build a response; a body that is not text is sent as JSON."""
    response = requests.Response()
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()  # noqa: SLF001 - requests has no other way to set it
    return response


def test_page_iterates_over_its_rows() -> None:
    assert list(Page([{"id": 1}, {"id": 2}])) == [{"id": 1}, {"id": 2}]


# All JSON responses


@pytest.mark.parametrize("body", ["", "<html>", '{"data": [', "null", "5", '"words"', "[" * 10**5])
@pytest.mark.parametrize("parse", JSON_PARSERS)
def test_response_that_is_no_json_object_is_refused(parse: Parser, body: str) -> None:
    with pytest.raises(UnexpectedResponseError):
        parse(build_response(body))


@pytest.mark.parametrize("parse", JSON_PARSERS)
def test_error_message_does_not_quote_the_body(parse: Parser) -> None:
    with pytest.raises(UnexpectedResponseError) as error:
        parse(build_response({"data": ["my password is hunter2"], "conversationCount": "hunter2"}))
    assert "hunter2" not in str(error.value)


def test_numbers_keep_their_digits() -> None:
    body = '{"data": [{"id": 9007199254740993, "score": 0.10000000000000000001}]}'
    assert parse_rows(build_response(body)).rows == [
        {"id": 9007199254740993, "score": Decimal("0.10000000000000000001")}
    ]


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    body = r'{"data": [{"id": 1, "\ud83c": "cut \ud83d", "whole": ["\ud83c\udf89"], "n": 0.10}]}'
    assert parse_rows(build_response(body)).rows == [
        {"id": 1, "\ufffd": "cut \ufffd", "whole": ["\U0001f389"], "n": Decimal("0.10")}
    ]


# The listing of conversations


def test_listing_has_rows_and_the_query_of_the_next_link() -> None:
    page = parse_listing(build_response({"data": [{"id": 1}], "links": {"next": LINK}}))
    assert page == Page([{"id": 1}], "page_token=YWJj%2BZGVm%3D%3D")


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [], "links": None},
        {"data": [], "links": {}},
        {"data": [], "links": {"next": None}},
        {"data": [], "links": {"next": ""}},
    ],
)
def test_listing_without_next_link_is_the_last_page(body: dict[str, Any]) -> None:
    assert parse_listing(build_response(body)).next_query is None


@pytest.mark.parametrize("body", ["[]", "{}", {"data": None}, {"data": {}}, {"data": [1]}])
def test_listing_without_rows_is_not_an_empty_page(body: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match="objects in `data`"):
        parse_listing(build_response(body))


@pytest.mark.parametrize("link", ["https://api.drift.com/conversations/list", 5, {"href": LINK}])
def test_next_link_without_a_query_is_refused(link: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match=r"`links\.next` that is not a link"):
        parse_listing(build_response({"data": [], "links": {"next": link}}))


@pytest.mark.parametrize("links", [[], [LINK], LINK, 5])
def test_links_that_are_no_object_are_refused(links: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match="`links` that is not an object"):
        parse_listing(build_response({"data": [], "links": links}))


# Complete lists and single objects


@pytest.mark.parametrize("body", [{"data": [{"id": 1}]}, [{"id": 1}]])
def test_rows_are_read_with_and_without_data_around_them(body: Any) -> None:
    assert parse_rows(build_response(body)) == Page([{"id": 1}])


def test_rows_are_read_under_a_key() -> None:
    response = build_response({"data": {"properties": [{"name": "email"}]}})
    assert parse_rows(response, key="properties") == Page([{"name": "email"}])


def test_rows_missing_under_a_key_are_refused() -> None:
    with pytest.raises(UnexpectedResponseError, match=r"objects in `data\.properties`"):
        parse_rows(build_response({"data": {"other": []}}), key="properties")


def test_object_is_a_page_with_one_row() -> None:
    assert parse_object(build_response({"data": {"id": 1}})) == Page([{"id": 1}])


@pytest.mark.parametrize("data", [None, [], 5, "words"])
def test_object_of_another_type_is_refused(data: Any) -> None:
    with pytest.raises(UnexpectedResponseError):
        parse_object(build_response({"data": data}))


# Messages


@pytest.mark.parametrize("number", [50, "50"])
def test_messages_have_the_number_of_the_next_page(number: int | str) -> None:
    body = {"data": {"messages": [{"id": 1}]}, "pagination": {"more": True, "next": number}}
    assert parse_messages(build_response(body)) == Page([{"id": 1}], "next=50")


@pytest.mark.parametrize(
    "pagination", [None, {}, {"more": False}, {"more": False, "next": 50}, {"next": ""}]
)
def test_messages_without_more_are_the_last_page(pagination: Any) -> None:
    body = {"data": {"messages": []}, "pagination": pagination}
    assert parse_messages(build_response(body)) == Page([])


def test_messages_with_more_but_no_next_are_truncated() -> None:
    body = {"data": {"messages": []}, "pagination": {"more": True}}
    assert parse_messages(build_response(body)) == Page([], is_truncated=True)


@pytest.mark.parametrize("number", [True, 5.5, [50], {"page": 50}])
def test_next_page_that_is_no_number_is_refused(number: Any) -> None:
    body = {"data": {"messages": []}, "pagination": {"more": True, "next": number}}
    with pytest.raises(UnexpectedResponseError, match=r"`pagination\.next`"):
        parse_messages(build_response(body))


# Accounts, counts, transcripts


def test_accounts_have_rows_total_and_next_query() -> None:
    data = {"accounts": [{"accountId": "a"}], "total": 70, "next": "/accounts?index=65&size=65"}
    page = parse_accounts(build_response({"data": data}))
    assert page == Page([{"accountId": "a"}], "index=65&size=65", total=70)


@pytest.mark.parametrize("total", [None, "70", True, 7.0])
def test_accounts_total_of_another_type_is_ignored(total: Any) -> None:
    body = {"data": {"accounts": [], "total": total, "next": None}}
    assert parse_accounts(build_response(body)) == Page([])


def test_counts_become_a_row_for_each_status() -> None:
    body = {"conversationCount": {"OPEN": 3, "CLOSED": 0}}
    expected = [
        {"status": "OPEN", "conversationCount": 3},
        {"status": "CLOSED", "conversationCount": 0},
    ]
    assert parse_counts(build_response(body)).rows == expected
    assert parse_counts(build_response({"data": body})).rows == expected


@pytest.mark.parametrize("body", ["{}", {"conversationCount": {}}, {"conversationCount": None}])
def test_missing_counts_are_refused(body: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match="without a `conversationCount`"):
        parse_counts(build_response(body))


@pytest.mark.parametrize("text", ["", "Zoë: hello", '{"quoted" text', "a < b"])
def test_transcript_is_the_text(text: str) -> None:
    assert parse_text(build_response(text)) == Page([{"transcript": text}])


@pytest.mark.parametrize("text", ["<!DOCTYPE html><p>", " \n<html>", "<HTML lang=en>"])
def test_web_page_instead_of_a_transcript_is_refused(text: str) -> None:
    with pytest.raises(UnexpectedResponseError, match="a web page"):
        parse_text(build_response(text))
