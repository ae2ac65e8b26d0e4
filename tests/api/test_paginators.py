"""Walking Drift's pages to their end, and to nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from faults import page
from runs import sync

from tap_drift.exceptions import StreamsFailedError

if TYPE_CHECKING:
    from fake_drift import FakeDrift


def row(conversation_id: int) -> dict[str, Any]:
    return {"id": conversation_id, "updatedAt": 1686303381300}


def link(token: str) -> str:
    return f"https://api.drift.com/conversations/list?page_token={token}"


def test_every_page_is_read_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(drift.requests) == 3


def test_the_next_request_carries_the_links_query_and_nothing_else(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    token = "YWJj%2BZGVm%3D%3D+x/y~z"
    drift.faults.extend([page(row(1), next=link(token)), page(row(2))])
    sync(config | {"statuses": ["open"]})
    assert drift.requests[1] == f"/conversations/list?page_token={token}"


def test_a_page_without_rows_is_not_the_end(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.extend([page(next=link("a")), page(row(1), next=link("b")), page(next=link("c"))])
    drift.faults.append(page(row(2)))
    assert sync(config).record_ids() == [1, 2]


@pytest.mark.parametrize("links", [{}, {"next": None}, {"next": ""}])
def test_a_page_without_a_next_link_is_the_end(
    links: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([page(row(1), next=link("a")), page(row(2), **links)])
    assert sync(config).record_ids() == [1, 2]
    assert len(drift.requests) == 2


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_a_circle_of_any_length_is_an_error(
    length: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    links = [link(f"{number % length}&request={number}") for number in range(50)]
    circle = [page(row(number), next=links[number]) for number in range(50)]
    drift.faults.extend([page(row(100), next=link("start")), *circle])
    with pytest.raises(StreamsFailedError, match="links to a page already read"):
        sync(config)
    assert len(drift.requests) == length + 2
