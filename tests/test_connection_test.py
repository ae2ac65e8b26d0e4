"""The connection test (`--test`): one request and one line per stream."""

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
    from faults import Fault
    from runs import InvokeTap, RunTap


def check(config: dict[str, Any], *streams: str) -> tuple[bool, list[str]]:
    """Run the test for these streams, or all; return the result and the lines."""
    tap = TapDrift(config=config, catalog=catalog(*streams))
    lines: list[str] = []
    return check_streams(tap.drift_streams, tap.client, lines.append), lines


def test_every_stream_costs_one_request_and_one_line(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    streams = [entry["tap_stream_id"] for entry in catalog()["streams"]]
    streams.remove("failed_items")  # it has no endpoint
    is_working, (scopes, *lines) = check(config)
    assert is_working
    assert scopes.startswith("scopes of the token: conversation_read contact_read ")
    assert sorted(line.split(":")[0] for line in lines) == sorted(streams)
    assert len(drift.requests) == 1 + len(streams)
    # `attachments` are those of the same messages.
    assert len(drift.requests) == 1 + len(set(drift.requests))


def test_unselected_stream_is_not_requested(drift: FakeDrift, config: dict[str, Any]) -> None:
    is_working, (_, *lines) = check(config, "users")
    assert is_working
    assert lines == ["users: works"]
    assert drift.requests == ["/app/token_info", "/users/list"]


def test_empty_selection_does_not_work(config: dict[str, Any]) -> None:
    selected = catalog("users")
    catalog_entry(selected, "users")["metadata"][-1]["metadata"]["selected"] = False
    tap = TapDrift(config=config, catalog=selected)
    lines: list[str] = []
    assert not check_streams(tap.drift_streams, tap.client, lines.append)
    assert lines == ["No stream is selected."]


# Streams that are requested per conversation


def test_child_is_tested_on_the_first_conversation(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    _, (_, *lines) = check(config, "transcripts")
    assert lines == ["conversations: works", "transcripts: works"]
    assert drift.requests[2] == f"/conversations/{drift.conversation_ids()[0]}/transcript"


def test_child_cannot_be_tested_in_an_empty_account(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account.conversations.clear()
    is_working, lines = check(config, "messages")
    assert not is_working
    assert lines[-1] == "messages: Not tested: there is no conversation to test it with."


def test_missing_item_shows_that_the_child_works(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.faults_by_path["/messages"] = answer(404)
    is_working, lines = check(config, "messages")
    assert is_working
    path = f"/conversations/{drift.conversation_ids()[0]}/messages"
    assert lines[-1] == f"messages: works, but {path} is not found"


@pytest.mark.parametrize("fault", [answer(401), answer(400), answer(500), answer(200, "<")])
def test_failed_item_says_nothing_about_the_next(
    fault: Fault, drift: FakeDrift, config: dict[str, Any]
) -> None:
    first, second = (row["id"] for row in drift.source_rows("contacts")[:2])
    drift.faults_by_path[f"/contacts/{first}"] = fault
    is_working, lines = check(config, "contacts")
    assert is_working
    assert lines[-1] == "contacts: works"
    assert drift.requests[2:] == [f"/contacts/{first}", f"/contacts/{second}"]


def test_child_fails_after_three_failed_items(drift: FakeDrift, config: dict[str, Any]) -> None:
    drift.tokens.scopes = ["conversation_read"]
    is_working, lines = check(config, "contacts")
    assert not is_working
    assert "`contact_read`" in lines[-1]
    assert drift.count_requests("/contacts/") == 3


def test_contact_id_that_is_no_integer_is_not_requested(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.account.conversations[0]["contactId"] = "../users/list"
    is_working, _ = check(config, "contacts")
    assert is_working
    assert "users" not in "".join(drift.requests)


# Failures


def test_missing_scope_is_named_and_other_streams_are_tested(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.tokens.scopes = ["conversation_read", "playbook_read"]
    is_working, (scopes, *others) = check(config, "conversations", "users", "playbooks")
    assert not is_working
    assert scopes == "scopes of the token: conversation_read playbook_read"
    lines = dict(line.split(": ", 1) for line in others)
    assert lines["conversations"] == lines["playbooks"] == "works"
    assert "`user_read`" in lines["users"]


@pytest.mark.parametrize("fault", [answer(404), answer(500), answer(200, "[]"), answer(200, "<")])
def test_unknown_scopes_are_no_failure(
    fault: Fault, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/app/token_info"] = fault
    assert check(config, "users") == (True, ["users: works"])


def test_error_of_drift_is_quoted_without_the_token(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults_by_path["/users/list"] = answer(400, {"error": {"type": "x", "message": TOKEN}})
    is_working, lines = check(config, "users")
    assert not is_working
    assert lines[-1] == "users: Drift answered 400 on /users/list: x: ***"


def test_unreachable_api_fails_without_a_retry(config: dict[str, Any], clock: FakeClock) -> None:
    is_working, lines = check(config | {"api_url": "http://127.0.0.1:9"}, "users")
    assert not is_working
    assert lines == ["users: /users/list failed: Connection refused."]
    assert clock.slept == []


# The command


def test_command_prints_only_the_lines(invoke_tap: InvokeTap, tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog("users", "teams")))
    run = invoke_tap("--config=ENV", "--test", "--catalog", str(file))
    assert run.returncode == 0
    scopes, *lines = run.stdout.splitlines()
    assert scopes.startswith("scopes of the token: ")
    assert sorted(lines) == ["teams: works", "users: works"]


def test_command_without_scopes_exits_1(drift: FakeDrift, run_tap: RunTap, tmp_path: Path) -> None:
    drift.tokens.scopes = []
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog("users", "teams")))
    run = run_tap("--test", "--config=ENV", "--catalog", str(file))
    assert run.returncode == 1
    scopes, *lines = run.stdout.splitlines()
    assert scopes == "scopes of the token: none"
    assert len(lines) == 2
    assert "Traceback" not in run.stderr
    assert TOKEN not in run.stdout + run.stderr


def test_signal_during_the_test_writes_no_state(drift: FakeDrift) -> None:
    """An empty STATE could replace the state of the last run."""
    settings = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
    command = [sys.executable, "-m", "tap_drift", "--config=ENV", "--test"]
    with subprocess.Popen(
        command, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        drift.on_request = lambda _request: process.terminate()
        output, _ = process.communicate()
    assert process.returncode == 143
    assert b"STATE" not in output


def test_command_under_meltano_tests_what_the_project_selects(
    invoke_tap: InvokeTap, tmp_path: Path
) -> None:
    """Meltano passes the catalog of an earlier run."""
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog("conversations")))
    options = ("--config=ENV", "--test", "--catalog", str(file))
    run = invoke_tap(*options, MELTANO_EXTRACT__SELECT='["users.*", "teams.*"]')
    assert sorted(run.stdout.splitlines()[1:]) == ["teams: works", "users: works"]


def test_select_option_overrides_the_meltano_project(invoke_tap: InvokeTap) -> None:
    options = ("--config=ENV", "--test", "--select=teams")
    run = invoke_tap(*options, MELTANO_EXTRACT__SELECT='["users.*"]')
    assert run.stdout.splitlines()[1:] == ["teams: works"]
