"""Tests of the paginators: next links, loops, and time windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import requests
from faults import page
from runs import sync
from singer_sdk.exceptions import FatalAPIError

from tap_drift.api.paginators import (
    MEETINGS_LIMIT,
    NextLinkPaginator,
    PagePaginator,
    WindowPaginator,
)
from tap_drift.api.responses import Page
from tap_drift.exceptions import EndlessPaginationError, StreamsFailedError

if TYPE_CHECKING:
    from fake_drift import FakeDrift


def row(conversation_id: int) -> dict[str, Any]:
    return {"id": conversation_id, "updatedAt": 1686303381300}


def link(token: str) -> str:
    return f"https://api.drift.com/conversations/list?page_token={token}"


def page_of(count: int) -> Page:
    return Page([{"id": number, "slotStart": number % 8} for number in range(count)])


def windows(paginator: WindowPaginator, counts: list[int]) -> list[tuple[int, int]]:
    """Follow a page with each number of rows; return the window of each request."""
    requested = []
    for count in counts:
        query = parse_qs(paginator.current_value or "")
        # The query has one millisecond more.
        requested.append((int(query["min_start_time"][0]), int(query["max_start_time"][0]) - 1))
        paginator.is_complete(page_of(count))
        paginator.follow(page_of(count))
    return requested


# PagePaginator


def test_paginator_starts_at_the_first_query() -> None:
    assert PagePaginator("/users/list").current_value is None
    assert PagePaginator("/users/list", "index=0").current_value == "index=0"


def test_follow_moves_to_the_next_query_and_finishes_without_one() -> None:
    paginator = PagePaginator("/users/list")
    paginator.follow(Page([], next_query="index=65"))
    assert (paginator.current_value, paginator.finished) == ("index=65", False)
    paginator.follow(Page([]))
    assert paginator.finished
    assert paginator.count == 2


def test_get_next_of_the_sdk_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"call follow\(page\)"):
        PagePaginator("/users/list").get_next(requests.Response())


def test_advance_of_the_sdk_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"call follow\(page\)"):
        NextLinkPaginator("/users/list").advance(requests.Response())


# NextLinkPaginator


def test_page_token_counts_as_visited_whatever_else_is_sent() -> None:
    paginator = NextLinkPaginator("/conversations/list")
    paginator.move_to("page_token=a&request=1")
    assert paginator.has_visited("page_token=a&request=2")
    assert not paginator.has_visited("page_token=b&request=1")


def test_query_without_page_token_counts_as_a_whole() -> None:
    paginator = NextLinkPaginator("/accounts")
    paginator.move_to("index=65&size=65")
    assert paginator.has_visited("index=65&size=65")
    assert not paginator.has_visited("index=130&size=65")


def test_loop_error_names_path_and_page() -> None:
    paginator = NextLinkPaginator("/accounts")
    paginator.move_to("index=65")
    paginator.move_to("index=130")
    message = "Pagination loop on /accounts: page 3 links to a page already read"
    with pytest.raises(EndlessPaginationError, match=message):
        paginator.move_to("index=65")


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_loop_of_any_length_fails_the_stream(
    length: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    links = [link(f"{number % length}&request={number}") for number in range(50)]
    loop = [page(row(number), next=links[number]) for number in range(50)]
    drift.faults.extend([page(row(100), next=link("start")), *loop])
    with pytest.raises(StreamsFailedError, match="links to a page already read"):
        sync(config)
    assert len(drift.requests) == length + 2


def test_each_page_is_requested_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(drift.requests) == 3


def test_next_request_has_the_query_of_the_link_only(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    token = "YWJj%2BZGVm%3D%3D+x/y~z"
    drift.faults.extend([page(row(1), next=link(token)), page(row(2))])
    sync(config | {"statuses": ["open"]})
    assert drift.requests[1] == f"/conversations/list?page_token={token}"


def test_page_without_rows_is_not_the_last(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.extend([page(next=link("a")), page(row(1), next=link("b")), page(next=link("c"))])
    drift.faults.append(page(row(2)))
    assert sync(config).record_ids() == [1, 2]


@pytest.mark.parametrize("links", [{}, {"next": None}, {"next": ""}])
def test_page_without_next_link_is_the_last(
    links: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([page(row(1), next=link("a")), page(row(2), **links)])
    assert sync(config).record_ids() == [1, 2]
    assert len(drift.requests) == 2


# WindowPaginator


def test_window_with_few_rows_is_read_once() -> None:
    paginator = WindowPaginator("/meetings", 0, 7, "slotStart")
    assert windows(paginator, [99]) == [(0, 7)]
    assert paginator.finished


@pytest.mark.parametrize("full", [100, 1000])
def test_full_window_is_halved_until_its_parts_are_not_full(full: int) -> None:
    paginator = WindowPaginator("/meetings", 0, 7, "slotStart")
    assert windows(paginator, [full, full, 1, 0, 99]) == [(0, 7), (0, 3), (0, 1), (2, 3), (4, 7)]
    assert paginator.finished


def test_millisecond_with_fewer_rows_than_the_limit_is_complete() -> None:
    assert WindowPaginator("/meetings", 5, 5, "slotStart").is_complete(
        page_of(MEETINGS_LIMIT - 100)
    )


def test_full_millisecond_is_an_error() -> None:
    paginator = WindowPaginator("/meetings", 5, 5, "slotStart")
    with pytest.raises(FatalAPIError, match=r"/meetings has 1,000 or more rows in one millisec"):
        paginator.is_complete(page_of(MEETINGS_LIMIT))
