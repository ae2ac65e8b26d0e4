"""Whether what arrived is all that Drift had, while the account goes on living."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner
from fake_drift import TOKEN, FakeDrift, FakeDriftHandler
from faults import answer
from runs import sync

from tap_drift.sandbox.data.account import Account
from tap_drift.tap import TapDrift
from tap_drift.timestamps import from_epoch_ms
from tap_drift.verify.command import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_drift.sandbox.server import Answer

    Said = list[dict[str, Any]]

FAMILY = {"conversations", "conversation_details", "messages", "transcripts", "contacts"}


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    """A small account in which everything can be met."""
    with FakeDrift(Account.from_seed(40, seed=3)) as server:
        yield server


@pytest.fixture
def config(drift: FakeDrift) -> dict[str, Any]:
    """Settings of which every page size makes several pages."""
    return {"access_token": TOKEN, "api_url": drift.url, "page_size": 7}


def extract(
    config: dict[str, Any], *names: str, state: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The messages of a run that reads these streams, or all."""
    tap = TapDrift(config=config)
    for stream in tap.streams.values():
        stream.selected = not names or stream.name in names
    return sync(config, state, tap.catalog_dict).all


def without(messages: Said, stream: str, number: int = 0) -> tuple[Said, dict[str, Any]]:
    """The messages without one record of a stream, and that record."""
    records = [m for m in messages if m["type"] == "RECORD" and m["stream"] == stream]
    lost = records[number]
    return [message for message in messages if message is not lost], lost["record"]


class Outcome(NamedTuple):
    """What the command said."""

    status: int
    text: str
    table: dict[str, dict[str, int]]
    missing: Said

    def only(self, stream: str) -> dict[str, int]:
        """What was found of a stream, without the zeros and the totals."""
        line = self.table[stream]
        return {k: v for k, v in line.items() if v and k not in {"in Drift", "arrived"}}


@pytest.fixture
def verify(config: dict[str, Any], tmp_path: Path) -> Callable[[Said | bytes], Outcome]:
    def run(messages: Said | bytes) -> Outcome:
        settings, lacking = tmp_path / "config.json", tmp_path / "missing.jsonl"
        settings.write_text(json.dumps(config))
        if not isinstance(messages, bytes):
            messages = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        options = ["--config", str(settings), "--missing", str(lacking)]
        result = CliRunner().invoke(main, options, input=messages)
        text = result.stdout
        return Outcome(
            result.exit_code,
            text,
            _table(text),
            [json.loads(line) for line in lacking.read_text().splitlines()],
        )

    return run


def _table(text: str) -> dict[str, dict[str, int]]:
    rows = [re.split(r"\s{2,}", line) for line in text.partition("\n\n")[0].splitlines()]
    full = [row for row in rows if len(row) > 1]
    return {row[0]: dict(zip(full[0][1:], map(int, row[1:]), strict=True)) for row in full[1:]}


def test_a_whole_extraction_is_whole(
    config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    outcome = verify(extract(config))
    assert outcome.status == 0
    assert "\nWHOLE: " in outcome.text
    assert len(outcome.table) == len(TapDrift(config=config).streams)
    assert all(line["in Drift"] == line["arrived"] > 0 for line in outcome.table.values())
    assert outcome.table["conversations"]["arrived"] == 40


@pytest.mark.parametrize(
    "stream",
    [
        "accounts",
        "contact_attributes",
        "contacts",
        "conversation_details",
        "conversation_stats",
        "conversations",
        "landing_pages",
        "meetings",
        "messages",
        "playbooks",
        "teams",
        "transcripts",
        "users",
    ],
)
def test_a_record_that_did_not_arrive_is_missing(
    stream: str, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    everything = extract(config)
    kept, lost = without(everything, stream)
    outcome = verify(kept)
    assert outcome.status == 1
    assert "NOT WHOLE" in outcome.text
    [schema] = [m for m in everything if m["type"] == "SCHEMA" and m["stream"] == stream]
    key = [lost[name] for name in schema["key_properties"]]
    [missing] = [each for each in outcome.missing if each["why"].endswith("did not arrive")]
    assert (missing["stream"], missing["id"]) == (stream, key[0] if len(key) == 1 else key)
    assert {
        name: outcome.only(name).get("missing") for name in outcome.table if name != stream
    } == (dict.fromkeys(outcome.table.keys() - {stream}))


def test_a_conversation_without_messages_misses_none(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    silent = [c for c in drift.account.conversations if not drift.account.messages(c)]
    assert silent
    assert verify(extract(config, "messages")).status == 0


def test_what_the_account_did_since_is_not_missing(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config)
    account = drift.account
    spoken, closed, deleted = (c["id"] for c in account.conversations[10:13])
    drift.add_message(spoken, now())
    drift.update_conversation(closed, now(), status="closed")
    account.conversations[:] = [c for c in account.conversations if c["id"] != deleted]
    new = {"id": 9_000_000_001, "status": "open", "createdAt": now(), "updatedAt": now()}
    account.conversations.insert(0, new)
    contacts = [c.get("contactId") for c in account.conversations]
    once = next(c for c in contacts if c and contacts.count(c) == 1)
    account.gone.add(once)
    outcome = verify(messages)
    assert outcome.status == 0, outcome.text
    assert outcome.only("conversations") == {"new": 1, "changed": 2, "gone": 1}
    assert outcome.only("messages")["new"] > 0
    assert outcome.only("contacts")["gone"] >= 1


def test_an_older_version_than_there_was_is_stale(
    config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "conversations")
    record = next(m["record"] for m in messages if m["type"] == "RECORD")
    record["updatedAt"] = record["createdAt"]
    outcome = verify(messages)
    assert outcome.status == 1
    assert outcome.only("conversations") == {"stale": 1}
    assert [each["id"] for each in outcome.missing if "older" in each["why"]] == [record["id"]]


def test_the_messages_of_a_conversation_that_moved_away_under_the_run_come_with_the_next(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config)
    moved = drift.conversation_ids()[-1]
    drift.update_conversation(moved, now())
    outcome = verify([m for m in messages if not _is_of(m, moved)])
    assert outcome.status == 0, outcome.text
    assert outcome.only("conversations") == {"new": 1}


def _is_of(message: dict[str, Any], conversation: int) -> bool:
    record = message.get("record", {})
    return conversation in {record.get("conversationId"), record.get("id")}


def test_an_old_message_is_missing_also_from_a_conversation_that_changed_since(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "messages")
    spoken = next(c for c in drift.account.conversations if len(drift.account.messages(c)) > 2)
    lost = drift.account.messages(spoken)[1]["id"]
    said = drift.add_message(spoken["id"], now())
    outcome = verify([m for m in messages if m.get("record", {}).get("id") != lost])
    assert outcome.only("messages") == {"missing": 1, "new": 1}
    assert [each["id"] for each in outcome.missing if each["stream"] == "messages"] == [lost]
    assert said != lost


def test_what_moves_while_drift_is_asked_is_neither_gone_nor_missing(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config)
    before, last = len(drift.requests), drift.conversation_ids()[-1]

    def move(request: int) -> None:
        if request == before + 12:  # after the first page of the listing
            drift.update_conversation(last, now(), status="open")

    drift.on_request = move
    outcome = verify(messages)
    listings = [path for path in drift.requests[before:] if path.startswith("/conversations/list")]
    assert f"/conversations/{last}" in drift.requests[before:]
    assert len(listings) > 1
    assert outcome.status == 0, outcome.text
    assert {name: outcome.only(name) for name in FAMILY - {"contacts"}} == {
        "conversations": {"changed": 1},
        "conversation_details": {"changed": 1},
        "messages": {},
        "transcripts": {},
    }


def test_who_is_referred_to_and_not_in_drift_is_named_and_not_missing(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    strangers = [{"type": "user", "id": 5, "bot": False}, {"type": "contact", "id": 6}]
    spoken = drift.conversation_ids()[0]
    for stranger in strangers:
        drift.add_message(spoken, now())
        drift.account.said[spoken][-1]["author"] = stranger
    outcome = verify(extract(config))
    assert outcome.status == 0, outcome.text
    assert outcome.only("users") == {"unknown": 1}
    named = [(each["stream"], each["id"]) for each in outcome.missing]
    assert ("users", 5) in named
    assert ("contacts", 6) in named


def test_streams_that_were_not_taken_are_said_and_not_asked_for(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "conversations")
    before = len(drift.requests)
    outcome = verify(messages)
    assert outcome.status == 0
    assert list(outcome.table) == ["conversations"]
    contacts = {c["contactId"] for c in drift.account.conversations if "contactId" in c}
    assert f"contacts: not taken, {len(contacts)} referred to" in outcome.text
    assert len([each for each in outcome.missing if each["stream"] == "contacts"]) == len(contacts)
    paths = {path.partition("?")[0] for path in drift.requests[before:]}
    assert paths == {"/conversations/list", "/conversations/stats"}


def test_without_conversations_their_listing_is_not_read(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "users")
    before = len(drift.requests)
    assert verify(messages).status == 0
    assert drift.requests[before:] == ["/users/list"]


def test_the_runs_of_an_account_are_whole_together(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    first = extract(config)
    state = next(m["value"] for m in reversed(first) if m["type"] == "STATE")
    drift.add_message(drift.conversation_ids()[20], now())
    second = extract(config, state=state)
    outcome = verify(first + second)
    assert outcome.status == 0, outcome.text
    assert outcome.only("messages") == {}
    alone = verify(second)
    assert alone.status == 1
    assert "Give the messages of all runs" in alone.text


def test_what_the_last_run_should_have_had_is_missing(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    """Though it is newer than the first run."""
    config["lookback_seconds"] = 0
    first = extract(config, "conversations")
    changed = drift.conversation_ids()[20]
    drift.update_conversation(changed, now())
    state = next(m["value"] for m in reversed(first) if m["type"] == "STATE")
    second = extract(config, "conversations", state=state)
    kept = [m for m in second if m.get("record", {}).get("id") != changed]
    assert verify(first + kept).only("conversations") == {"stale": 1}


def test_a_run_that_was_cut_is_not_whole(
    config: dict[str, Any], verify: Callable[[bytes], Outcome]
) -> None:
    lines = [json.dumps(message).encode() + b"\n" for message in extract(config, "users")]
    outcome = verify(b"".join(lines) + b'{"type": "RECO')
    assert outcome.status == 1
    assert "ends in the middle of a line" in outcome.text


def test_nothing_is_not_whole(verify: Callable[[bytes], Outcome]) -> None:
    outcome = verify(b"")
    assert outcome.status == 1
    assert "Nothing arrived" in outcome.text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"Traceback: somebody's words\n", "Line 1 of the input is not a Singer message."),
        (b'{"type": "RECORD", "stream": "users"}\n', "Line 1 of the input is not"),
        (b'{"type": "RECORD", "stream": "users", "record": {}}\n', "Line 1 of the input is not"),
        (b'{"type": "BATCH", "stream": "users"}\n', "batches"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    line: bytes,
    complaint: str,
    verify: Callable[[bytes], Outcome],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert verify(line).status == 1
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert complaint in record.getMessage()
    assert "words" not in caplog.text


def test_streams_of_others_are_named(
    config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "users")
    outcome = verify([*messages, {"type": "RECORD", "stream": "pets", "record": {"id": 1}}])
    assert outcome.status == 0
    assert "Not compared: pets" in outcome.text


class MiscountingHandler(FakeDriftHandler):
    """Counts two more open conversations than the listing has."""

    def answer(self) -> Answer:
        given = super().answer()
        if self.path == "/conversations/stats":
            given.body["conversationCount"]["OPEN"] += 2
        return given


def test_a_listing_that_lacks_what_drift_counts_is_not_whole(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "conversations")
    drift.RequestHandlerClass = MiscountingHandler
    outcome = verify(messages)
    assert outcome.status == 1
    assert "Drift does not list what it counts: open." in outcome.text


def test_so_many_updates_explain_so_many_differences(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "conversations")
    for conversation in drift.conversation_ids()[:2]:
        drift.update_conversation(conversation, now())
    drift.RequestHandlerClass = MiscountingHandler
    assert verify(messages).status == 0


def test_where_drift_has_no_counts_the_listing_has_to_do(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    messages = extract(config, "conversations")
    drift.account.gone.add("/conversations/stats")
    drift.faults.append(answer(404, {"error": {"type": "not_found", "message": "x"}}))
    outcome = verify(messages)
    assert outcome.status == 0
    assert "Drift counts" not in outcome.text


@pytest.mark.parametrize("setting", ["statuses", "start_date"])
def test_the_settings_narrow_what_is_asked_for_too(
    setting: str, drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    moment = from_epoch_ms(drift.account.conversations[20]["updatedAt"])
    config |= {"statuses": ["open"]} if setting == "statuses" else {"start_date": moment}
    messages = extract(config)
    number = sum(m["type"] == "RECORD" and m["stream"] == "conversations" for m in messages)
    assert 0 < number < 40
    opened = next(c for c in drift.account.conversations if c["status"] == "open")
    drift.update_conversation(opened["id"], now(), status="closed")
    outcome = verify(messages)
    assert outcome.status == 0, outcome.text
    assert outcome.only("conversations") == {"changed": 1}


def test_a_stream_that_cannot_be_asked_for_is_an_error_in_words(
    drift: FakeDrift,
    config: dict[str, Any],
    verify: Callable[[Said], Outcome],
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = extract(config, "users")
    drift.faults.append(answer(403))
    assert verify(messages).status == 1
    assert "Drift refused the token (403 on /users/list)" in caplog.text
    assert TOKEN not in caplog.text


def test_a_contact_that_no_conversation_names_is_not_missing(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    """Somebody else than the visitor wrote; the tap does not ask for such contacts."""
    spoken = drift.conversation_ids()[0]
    drift.add_message(spoken, now() - 10**7)
    drift.account.said[spoken][-1]["author"] = {"type": "contact", "id": 6}
    drift.faults_by_path["/contacts/6"] = answer(body={"data": {"id": 6}})
    outcome = verify(extract(config))
    assert outcome.status == 0
    assert outcome.table["contacts"]["unasked"] == 1
    assert [line["id"] for line in outcome.missing if "does not ask" in line["why"]] == [6]


def test_runs_of_different_streams_are_judged_by_their_own_beginnings(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    long_ago = {"time_extracted": "2020-01-01T00:00:00+00:00"}
    first = [message | long_ago for message in extract(config, "conversations")]
    silent = next(c["id"] for c in drift.account.conversations if drift.account.messages(c))
    second = [
        message
        for message in extract(config, "messages")
        if message.get("record", {}).get("conversationId") != silent
    ]
    assert verify([*first, *second]).status == 1


@pytest.mark.usefixtures("clock")
def test_counts_that_cannot_be_read_are_not_compared(
    drift: FakeDrift,
    config: dict[str, Any],
    verify: Callable[[Said], Outcome],
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = extract(config, "conversations")
    drift.faults_by_path["/conversations/stats"] = answer(body={"counts": {}})
    assert verify(said).status == 0
    assert "Drift's own counts could not be read" in caplog.text


def test_a_stream_that_cannot_be_asked_for_leaves_the_others_compared(
    drift: FakeDrift, config: dict[str, Any], verify: Callable[[Said], Outcome]
) -> None:
    said = extract(config, "conversations", "messages", "contacts")
    drift.faults_by_path["/contacts/"] = answer(403)
    outcome = verify(said)
    assert outcome.status == 1
    assert "\ncontacts: could not be asked for\n" in outcome.text
    assert "\nNOT VERIFIED: contacts could not be asked for." in outcome.text
    assert outcome.only("messages") == {}
