"""Attachments: requests, files, missing and failed ones, redirects, resuming."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift, now_ms
from faults import answer, answer_normally, truncated
from runs import catalog, sync, sync_failing

from tap_drift.api import connections
from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_clock import FakeClock

    from tap_drift.sandbox.server import SandboxHandler

pytestmark = pytest.mark.slow

ALL = ("conversations", "messages", "attachments")


@pytest.fixture
def account() -> Account:
    return Account.from_seed(40, seed=7)


@pytest.fixture
def config(config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    return config | {"attachments_path": str(tmp_path / "files"), "lookback_seconds": 0}


def attachments(drift: FakeDrift) -> dict[int, dict[str, Any]]:
    """Return each attachment of the account by its id, with the ids of where it is."""
    return {
        attachment["id"]: attachment
        | {"messageId": message["id"], "conversationId": message["conversationId"]}
        for conversation in drift.account.conversations
        for message in drift.account.messages(conversation)
        for attachment in message.get("attachments", [])
    }


def downloads(drift: FakeDrift) -> list[str]:
    return [path for path in drift.requests if path.startswith("/attachments/")]


# Records and files


def test_record_describes_the_saved_file(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Path
) -> None:
    records = sync(config, catalog=catalog(*ALL)).records("attachments")
    expected = attachments(drift)
    assert len(records) == len(expected) > 5
    for record in records:
        content = drift.account.file(record["id"])
        assert record == expected[record["id"]] | {
            "path": record["path"],
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert (tmp_path / "files" / record["path"]).read_bytes() == content


@pytest.mark.usefixtures("drift")
def test_file_name_is_safe(config: dict[str, Any]) -> None:
    records = sync(config, catalog=catalog("attachments")).records("attachments")
    names = {record["fileName"]: Path(record["path"]).name.split("-", 1)[1] for record in records}
    assert names["error: page/1.png"] == "error__page_1.png"


def test_messages_are_requested_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config, catalog=catalog(*ALL))
    with_messages = drift.count_requests("/messages")
    drift.requests.clear()
    sync(config, catalog=catalog("messages"))
    assert with_messages == drift.count_requests("/messages")


def test_attachments_alone_request_the_messages(drift: FakeDrift, config: dict[str, Any]) -> None:
    alone = sync(config, catalog=catalog("attachments"))
    assert {each["stream"] for each in alone.all if "stream" in each} == {"attachments"}
    assert {record["id"] for record in alone.records("attachments")} == {*attachments(drift)}


def test_without_path_nothing_is_downloaded(drift: FakeDrift, config: dict[str, Any]) -> None:
    del config["attachments_path"]
    records = sync(config, catalog=catalog(*ALL)).records("attachments")
    assert len(records) == len(attachments(drift))
    assert {(record["path"], record["size"]) for record in records} == {(None, None)}
    assert downloads(drift) == []


def test_saved_file_is_not_requested_again(
    drift: FakeDrift, config: dict[str, Any], tmp_path: Path
) -> None:
    first = sync(config, catalog=catalog("attachments")).records("attachments")
    changed = first[0]
    (tmp_path / "files" / changed["path"]).write_bytes(b"changed")
    drift.requests.clear()
    second = sync(config, catalog=catalog("attachments")).records("attachments")
    assert second == first
    assert downloads(drift) == [f"/attachments/{changed['id']}/data"]


def test_second_run_reads_updated_conversations(drift: FakeDrift, config: dict[str, Any]) -> None:
    first = sync(config, catalog=catalog("attachments"))
    updated = first.records("attachments")[-1]["conversationId"]
    drift.update_conversation(updated, now_ms())
    second = sync(config, first.state(), catalog("attachments"))
    head = drift.conversation_ids()[:2]
    assert {record["conversationId"] for record in second.records("attachments")} <= {*head}
    assert updated in {record["conversationId"] for record in second.records("attachments")}


# Failures


def test_deleted_file_has_a_record_without_path(
    drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    deleted = next(iter(attachments(drift)))
    path = f"/attachments/{deleted}/data"
    drift.account.deleted.add(path)
    messages = sync(config, catalog=catalog(*ALL))
    by_id = {record["id"]: record["path"] for record in messages.records("attachments")}
    assert [number for number, saved in by_id.items() if saved is None] == [deleted]
    assert f"not found (404 or 410), skipped: {path}" in caplog.text


def test_failed_file_is_requested_by_the_next_run(drift: FakeDrift, config: dict[str, Any]) -> None:
    failing = next(iter(attachments(drift)))
    conversation = attachments(drift)[failing]["conversationId"]
    path = f"/attachments/{failing}/data"
    drift.faults_by_path[path] = answer(400, {"error": {"type": "bad", "message": "Cannot"}})
    first, error = sync_failing(config, catalog=catalog(*ALL))
    assert "attachments: 1 item could not be read" in str(error)
    records = {record["id"]: record["path"] for record in first.records("attachments")}
    assert {*records} == {*attachments(drift)}
    assert records[failing] is None
    assert [*first.state()["bookmarks"]["attachments"]["failed_items"]] == [str(conversation)]

    del drift.faults_by_path[path]
    drift.requests.clear()
    second = sync(config, first.state(), catalog(*ALL))
    assert {each["id"]: each["path"] for each in second.records("attachments")}[failing]
    assert "failed_items" not in second.state()["bookmarks"]["attachments"]
    assert path in downloads(drift)


def test_interrupted_download_is_retried(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    number = next(iter(attachments(drift)))
    faults = iter([truncated])

    def truncated_once(handler: SandboxHandler) -> None:
        next(faults, answer_normally)(handler)

    drift.faults_by_path[f"/attachments/{number}/data"] = truncated_once
    records = sync(config, catalog=catalog("attachments")).records("attachments")
    sizes = {record["id"]: record["size"] for record in records}
    assert sizes[number] == len(drift.account.file(number))
    assert clock.now > 0


def test_refused_downloads_fail_the_stream(config: dict[str, Any], drift: FakeDrift) -> None:
    """The token lacks a permission, or the path is wrong: a bookmark would hide that."""
    drift.faults_by_path["/attachments/"] = answer(403)
    messages, error = sync_failing(config, catalog=catalog(*ALL))
    assert "attachments" in str(error)
    assert "replication_key_value" not in messages.state()["bookmarks"].get("attachments", {})
    assert len(messages.records("messages")) > 0


def test_unwritable_path_fails_the_stream_only(
    config: dict[str, Any], drift: FakeDrift, tmp_path: Path
) -> None:
    (tmp_path / "files").write_text("not a folder")
    messages, error = sync_failing(config, catalog=catalog(*ALL))
    assert "Files below `attachments_path` cannot be used: " in str(error)
    assert len(messages.records()) == len(drift.account.conversations)


def test_attachment_without_usable_id_is_a_failed_item(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    conversation = drift.conversation_ids()[0]
    drift.add_message(conversation, now_ms())
    drift.account.added_messages[conversation][-1]["attachments"] = [{"id": "seven"}]
    messages, error = sync_failing(config, catalog=catalog(*ALL))
    assert "attachments: 1 item could not be read" in error
    assert [*messages.state()["bookmarks"]["attachments"]["failed_items"]] == [str(conversation)]


def test_failed_messages_do_not_cancel_attachments(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    failing_map = {"messages": {"body": "1 / 0"}}
    messages, error = sync_failing(config | {"stream_maps": failing_map}, catalog=catalog(*ALL))
    assert "1 of 3 streams failed: messages" in error
    assert {each["id"] for each in messages.records("attachments")} == {*attachments(drift)}


@pytest.mark.usefixtures("clock")
def test_error_page_of_a_download_is_limited(
    drift: FakeDrift,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connections, "MAX_RESPONSE_BYTES", 100_000)
    drift.faults_by_path["/attachments/"] = answer(400, "x" * 200_000)
    sync_failing(config, catalog=catalog("attachments"))
    assert "the response is larger than" in caplog.text


# Redirects


@pytest.fixture
def storage() -> Iterator[FakeDrift]:
    with FakeDrift(Account.from_seed(1, seed=1)) as server:
        yield server


def redirect_to(storage: FakeDrift, drift: FakeDrift) -> None:
    drift.faults_by_path["/attachments/"] = answer(302, Location=f"{storage.url}/bucket/key?sig=1")


def test_redirect_is_followed_without_the_token(
    drift: FakeDrift, storage: FakeDrift, config: dict[str, Any]
) -> None:
    tokens: list[str | None] = []

    def serve(handler: Any) -> None:
        tokens.append(handler.headers.get("Authorization"))
        answer(200, b"stored")(handler)

    storage.faults_by_path["/bucket/key"] = serve
    redirect_to(storage, drift)
    records = sync(config, catalog=catalog("attachments")).records("attachments")
    assert {record["sha256"] for record in records} == {hashlib.sha256(b"stored").hexdigest()}
    assert {*tokens} == {None}


def test_refusal_of_the_storage_names_its_host(
    drift: FakeDrift, storage: FakeDrift, config: dict[str, Any]
) -> None:
    storage.faults_by_path["/bucket/key"] = answer(403, "<Error>expired</Error>")
    redirect_to(storage, drift)
    _, error = sync_failing(config, catalog=catalog("attachments"))
    host = storage.url.removeprefix("http://")
    assert f"{host}, where Drift redirects to for a file, answered 403" in str(error)
    assert "sig=1" not in str(error)


def test_endless_redirects_fail_the_item(drift: FakeDrift, config: dict[str, Any]) -> None:
    number = next(iter(attachments(drift)))
    path = f"/attachments/{number}/data"
    drift.faults_by_path[path] = answer(302, Location=path)
    messages, _ = sync_failing(config, catalog=catalog("attachments"))
    assert len(messages.state()["bookmarks"]["attachments"]["failed_items"]) == 1


def test_signature_of_a_redirect_is_not_logged(
    drift: FakeDrift, storage: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    storage.faults_by_path["/bucket/key"] = answer(200, b"stored")
    redirect_to(storage, drift)
    sync(config, catalog=catalog("attachments"))
    assert "sig=1" not in caplog.text
