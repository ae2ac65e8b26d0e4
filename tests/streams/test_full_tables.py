"""The streams that are read whole in every run."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_drift import FakeDrift, FakeDriftHandler
from faults import answer
from runs import CapturedMessages, catalog, catalog_entry, sync

from tap_drift.exceptions import StreamsFailedError
from tap_drift.sandbox.data.contacts import PROPERTIES
from tap_drift.sandbox.data.playbooks import landing_pages
from tap_drift.sandbox.server import Answer

if TYPE_CHECKING:
    from fake_clock import FakeClock

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


def rows(drift: FakeDrift, stream: str) -> list[dict[str, Any]]:
    """All that the account has for a stream."""
    account = drift.account
    counts = [conversation["status"].upper() for conversation in account.conversations]
    everything: dict[str, list[dict[str, Any]]] = {
        "accounts": account.companies,
        "contact_attributes": PROPERTIES,
        "users": account.users,
        "teams": account.teams,
        "meetings": list(account.meetings(0, 2**62)),
        "playbooks": account.playbooks,
        "landing_pages": landing_pages(account.playbooks),
        "conversation_stats": [
            {"status": status, "conversationCount": counts.count(status)}
            for status in ("CLOSED", "OPEN", "PENDING")
        ],
    }
    return everything[stream]


def failed(config: dict[str, Any], *streams: str) -> tuple[CapturedMessages, str]:
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError) as error:
        sync(config, catalog=catalog(*streams), messages=messages)
    return messages, str(error.value)


# What comes


@pytest.mark.parametrize("stream", PATHS)
def test_every_row_comes_once_and_in_order(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    messages = sync(config, catalog=catalog(stream))
    assert messages.all[0]["key_properties"] == KEYS[stream]
    keys = [[record[key] for key in KEYS[stream]] for record in messages.records(stream)]
    assert keys == [[row[key] for key in KEYS[stream]] for row in rows(drift, stream)]
    assert len(set(map(tuple, keys))) == len(keys) > 2
    assert {urlsplit(path).path for path in drift.requests} == {PATHS[stream]}
    assert "replication_key_value" not in messages.state()["bookmarks"].get(stream, {})


@pytest.mark.parametrize("stream", PATHS)
def test_times_become_date_times_and_nothing_else_changes(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    records = sync(config, catalog=catalog(stream)).records(stream)
    for record, row in zip(records, rows(drift, stream), strict=True):
        changed = {name for name in row if row[name] != record[name]}
        assert changed == TIMES.get(stream, set()) & set(row)
        assert all(record[name].endswith("+00:00") for name in changed)


@pytest.mark.parametrize("stream", ["users", "teams", "playbooks", "landing_pages", "meetings"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_rows_may_be_wrapped_in_data_or_not(
    is_wrapped: bool,  # noqa: FBT001 - the two forms that Drift has
    stream: str,
    drift: FakeDrift,
    config: dict[str, Any],
) -> None:
    some = rows(drift, stream)[:2]
    drift.faults.append(answer(body={"data": some} if is_wrapped else some))
    assert len(sync(config, catalog=catalog(stream)).records(stream)) == 2


def test_counts_may_be_wrapped_in_data(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.append(answer(body={"data": {"conversationCount": {"OPEN": 3}}}))
    records = sync(config, catalog=catalog("conversation_stats")).records("conversation_stats")
    assert records == [{"status": "OPEN", "conversationCount": 3}]


@pytest.mark.parametrize("stream", PATHS)
@pytest.mark.parametrize("body", ["<html>", {}, {"data": None}, {"data": ["words"]}, "null"])
def test_another_shape_is_an_error_and_never_an_empty_table(
    body: Any, stream: str, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults_by_path[PATHS[stream]] = answer(200, body)
    messages, error = failed(config, stream)
    assert f"{PATHS[stream]} failed for" in error
    assert messages.records(stream) == []
    assert "words" not in error
    assert clock.slept


@pytest.mark.parametrize("stream", [name for name in PATHS if name != "conversation_stats"])
def test_a_row_without_its_key_is_an_error(
    stream: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    bodies: dict[str, Any] = {
        "accounts": {"data": {"accounts": [{}]}},
        "contact_attributes": {"data": {"properties": [{}]}},
    }
    drift.faults_by_path[PATHS[stream]] = answer(body=bodies.get(stream, {"data": [{}]}))
    assert f"a row of `{stream}` without a usable `{KEYS[stream][0]}`" in failed(config, stream)[1]


def test_one_that_fails_leaves_the_others_complete(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/teams/org"] = answer(403)
    messages, error = failed(config, *PATHS)
    assert "`user_read`" in error
    assert "1 of 8 streams failed: teams" in error
    for stream in set(PATHS) - {"teams"}:
        assert len(messages.records(stream)) == len(rows(drift, stream))


# Accounts


def companies(*names: str, **more: Any) -> Any:
    return answer(body={"data": {"accounts": [{"accountId": name} for name in names], **more}})


def test_accounts_are_read_by_pages_of_the_largest_size(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    sync(config, catalog=catalog("accounts"))
    assert drift.requests == [f"/accounts?index={index}&size=65" for index in (0, 65, 130)]


@pytest.mark.parametrize("last", [{}, {"next": None}, {"next": ""}])
def test_accounts_end_where_there_is_no_next(
    last: dict[str, Any], drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.extend([companies("a", next="/accounts?index=1&size=1"), companies("b", **last)])
    records = sync(config, catalog=catalog("accounts")).records("accounts")
    assert [record["accountId"] for record in records] == ["a", "b"]
    assert drift.requests[1] == "/accounts?index=1&size=1"


@pytest.mark.parametrize("total", [0, 1, 3, None, "2"])
def test_a_total_that_disagrees_loses_nothing(
    total: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    following = "/accounts?index=1&size=1"
    drift.faults.extend([companies("a", next=following, total=total), companies("b", total=total)])
    assert len(sync(config, catalog=catalog("accounts")).records("accounts")) == 2


def test_pages_of_accounts_in_a_circle_are_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/accounts"] = companies("a", next="/accounts?index=65&size=65")
    assert "links to a page already read" in failed(config, "accounts")[1]
    assert len(drift.requests) == 2


# Meetings


class Calendar(FakeDriftHandler):
    """Gives meetings that begin at given times, no more than asked for, and says no word of it."""

    starts: list[int]

    def answer(self) -> Answer:
        query = {name: int(value) for name, [value] in parse_qs(urlsplit(self.path).query).items()}
        window = range(query["min_start_time"], query["max_start_time"] + 1)
        found = [
            {"slug": f"m{number}", "slotStart": start}
            for number, start in enumerate(self.starts)
            if start in window
        ]
        return Answer(HTTPStatus.OK, {"data": found[: query["limit"]]})


def has_meetings(drift: FakeDrift, times: list[int]) -> None:
    class Full(Calendar):
        starts = times

    drift.RequestHandlerClass = Full


@pytest.mark.parametrize(
    ("number", "apart", "most"),
    [
        (0, 1, 1),
        (1, 1, 1),
        (99, 1, 1),
        (999, 1, 1),
        (100, 86_400_000, 25),
        (1000, 86_400_000, 25),
        (1001, 86_400_000, 25),
        (5432, 3_600_000, 60),
        (1500, 1, 90),
    ],
)
def test_every_meeting_comes_once_however_many_there_are(
    number: int, apart: int, most: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    times = [1_700_000_000_000 + apart * n for n in range(number)]
    has_meetings(drift, times)
    slugs = [m["slug"] for m in sync(config, catalog=catalog("meetings")).records("meetings")]
    assert slugs == [f"m{n}" for n in range(number)]
    assert len(drift.requests) <= most


@pytest.mark.parametrize("number", [100, 999])
def test_many_meetings_may_begin_at_one_moment(
    number: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    has_meetings(drift, [1_700_000_000_000] * number)
    assert len(sync(config, catalog=catalog("meetings")).records("meetings")) == number


def test_more_meetings_at_one_moment_than_an_answer_holds_are_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    has_meetings(drift, [1_700_000_000_000] * 1001)
    assert "1,000 or more rows in one millisecond" in failed(config, "meetings")[1]


def test_meetings_that_share_a_slug_are_all_emitted_and_then_an_error(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    again = {"slug": "a", "slotStart": 5, "eventId": "y"}
    body = {"data": [{"slug": "a", "slotStart": 5, "eventId": "x"}, {"slug": "b"}, again]}
    drift.faults.append(answer(body=body))
    messages, error = failed(config, "meetings")
    assert [m["slug"] for m in messages.records("meetings")] == ["a", "b", "a"]
    assert "1 values of `slug` are shared by several meetings" in error


def test_a_meeting_that_is_met_twice_is_no_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults.append(answer(body={"data": [{"slug": "a", "slotStart": 5}] * 2}))
    assert len(sync(config, catalog=catalog("meetings")).records("meetings")) == 2


# ACTIVATE_VERSION


def test_a_table_that_was_read_whole_ends_with_the_order_to_drop_the_old_rows(
    config: dict[str, Any],
) -> None:
    versioned = config | {"emit_activate_version_messages": True}
    chosen = catalog("users", "accounts", "conversations", "transcripts")
    said = sync(versioned, catalog=chosen).all
    for stream in ("users", "accounts"):
        ours = [message for message in said if message.get("stream") == stream]
        kinds = [message["type"] for message in ours]
        assert kinds == ["SCHEMA", *["RECORD"] * (len(ours) - 2), "ACTIVATE_VERSION"]
        assert len({message["version"] for message in ours[1:]}) == 1
    others = [m for m in said if m.get("stream") in {"conversations", "transcripts"}]
    assert not any("version" in message for message in others)


def test_a_table_that_was_not_read_whole_replaces_nothing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["index=130"] = answer(400)
    messages, _ = failed(config | {"emit_activate_version_messages": True}, "accounts")
    assert len(messages.records("accounts")) == 130
    assert "ACTIVATE_VERSION" not in {message["type"] for message in messages.all}


def test_a_child_that_is_forced_to_be_a_full_table_replaces_nothing(
    config: dict[str, Any],
) -> None:
    """What it lacks of a walk may come in another run."""
    chosen = catalog("conversations", "transcripts")
    for stream in chosen["streams"]:
        if stream["tap_stream_id"] == "transcripts":
            stream["replication_method"] = "FULL_TABLE"
    messages = sync(config | {"emit_activate_version_messages": True}, catalog=chosen)
    assert "ACTIVATE_VERSION" not in {message["type"] for message in messages.all}


WITH_VERSIONS = {"emit_activate_version_messages": True}


def test_an_account_deleted_meanwhile_has_nothing_taken_for_deleted(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What follows it moves up, and one account is never met."""

    def delete(request: int) -> None:
        if request == 2:
            del drift.account.companies[3]

    drift.on_request = delete
    messages = sync(config | WITH_VERSIONS, catalog=catalog("accounts"))
    assert "ACTIVATE_VERSION" not in {message["type"] for message in messages.all}
    assert "Drift reports 150 accounts, but sent 149." in caplog.text


def test_a_full_table_of_conversations_has_nothing_taken_for_deleted(
    config: dict[str, Any],
) -> None:
    """One that is updated meanwhile moves to the head, and is not met."""
    chosen = catalog("conversations")
    catalog_entry(chosen)["replication_method"] = "FULL_TABLE"
    messages = sync(config | WITH_VERSIONS, catalog=chosen)
    assert all(m.get("version") for m in messages.all if m["type"] == "RECORD")
    assert "ACTIVATE_VERSION" not in {message["type"] for message in messages.all}


def test_meetings_may_have_other_keys(drift: FakeDrift, config: dict[str, Any]) -> None:
    twice = [{"slug": "a", "slotStart": 5, "eventId": "x"}, {"slug": "a", "slotStart": 6}]
    drift.faults.append(answer(body={"data": twice}))
    chosen = catalog("meetings")
    catalog_entry(chosen, "meetings")["key_properties"] = ["slug", "slotStart"]
    assert len(sync(config, catalog=chosen).records("meetings")) == 2
