"""The sandbox speaks the listing as Drift documents it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

if TYPE_CHECKING:
    from fake_drift import FakeDrift


def get(drift: FakeDrift, path: str = "/conversations/list", **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {drift.token}"}
    return requests.get(f"{drift.url}{path}", query, headers=headers, timeout=5)


def ids(answer: requests.Response) -> list[int]:
    return [row["id"] for row in answer.json()["data"]]


def next_token(answer: requests.Response) -> str:
    """The next page's token; empty if there is none."""
    link: str = answer.json()["links"].get("next", "?page_token=")
    [(_, token)] = parse_qsl(urlsplit(link).query, keep_blank_values=True)
    return token


def walk(drift: FakeDrift, **query: Any) -> list[list[int]]:
    """The ids on each page."""
    answer = get(drift, page_token="", **query)
    pages = [ids(answer)]
    while token := next_token(answer):
        answer = get(drift, page_token=token)
        pages.append(ids(answer))
    return pages


def test_the_default_page_has_25_rows_of_the_documented_fields(drift: FakeDrift) -> None:
    rows = get(drift).json()["data"]
    assert len(rows) == 25
    fields = {"status", "contactId", "createdAt", "id", "inboxId", "updatedAt"}
    assert set().union(*rows) == fields


def test_a_walk_meets_everything_once_and_keeps_the_limit(drift: FakeDrift) -> None:
    pages = walk(drift, limit=100)
    assert [len(page) for page in pages] == [100, 100, 50]
    assert list(chain(*pages)) == drift.conversation_ids()


def test_the_last_full_page_has_no_next(drift: FakeDrift) -> None:
    assert [len(page) for page in walk(drift, limit=50)] == [50] * 5


def test_the_filter_is_kept_and_can_be_repeated(drift: FakeDrift) -> None:
    wanted = {"open", "pending"}
    chosen = [c["id"] for c in drift.account.conversations if c["status"] in wanted]
    assert list(chain(*walk(drift, limit=10, statusId=[1, 3]))) == chosen


def test_links_name_drifts_own_host(drift: FakeDrift) -> None:
    links = get(drift).json()["links"]
    assert links["next"].startswith("https://api.drift.com/conversations/list?page_token=")
    assert links["self"].startswith("https://api.drift.com/conversations/list?page_token=")


def test_a_token_is_a_place_and_not_a_number(drift: FakeDrift) -> None:
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
def test_what_is_out_of_bounds_is_a_validation_error(
    query: dict[str, Any], drift: FakeDrift
) -> None:
    answer = get(drift, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "validation_error"


def test_without_the_token_there_is_no_answer(drift: FakeDrift) -> None:
    answer = requests.get(f"{drift.url}/conversations/list", timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"] == {
        "type": "authentication_error",
        "message": "The access token is invalid or has expired",
    }


def test_anything_else_is_not_found(drift: FakeDrift) -> None:
    answer = get(drift, "/conversations")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"
