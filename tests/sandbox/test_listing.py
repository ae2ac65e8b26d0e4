"""`GET /conversations/list`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

if TYPE_CHECKING:
    from fake_drift import FakeDrift


def get(drift: FakeDrift, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {drift.token}"}
    return requests.get(f"{drift.url}/conversations/list", query, headers=headers, timeout=5)


def ids(answer: requests.Response) -> list[int]:
    return [row["id"] for row in answer.json()["data"]]


def next_token(answer: requests.Response) -> str:
    """The token of the next page; blank on the last page."""
    link: str = answer.json()["links"].get("next", "")
    query: dict[str, list[str]] = parse_qs(urlsplit(link).query)
    return query.get("page_token", [""])[0]


def walk(drift: FakeDrift, **query: Any) -> list[list[int]]:
    """The ids of each page."""
    answer = get(drift, page_token="", **query)
    pages = [ids(answer)]
    while token := next_token(answer):
        answer = get(drift, page_token=token)
        pages.append(ids(answer))
    return pages


def test_default_page_has_25_rows_of_documented_fields(drift: FakeDrift) -> None:
    rows = get(drift).json()["data"]
    assert len(rows) == 25
    fields = {"status", "contactId", "createdAt", "id", "inboxId", "updatedAt"}
    assert set().union(*rows) == fields


def test_rows_are_ordered_by_last_update(drift: FakeDrift) -> None:
    updates = [row["updatedAt"] for row in get(drift, limit=100).json()["data"]]
    assert updates == sorted(updates, reverse=True)


@pytest.mark.parametrize(("limit", "sizes"), [(100, [100, 100, 50]), (50, [50] * 5)])
def test_pages_keep_the_limit_and_list_every_row_once(
    limit: int, sizes: list[int], drift: FakeDrift
) -> None:
    pages = walk(drift, limit=limit)
    assert [len(page) for page in pages] == sizes
    assert list(chain(*pages)) == drift.conversation_ids()


def test_status_filter_repeats_and_is_kept_by_tokens(drift: FakeDrift) -> None:
    wanted = [c["id"] for c in drift.account.conversations if c["status"] in {"open", "pending"}]
    pages = walk(drift, limit=10, statusId=[1, 3])
    assert len(pages) > 1
    assert list(chain(*pages)) == wanted


@pytest.mark.parametrize("name", ["next", "self"])
def test_links_name_drifts_host(name: str, drift: FakeDrift) -> None:
    link = get(drift).json()["links"][name]
    assert link.startswith("https://api.drift.com/conversations/list?page_token=")


def test_page_token_is_a_position_and_not_an_offset(drift: FakeDrift) -> None:
    first = get(drift, limit=100)
    moved = drift.conversation_ids()[150]
    drift.update_conversation(moved, drift.account.conversations[0]["updatedAt"] + 1)
    second = ids(get(drift, page_token=next_token(first)))
    assert not set(second) & set(ids(first))
    assert moved not in second


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": -1},
        {"limit": "abc"},
        {"statusId": 4},
        {"statusId": [1, "x"]},
        {"page_token": "nonsense"},
        {"page_token": "aaaa"},
    ],
)
def test_invalid_parameter_is_a_validation_error(query: dict[str, Any], drift: FakeDrift) -> None:
    answer = get(drift, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "validation_error"
