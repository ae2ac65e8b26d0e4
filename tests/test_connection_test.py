"""`--test`: whether each stream works, in a line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN, FakeDrift
from faults import answer
from runs import catalog, catalog_entry

from tap_drift.connection_test import check_streams
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from pathlib import Path

    from fake_clock import FakeClock
    from runs import RunTap

ALL = [entry["tap_stream_id"] for entry in catalog()["streams"]]


def tried(config: dict[str, Any], *streams: str) -> tuple[bool, list[str]]:
    tap = TapDrift(config=config, catalog=catalog(*streams))
    said: list[str] = []
    return check_streams(tap.drift_streams, tap.client, said.append), said


def test_every_stream_gets_a_line_and_one_request(drift: FakeDrift, config: dict[str, Any]) -> None:
    has_worked, said = tried(config)
    assert has_worked
    assert said[0].startswith("scopes of the token: conversation_read contact_read ")
    assert sorted(line.split(":")[0] for line in said[1:]) == sorted(ALL)
    assert len(drift.requests) == 1 + len(ALL)
    assert len(drift.requests) == len(set(drift.requests))


def test_what_the_catalog_leaves_out_is_not_asked_for(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    has_worked, said = tried(config, "users")
    assert has_worked
    assert said[1:] == ["users: works"]
    assert drift.requests == ["/app/token_info", "/users/list"]


def test_a_child_is_tried_on_a_conversation_of_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    _, said = tried(config, "transcripts")
    assert said[1:] == ["conversations: works", "transcripts: works"]
    assert drift.requests[2] == f"/conversations/{drift.conversation_ids()[0]}/transcript"


def test_a_scope_that_is_missing_is_named_and_the_others_are_tried(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.tokens.scopes = ["conversation_read", "playbook_read"]
    has_worked, said = tried(config, "conversations", "users", "playbooks")
    assert not has_worked
    assert said[0] == "scopes of the token: conversation_read playbook_read"
    lines = dict(line.split(": ", 1) for line in said[1:])
    assert lines["conversations"] == lines["playbooks"] == "works"
    assert "`user_read`" in lines["users"]


def test_without_a_conversation_a_child_cannot_be_tried(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account.conversations.clear()
    has_worked, said = tried(config, "messages")
    assert not has_worked
    assert said[-1] == "messages: Not tested: there is no conversation to test it with."


def test_a_thing_that_is_gone_shows_that_the_child_works(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/messages"] = answer(404)
    has_worked, said = tried(config, "messages")
    assert has_worked
    path = f"/conversations/{drift.conversation_ids()[0]}/messages"
    assert said[-1] == f"messages: works, but {path} is not found"


@pytest.mark.parametrize("fault", [answer(404), answer(500), answer(200, "[]"), answer(200, "<")])
def test_a_drift_that_tells_no_scopes_may_work(
    fault: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/app/token_info"] = fault
    assert tried(config, "users") == (True, ["users: works"])


def test_a_drift_that_cannot_be_asked_is_said_in_a_sentence_without_the_token(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/users/list"] = answer(400, {"error": {"type": "x", "message": TOKEN}})
    has_worked, said = tried(config, "users")
    assert not has_worked
    assert said[-1] == "users: Drift answered 400 on /users/list: x: ***"


def test_the_command_says_the_lines_and_nothing_else(
    drift: FakeDrift, run_tap: RunTap, tmp_path: Path
) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog("users", "teams")))
    run = run_tap("--config=ENV", "--test", "--catalog", str(file))
    assert run.returncode == 0
    scopes, *lines = run.stdout.splitlines()
    assert scopes.startswith("scopes of the token: ")
    assert sorted(lines) == ["teams: works", "users: works"]
    drift.tokens.scopes = []
    run = run_tap("--test", "--config=ENV", "--catalog", str(file))
    assert run.returncode == 1
    scopes, *lines = run.stdout.splitlines()
    assert scopes == "scopes of the token: none"
    assert len(lines) == 2
    assert "Traceback" not in run.stderr
    assert TOKEN not in run.stdout + run.stderr


def test_with_nothing_selected_there_is_nothing_that_works(config: dict[str, Any]) -> None:
    chosen = catalog("users")
    catalog_entry(chosen, "users")["metadata"][-1]["metadata"]["selected"] = False
    said: list[str] = []
    tap = TapDrift(config=config, catalog=chosen)
    assert not check_streams(tap.drift_streams, tap.client, said.append)
    assert said == ["No stream is selected."]


def test_a_drift_that_cannot_be_reached_is_said_at_once(
    config: dict[str, Any], clock: FakeClock
) -> None:
    tap = TapDrift(config=config | {"api_url": "http://127.0.0.1:9"}, catalog=catalog("users"))
    said: list[str] = []
    assert not check_streams(tap.drift_streams, tap.client, said.append)
    assert said == ["users: /users/list failed: Connection refused."]
    assert clock.slept == []


def test_a_signal_meanwhile_writes_no_state(drift: FakeDrift) -> None:
    """Somebody might keep it, in the place of the one that they have."""
    ours = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
    command = [sys.executable, "-m", "tap_drift", "--config=ENV", "--test"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=os.environ | ours, **pipes) as process:
        drift.on_request = lambda _request: process.terminate()
        said, _ = process.communicate()
    assert process.returncode == 143
    assert b"STATE" not in said
