"""Reuse of an earlier verification: what is not requested again, and what is found anyway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fake_drift import now_ms
from runs import as_lines
from verify.test_compare import add_message_of_contact_6, without_record
from verify.test_manifest import requests_of, write_archive

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from verify.conftest import Extract, VerifyLoaded


def test_unchanged_conversations_are_not_requested_again(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "messages", "transcripts", "contacts")
    archive = write_archive(tmp_path, messages, verify_loaded)
    updated = drift.conversation_ids()[9]
    drift.add_message(updated, now_ms())
    before = len(drift.requests)
    result = verify_loaded("--reuse", archive.path, input=as_lines(messages))
    assert result.exit_code == 0, result.report
    assert result.differences("messages") == {"new": 1}
    assert result.differences("contacts") == {}
    assert {path.split("/")[2] for path in requests_of(drift, before)} == {str(updated)}
    assert len(requests_of(drift, before)) == 2
    assert "the records of 19 conversations" in result.report


def test_reused_records_find_what_was_changed_since(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "messages")
    archive = write_archive(tmp_path, messages, verify_loaded)
    data = as_lines(messages).replace(b"<p>Hi!", b"<p>Ho!", 1)
    result = verify_loaded("--reuse", archive.path, input=data)
    assert result.exit_code == 1
    assert result.differences("messages") == {"different": 1}


def test_incomplete_verification_is_not_reused(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations")
    archive = write_archive(tmp_path, messages[:-10], verify_loaded)
    result = verify_loaded("--reuse", archive.path, input=as_lines(messages))
    assert result.exit_code == 1
    assert "cannot be reused: its verdict is INCOMPLETE" in result.log


def test_manifest_of_a_sample_is_not_reused(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages, manifest = (
        as_lines(extracted("conversations", "messages")),
        tmp_path / "manifest.json",
    )
    sample = verify_loaded("--sample", 5, "--manifest", manifest, input=messages)
    assert sample.exit_code == 0, sample.report
    result = verify_loaded("--reuse", manifest, input=messages)
    assert result.exit_code == 1
    assert "cannot be reused: it compared a sample of 5 of 20 conversations." in result.log


def test_conversation_with_new_messages_is_not_reused(
    drift: FakeDrift, extract: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    lost = drift.add_message(drift.conversation_ids()[9], now_ms())
    messages = without_record(extract("conversations", "messages"), lost)
    manifest = tmp_path / "manifest.json"
    first = verify_loaded("--manifest", manifest, input=as_lines(messages))
    assert first.differences("messages") == {"new": 1}
    assert first.exit_code == 0
    next_run = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    options = ["--reuse", manifest, "--extracted-at", next_run]
    result = verify_loaded(*options, input=as_lines(messages))
    assert result.differences("messages") == {"missing": 1}
    assert result.exit_code == 1


def test_lost_contact_of_a_reused_message_is_missing(
    drift: FakeDrift, extract: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    add_message_of_contact_6(drift)
    messages = extract("conversations", "messages", "contacts")
    archive = write_archive(tmp_path, messages, verify_loaded)
    same = verify_loaded("--reuse", archive.path, input=as_lines(messages))
    assert same.differences("contacts") == {}
    lost = as_lines(without_record(messages, 6))
    result = verify_loaded("--reuse", archive.path, input=lost)
    assert result.record_ids("missing") == [("contacts", 6)]
    assert result.exit_code == 1


def test_fields_that_reused_records_lack_are_named(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "messages")
    for each in messages:
        if each.get("stream") == "messages":
            (each.get("record") or each["schema"]["properties"]).pop("body")
    manifest = tmp_path / "manifest.json"
    first = verify_loaded("--manifest", manifest, input=as_lines(messages))
    line = next(line for line in first.report.splitlines() if "not in the data" in line)
    assert "body" in line
    result = verify_loaded("--reuse", manifest, input=as_lines(messages))
    assert line in result.report.splitlines()


def test_manifest_without_unequal_conversations_is_not_reused(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "messages")
    archive = write_archive(tmp_path, messages, verify_loaded)
    content = archive.content()
    del content["unequalConversations"]
    archive.path.write_text(json.dumps(content))
    result = verify_loaded("--reuse", archive.path, input=as_lines(messages))
    assert result.exit_code == 1
    assert "cannot be reused: an earlier version of drift-verify wrote it." in result.log
