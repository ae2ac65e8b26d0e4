"""The sandbox speaks each endpoint as far as it is documented."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_drift import FakeDrift

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_drift.sandbox.data.conversations import Conversation


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeDrift]:
    """The account of `drift-sandbox`, for tests that only read."""
    with FakeDrift(Account.from_seed(1000, seed=1)) as server:
        yield server


def ask(drift: FakeDrift, path: str, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {drift.token}"}
    return requests.get(f"{drift.url}{path}", query, headers=headers, timeout=5)


def data(drift: FakeDrift, path: str, **query: Any) -> Any:
    """The `data` of an answer that must be good."""
    answer = ask(drift, path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def chatty(drift: FakeDrift, at_least: int) -> Conversation:
    """A conversation that has so many messages."""
    account = drift.account
    return next(c for c in account.conversations if len(account.messages(c)) >= at_least)


def test_a_conversation_has_the_listings_fields_and_more(shared: FakeDrift) -> None:
    listed = shared.account.conversations[0]
    found = data(shared, f"/conversations/{listed['id']}")
    assert found.items() >= listed.items()
    assert isinstance(found["participants"], list)


def test_messages_come_50_a_page(shared: FakeDrift) -> None:
    conversation = chatty(shared, 101)
    path = f"/conversations/{conversation['id']}/messages"
    pages: list[list[Any]] = []
    query: dict[str, Any] = {}
    while True:
        answer = ask(shared, path, **query).json()
        pages.append(answer["data"]["messages"])
        if not answer["pagination"]["more"]:
            break
        query = {"next": answer["pagination"]["next"]}
    assert {len(page) for page in pages[:-1]} == {50}
    assert list(chain(*pages)) == shared.account.messages(conversation)


def test_the_next_page_is_a_number_or_text(shared: FakeDrift) -> None:
    path = f"/conversations/{chatty(shared, 101)['id']}/messages"
    first, second = (ask(shared, path, next=page).json()["pagination"] for page in ("", 1))
    assert (first["next"], second["next"]) == (1, "2")


def test_a_page_of_messages_after_the_last_is_empty(shared: FakeDrift) -> None:
    answer = ask(shared, f"/conversations/{chatty(shared, 2)['id']}/messages", next=9)
    assert answer.json() == {"data": {"messages": []}, "pagination": {"more": False}}


def test_a_transcript_is_text(shared: FakeDrift) -> None:
    answer = ask(shared, f"/conversations/{chatty(shared, 51)['id']}/transcript")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Visitor: Hi! Does this work with our calendar?\n" in answer.text
    assert "<p>" not in answer.text


def test_stats_count_three_statuses(shared: FakeDrift) -> None:
    answer = ask(shared, "/conversations/stats").json()
    assert answer == {"conversationCount": {"CLOSED": 811, "OPEN": 82, "PENDING": 59}}


def test_a_contact_is_found_by_its_id(shared: FakeDrift) -> None:
    contact_id = shared.account.conversations[0]["contactId"]
    found = data(shared, f"/contacts/{contact_id}")
    assert found.keys() == {"id", "createdAt", "attributes"}
    assert found["id"] == contact_id
    assert {"_END_USER_VERSION", "_end_user_version"} <= found["attributes"].keys()


def test_some_contacts_that_conversations_name_are_gone(shared: FakeDrift) -> None:
    account = shared.account
    named = {c["contactId"] for c in account.conversations if "contactId" in c}
    gone = [contact for contact in named if account.contact(contact) is None]
    assert 0.003 < len(gone) / len(named) < 0.02
    answer = ask(shared, f"/contacts/{gone[0]}")
    assert answer.status_code == 404
    [error] = answer.json()["errors"]
    assert (error["type"], error["code"]) == ("not_found", "CONTACT-1")


def test_the_attributes_of_contacts_are_listed(shared: FakeDrift) -> None:
    listed = data(shared, "/contacts/attributes")["properties"]
    assert {frozenset(entry) for entry in listed} == {frozenset({"type", "displayName", "name"})}
    met = set()
    for conversation in shared.account.conversations:
        if contact := shared.account.contact(conversation.get("contactId", 0)):
            met |= contact["attributes"].keys()
    assert {entry["name"] for entry in listed} == met


def test_accounts_come_in_pages_with_relative_links(shared: FakeDrift) -> None:
    sizes, path = [], "/accounts?index=0&size=65"
    while path:
        page = data(shared, path)
        sizes.append(len(page["accounts"]))
        path = page.get("next", "")
    assert sizes == [65, 65, 20]
    assert page["total"] == 150


def test_a_page_of_accounts_has_ten_unless_told(shared: FakeDrift) -> None:
    page = data(shared, "/accounts")
    assert len(page["accounts"]) == 10
    assert page["next"] == "/accounts?index=10&size=10"


def test_users_include_bots(shared: FakeDrift) -> None:
    users = data(shared, "/users/list")
    assert len(users) == 12
    assert [user["name"] for user in users if user["bot"]] == ["Drift Bot", "Night Bot"]


def test_there_are_four_teams(shared: FakeDrift) -> None:
    assert len(data(shared, "/teams/org")) == 4


def test_meetings_are_sorted_and_both_bounds_count(shared: FakeDrift) -> None:
    times = [meeting["slotStart"] for meeting in shared.account.meetings(0, 2**62)]
    assert times == sorted(times)
    bounds = {"min_start_time": times[3], "max_start_time": times[7]}
    found = data(shared, "/users/meetings/org", **bounds)
    assert [meeting["slotStart"] for meeting in found] == times[3:8]
    bounds = {"min_start_time": times[3] + 1, "max_start_time": times[7] - 1}
    found = data(shared, "/users/meetings/org", **bounds)
    assert [meeting["slotStart"] for meeting in found] == times[4:7]


def test_an_answer_holds_no_more_meetings_than_its_limit() -> None:
    account = Account.from_seed(1500, seed=1)
    bounds = {"min_start_time": 0, "max_start_time": 2**62}
    with FakeDrift(account) as drift:
        assert len(data(drift, "/users/meetings/org", **bounds)) == 100
        assert len(data(drift, "/users/meetings/org", **bounds, limit=7)) == 7
        everything = data(drift, "/users/meetings/org", **bounds, limit=1000)
    assert 100 < len(everything) < 1000


def test_playbooks_and_their_pages_are_bare_arrays(shared: FakeDrift) -> None:
    playbooks = ask(shared, "/playbooks/list").json()
    pages = ask(shared, "/playbooks/clp").json()
    assert {frozenset(page) for page in pages} == {
        frozenset({"playbookId", "playbookName", "landingPageUrl"})
    }
    names = {playbook["id"]: playbook["name"] for playbook in playbooks}
    assert all(names[page["playbookId"]] == page["playbookName"] for page in pages)
    assert len(pages) > len({page["playbookId"] for page in pages})


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
def test_what_is_not_there_is_not_found(path: str, shared: FakeDrift) -> None:
    answer = ask(shared, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/contacts/1", {"limit": 1}),
        ("/accounts", {"size": 66}),
        ("/accounts", {"size": 0}),
        ("/accounts", {"index": -1}),
        ("/users/meetings/org", {"min_start_time": 0}),
        ("/users/meetings/org", {"max_start_time": 0}),
        ("/users/meetings/org", {"min_start_time": 0, "max_start_time": 1, "limit": 1001}),
    ],
)
def test_a_wrong_parameter_is_a_validation_error(
    path: str, query: dict[str, int], shared: FakeDrift
) -> None:
    answer = ask(shared, path, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "validation_error"


def test_a_conversation_can_go_after_it_was_listed(drift: FakeDrift) -> None:
    conversation_id = drift.conversation_ids()[0]
    drift.account.gone.add(conversation_id)
    assert data(drift, "/conversations/list")[0]["id"] == conversation_id
    for path in ("", "/messages", "/transcript"):
        assert ask(drift, f"/conversations/{conversation_id}{path}").status_code == 404


def test_a_contact_can_go(drift: FakeDrift) -> None:
    contact_id = drift.account.conversations[0]["contactId"]
    assert ask(drift, f"/contacts/{contact_id}").status_code == 200
    drift.account.gone.add(contact_id)
    assert ask(drift, f"/contacts/{contact_id}").status_code == 404


def test_a_path_can_go(drift: FakeDrift) -> None:
    drift.account.gone.add("/teams/org")
    assert ask(drift, "/teams/org").status_code == 404
    assert ask(drift, "/users/list").status_code == 200


def test_what_is_said_later_comes_last(drift: FakeDrift) -> None:
    conversation = chatty(drift, 2)
    path = f"/conversations/{conversation['id']}/messages"
    before = data(drift, path)["messages"]
    message_id = drift.add_message(conversation["id"], 1_788_000_000_000)
    after = data(drift, path)["messages"]
    assert after[:-1] == before
    assert after[-1]["id"] == message_id
    ids = [message["id"] for message in after]
    assert all(earlier < later for earlier, later in pairwise(ids))
