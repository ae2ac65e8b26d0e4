"""The streams that are read completely in every run."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_drift import FakeDrift, FakeDriftHandler
from faults import answer
from runs import catalog, catalog_entry, sync, sync_failing
from seeds import positions

from tap_drift.sandbox.data.contacts import CONTACT_ATTRIBUTES
from tap_drift.sandbox.server import Answer

if TYPE_CHECKING:
    from faults import Fault
    from runs import CapturedMessages

PATHS = {
    "accounts": "/accounts",
    "contact_attributes": "/contacts/attributes",
    "users": "/users/list",
    "teams": "/teams/org",
    "meetings": "/users/meetings/org",
    "playbooks": "/playbooks/list",
    "landing_pages": "/playbooks/clp",
    "conversation_stats": "/conversations/stats",
}
KEYS = {
    "accounts": ["accountId"],
    "contact_attributes": ["name"],
    "users": ["id"],
    "teams": ["id"],
    "meetings": ["slug"],
    "playbooks": ["id"],
    "landing_pages": ["playbookId", "landingPageUrl"],
    "conversation_stats": ["status"],
}
TIMES = {
    "accounts": {"createDateTime", "updateDateTime"},
    "users": {"createdAt", "updatedAt"},
    "teams": {"updatedAt"},
    "meetings": {"slotStart", "slotEnd", "updatedAt", "scheduledAt"},
    "playbooks": {"createdAt", "updatedAt"},
}
FITTED = {"customProperties"}
"""Columns whose members are fitted to the schema: tests/streams/test_nested.py."""

WITH_VERSIONS = {"emit_activate_version_messages": True}


def source_rows(drift: FakeDrift, stream: str) -> list[dict[str, Any]]:
    """Return every row of the account that belongs to a stream."""
    account = drift.account
    statuses = [conversation["status"].upper() for conversation in account.conversations]
    rows: dict[str, list[dict[str, Any]]] = {
        "accounts": account.customer_accounts,
        "contact_attributes": CONTACT_ATTRIBUTES,
        "users": account.users,
        "teams": account.teams,
        "meetings": list(account.meetings(0, 2**62)),
        "playbooks": account.playbooks,
        "landing_pages": account.landing_pages,
        "conversation_stats": [
            {"status": status, "conversationCount": statuses.count(status)}
            for status in ("CLOSED", "OPEN", "PENDING")
        ],
    }
    return rows[stream]


def message_types(messages: CapturedMessages) -> set[str]:
    return {message["type"] for message in messages.all}


# All streams


@pytest.mark.parametrize("stream", PATHS)
def test_every_row_is_emitted_once_in_order(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config, catalog=catalog(stream))
    assert messages.all[0]["key_properties"] == KEYS[stream]
    keys = [[record[key] for key in KEYS[stream]] for record in messages.records(stream)]
    assert keys == [[row[key] for key in KEYS[stream]] for row in source_rows(drift, stream)]
    assert len(set(map(tuple, keys))) == len(keys) > 2
    assert {urlsplit(path).path for path in drift.requests} == {PATHS[stream]}
    assert "replication_key_value" not in messages.state()["bookmarks"].get(stream, {})


@pytest.mark.parametrize("stream", PATHS)
def test_only_times_are_changed(stream: str, drift: FakeDrift, config: dict[str, Any]) -> None:
    records = sync(config, catalog=catalog(stream)).records(stream)
    for record, row in zip(records, source_rows(drift, stream), strict=True):
        changed = {name for name in row if row[name] != record[name]}
        assert changed - FITTED == TIMES.get(stream, set()) & set(row)
        assert all(record[name].endswith("+00:00") for name in changed - FITTED)


@pytest.mark.parametrize("stream", ["users", "teams", "playbooks", "landing_pages", "meetings"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_rows_may_be_wrapped_in_data(
    is_wrapped: bool,  # noqa: FBT001 - both forms that Drift answers with
    stream: str,
    drift: FakeDrift,
    config: dict[str, Any],
) -> None:
    rows = source_rows(drift, stream)[:2]
    drift.faults.append(answer(body={"data": rows} if is_wrapped else rows))
    assert len(sync(config, catalog=catalog(stream)).records(stream)) == 2


def test_conversation_counts_may_be_wrapped_in_data(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(body={"data": {"conversationCount": {"OPEN": 3}}}))
    records = sync(config, catalog=catalog("conversation_stats")).records("conversation_stats")
    assert records == [{"status": "OPEN", "conversationCount": 3}]


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("stream", PATHS)
@pytest.mark.parametrize("body", ["<html>", {}, {"data": None}, {"data": ["words"]}, "null"])
def test_unexpected_answer_fails_the_stream(
    body: Any, stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path[PATHS[stream]] = answer(200, body)
    messages, error = sync_failing(config, catalog=catalog(stream))
    assert f"{PATHS[stream]} failed for" in error
    assert messages.records(stream) == []
    assert "words" not in error
    assert len(drift.requests) > 1


@pytest.mark.parametrize("stream", [name for name in PATHS if name != "conversation_stats"])
def test_row_without_key_fails_the_stream(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    bodies: dict[str, Any] = {
        "accounts": {"data": {"accounts": [{}]}},
        "contact_attributes": {"data": {"properties": [{}]}},
    }
    drift.faults_by_path[PATHS[stream]] = answer(body=bodies.get(stream, {"data": [{}]}))
    _, error = sync_failing(config, catalog=catalog(stream))
    assert f"a row of `{stream}` without a usable `{KEYS[stream][0]}`" in error


def test_failed_stream_leaves_the_others_complete(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["/teams/org"] = answer(403)
    messages, error = sync_failing(config, catalog=catalog(*PATHS))
    assert "`user_read`" in error
    assert "1 of 8 streams failed: teams" in error
    for stream in set(PATHS) - {"teams"}:
        assert len(messages.records(stream)) == len(source_rows(drift, stream))


# Accounts


def accounts_page(*ids: str, **fields: Any) -> Fault:
    accounts = [{"accountId": account_id} for account_id in ids]
    return answer(body={"data": {"accounts": accounts, **fields}})


def test_accounts_are_read_by_pages_of_the_largest_size(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    sync(config, catalog=catalog("accounts"))
    assert drift.requests == [f"/accounts?index={index}&size=65" for index in (0, 65, 130)]


@pytest.mark.parametrize("fields", [{}, {"next": None}, {"next": ""}])
def test_accounts_end_at_the_page_without_next(
    fields: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    next_page = "/accounts?index=1&size=1"
    drift.faults.extend([accounts_page("a", next=next_page), accounts_page("b", **fields)])
    records = sync(config, catalog=catalog("accounts")).records("accounts")
    assert [record["accountId"] for record in records] == ["a", "b"]
    assert drift.requests[1] == next_page


@pytest.mark.parametrize("total", [0, 1, 3, None, "2"])
def test_wrong_total_of_accounts_loses_no_row(
    total: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = accounts_page("a", next="/accounts?index=1&size=1", total=total)
    drift.faults.extend([first, accounts_page("b", total=total)])
    assert len(sync(config, catalog=catalog("accounts")).records("accounts")) == 2


def test_pagination_loop_of_accounts_fails_the_stream(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    next_page = "/accounts?index=65&size=65"
    drift.faults.extend(accounts_page(account_id, next=next_page) for account_id in "abc")
    _, error = sync_failing(config, catalog=catalog("accounts"))
    assert "links to a page already read" in error
    assert len(drift.requests) == 2


# Meetings


class MeetingsHandler(FakeDriftHandler):
    """Answers with the meetings of a time window, truncated at the limit without a sign of it."""

    starts: list[int]
    includes_end: bool

    def answer(self) -> Answer:
        query = {name: int(value) for name, [value] in parse_qs(urlsplit(self.path).query).items()}
        window = range(query["min_start_time"], query["max_start_time"] + self.includes_end)
        found = [
            {"slug": f"m{number}", "slotStart": start}
            for number, start in enumerate(self.starts)
            if start in window
        ]
        return Answer(HTTPStatus.OK, {"data": found[: query["limit"]]})


def set_meetings(drift: FakeDrift, start_times: list[int], *, includes_end: bool = True) -> None:
    """Give the account one meeting for each of these start times, in epoch milliseconds.

    Args:
        drift: The server.
        start_times: The start times.
        includes_end: Whether Drift includes the end of a time window, which is not documented.
    """
    is_inclusive = includes_end

    class Handler(MeetingsHandler):
        starts = start_times
        includes_end = is_inclusive

    drift.RequestHandlerClass = Handler


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "interval", "most_requests"),
    [
        (0, 1, 1),
        (1, 1, 1),
        (99, 1, 1),
        (999, 1, 1),
        (100, 86_400_000, 25),
        (1000, 86_400_000, 25),
        (1001, 86_400_000, 25),
        (2345, 3_600_000, 40),
        (1500, 1, 90),
    ],
)
def test_every_meeting_is_emitted_once_at_any_density(
    count: int, interval: int, most_requests: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    set_meetings(drift, [1_700_000_000_000 + interval * number for number in range(count)])
    meetings = sync(config, catalog=catalog("meetings")).records("meetings")
    assert [meeting["slug"] for meeting in meetings] == [f"m{number}" for number in range(count)]
    assert len(drift.requests) <= most_requests


@pytest.mark.slow
@pytest.mark.parametrize("includes_end", [True, False])
@pytest.mark.parametrize("count", positions([2501], [1500, 2048, 2501]))
def test_windows_lose_no_meeting_at_their_ends(
    count: int,
    includes_end: bool,  # noqa: FBT001 - both that Drift can do
    drift: FakeDrift,
    config: dict[str, Any],
) -> None:
    times = [1_700_000_000_000 + number for number in range(count)]
    set_meetings(drift, times, includes_end=includes_end)
    meetings = sync(config, catalog=catalog("meetings")).records("meetings")
    assert [meeting["slug"] for meeting in meetings] == [f"m{number}" for number in range(count)]


@pytest.mark.parametrize("count", [100, 999])
def test_meetings_with_equal_start_are_all_emitted(
    count: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    set_meetings(drift, [1_700_000_000_000] * count)
    assert len(sync(config, catalog=catalog("meetings")).records("meetings")) == count


def test_more_equal_starts_than_an_answer_holds_is_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    set_meetings(drift, [1_700_000_000_000] * 1001)
    _, error = sync_failing(config, catalog=catalog("meetings"))
    assert "1,000 or more rows in one millisecond" in error


def test_meetings_with_equal_slug_are_emitted_then_fail(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    first = {"slug": "a", "slotStart": 5, "eventId": "x"}
    drift.faults.append(answer(body={"data": [first, {"slug": "b"}, first | {"eventId": "y"}]}))
    messages, error = sync_failing(config, catalog=catalog("meetings"))
    assert [m["slug"] for m in messages.records("meetings")] == ["a", "b", "a"]
    assert "1 values of `slug` are shared by several meetings" in error


def test_meeting_read_twice_is_emitted_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    """Time windows overlap by a millisecond."""
    drift.faults.append(answer(body={"data": [{"slug": "a", "slotStart": 5}] * 2}))
    assert len(sync(config, catalog=catalog("meetings")).records("meetings")) == 1


def test_meetings_with_other_keys_may_share_a_slug(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    meetings = [{"slug": "a", "slotStart": 5, "eventId": "x"}, {"slug": "a", "slotStart": 6}]
    drift.faults.append(answer(body={"data": meetings}))
    selected = catalog("meetings")
    catalog_entry(selected, "meetings")["key_properties"] = ["slug", "slotStart"]
    assert len(sync(config, catalog=selected).records("meetings")) == 2


# ACTIVATE_VERSION


def test_complete_full_table_ends_with_activate_version(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    del drift.account.conversations[20:]
    selected = catalog("users", "accounts", "conversations", "transcripts")
    messages = sync(config | WITH_VERSIONS, catalog=selected).all
    for stream in ("users", "accounts"):
        schema, *records, last = [each for each in messages if each.get("stream") == stream]
        assert schema["type"] == "SCHEMA"
        assert {record["type"] for record in records} == {"RECORD"}
        assert last["type"] == "ACTIVATE_VERSION"
        assert {record["version"] for record in records} == {last["version"]}
    others = [each for each in messages if each.get("stream") in {"conversations", "transcripts"}]
    assert not any("version" in each for each in others)


def test_failed_full_table_has_no_activate_version(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["index=130"] = answer(400)
    messages, _ = sync_failing(config | WITH_VERSIONS, catalog=catalog("accounts"))
    assert len(messages.records("accounts")) == 130
    assert "ACTIVATE_VERSION" not in message_types(messages)


def test_account_deleted_meanwhile_prevents_activate_version(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The deletion shifts the rows of later pages, so that a row is not read."""

    def delete(request: int) -> None:
        if request == 2:
            del drift.account.customer_accounts[3]

    drift.on_request = delete
    messages = sync(config | WITH_VERSIONS, catalog=catalog("accounts"))
    assert "ACTIVATE_VERSION" not in message_types(messages)
    assert "Drift reports 150 accounts, but sent 149." in caplog.text


def test_full_table_conversations_have_no_activate_version(config: dict[str, Any]) -> None:
    """A conversation updated during the run moves to the head, and is not read."""
    selected = catalog("conversations")
    catalog_entry(selected)["replication_method"] = "FULL_TABLE"
    messages = sync(config | WITH_VERSIONS, catalog=selected)
    assert all(m.get("version") for m in messages.all if m["type"] == "RECORD")
    assert "ACTIVATE_VERSION" not in message_types(messages)


def test_full_table_child_has_no_activate_version(drift: FakeDrift, config: dict[str, Any]) -> None:
    """A resumed walk emits a part of the child's rows."""
    del drift.account.conversations[20:]
    selected = catalog("conversations", "transcripts")
    catalog_entry(selected, "transcripts")["replication_method"] = "FULL_TABLE"
    messages = sync(config | WITH_VERSIONS, catalog=selected)
    assert "ACTIVATE_VERSION" not in message_types(messages)
