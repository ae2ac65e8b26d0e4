"""All endpoints except the listing and the tokens."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_drift import FakeDrift

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.sandbox.data.conversations import Conversation

MEETINGS = "/users/meetings/org"


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeDrift]:
    """The default account of `drift-sandbox`, for tests that do not change it."""
    with FakeDrift(Account.from_seed(1000, seed=1)) as server:
        yield server


def get(drift: FakeDrift, path: str, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {drift.token}"}
    return requests.get(f"{drift.url}{path}", query, headers=headers, timeout=5)


def data(drift: FakeDrift, path: str, **query: Any) -> Any:
    """The `data` of a successful answer."""
    answer = get(drift, path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def conversation_with(drift: FakeDrift, messages: int) -> Conversation:
    """A conversation with at least this number of messages."""
    account = drift.account
    return next(c for c in account.conversations if len(account.messages(c)) >= messages)


def test_conversation_has_the_listings_fields_and_more(shared: FakeDrift) -> None:
    listed = shared.account.conversations[0]
    found = data(shared, f"/conversations/{listed['id']}")
    assert found.items() > listed.items()


def test_messages_have_pages_of_50(shared: FakeDrift) -> None:
    conversation = conversation_with(shared, 101)
    path = f"/conversations/{conversation['id']}/messages"
    messages: list[Any] = []
    sizes, following = [], []
    pagination: dict[str, Any] = {"more": True, "next": ""}
    while pagination["more"]:
        answer = get(shared, path, next=pagination["next"]).json()
        messages += answer["data"]["messages"]
        sizes.append(len(answer["data"]["messages"]))
        pagination = answer["pagination"]
        following.append(pagination.get("next"))
    assert messages == shared.account.messages(conversation)
    assert set(sizes[:-1]) == {50}
    assert following[:2] == [1, "2"], "the next page is a number or a string"


def test_transcript_is_plain_text_without_tags(shared: FakeDrift) -> None:
    answer = get(shared, f"/conversations/{conversation_with(shared, 51)['id']}/transcript")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Visitor: Hi! Does this work with our calendar?\n" in answer.text
    assert "<p>" not in answer.text


def test_stats_count_three_statuses(shared: FakeDrift) -> None:
    counts = Counter(c["status"] for c in shared.account.conversations)
    assert get(shared, "/conversations/stats").json() == {
        "conversationCount": {
            "CLOSED": counts["closed"],
            "OPEN": counts["open"],
            "PENDING": counts["pending"],
        }
    }


def test_missing_contact_has_its_own_error_format(shared: FakeDrift) -> None:
    answer = get(shared, "/contacts/1")
    assert answer.status_code == 404
    [error] = answer.json()["errors"]
    assert (error["type"], error["code"]) == ("not_found", "CONTACT-1")


def test_contact_attributes_name_all_that_occur(shared: FakeDrift) -> None:
    occurring = set()
    for conversation in shared.account.conversations:
        if contact := shared.account.contact(conversation.get("contactId", 0)):
            occurring |= contact["attributes"].keys()
    listed = data(shared, "/contacts/attributes")["properties"]
    assert {attribute["name"] for attribute in listed} == occurring


@pytest.mark.parametrize(("query", "sizes"), [("", [10] * 15), ("?size=65", [65, 65, 20])])
def test_accounts_have_pages_with_relative_links(
    query: str, sizes: list[int], shared: FakeDrift
) -> None:
    rows, found, path = [], [], f"/accounts{query}"
    while path:
        page = data(shared, path)
        rows += page["accounts"]
        found.append(len(page["accounts"]))
        path = page.get("next", "")
        assert page["total"] == 150
    assert found == sizes
    assert rows == shared.account.customer_accounts


def test_meetings_are_sorted_bounded_and_limited(shared: FakeDrift) -> None:
    times = [meeting["slotStart"] for meeting in shared.account.meetings(0, 2**62)]
    assert times == sorted(times)
    bounds = {"min_start_time": times[3], "max_start_time": times[7]}
    assert [m["slotStart"] for m in data(shared, MEETINGS, **bounds)] == times[3:8]
    bounds = {"min_start_time": times[3] + 1, "max_start_time": times[7] - 1}
    assert [m["slotStart"] for m in data(shared, MEETINGS, **bounds)] == times[4:7]
    assert [m["slotStart"] for m in data(shared, MEETINGS, **bounds, limit=2)] == times[4:6]


@pytest.mark.parametrize(
    "path",
    [
        "/conversations/1",
        "/conversations/1/messages",
        "/conversations/1/transcript",
        "/conversations/1/nothing",
        "/users",
        "/oauth2/token",
    ],
)
def test_unknown_path_or_id_is_not_found(path: str, shared: FakeDrift) -> None:
    answer = get(shared, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/contacts/1", {"limit": 1}),
        ("/accounts", {"size": 66}),
        ("/accounts", {"size": 0}),
        ("/accounts", {"index": -1}),
        (MEETINGS, {"min_start_time": 0}),
        (MEETINGS, {"max_start_time": 0}),
        (MEETINGS, {"min_start_time": 0, "max_start_time": 1, "limit": 1001}),
    ],
)
def test_invalid_parameter_is_a_validation_error(
    path: str, query: dict[str, int], shared: FakeDrift
) -> None:
    answer = get(shared, path, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "validation_error"


def test_deleted_conversation_is_listed_but_not_found(drift: FakeDrift) -> None:
    conversation_id = drift.conversation_ids()[0]
    drift.account.deleted.add(conversation_id)
    assert data(drift, "/conversations/list")[0]["id"] == conversation_id
    for path in ("", "/messages", "/transcript"):
        assert get(drift, f"/conversations/{conversation_id}{path}").status_code == 404


def test_deleted_contact_or_path_is_not_found(drift: FakeDrift) -> None:
    contact_id = drift.account.conversations[0]["contactId"]
    paths = [f"/contacts/{contact_id}", "/teams/org"]
    assert [get(drift, path).status_code for path in paths] == [200, 200]
    drift.account.deleted |= {contact_id, "/teams/org"}
    assert [get(drift, path).status_code for path in paths] == [404, 404]


def test_attachment_is_a_png(shared: FakeDrift) -> None:
    messages = (m for c in shared.account.conversations for m in shared.account.messages(c))
    [attachment, *_] = next(m["attachments"] for m in messages if "attachments" in m)
    answer = get(shared, f"/attachments/{attachment['id']}/data")
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert get(shared, f"/attachments/{attachment['id'] + 1}/data").status_code == 404
