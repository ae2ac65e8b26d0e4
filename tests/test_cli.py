"""How a run ends, as the user sees it on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_drift import TOKEN
from faults import answer
from runs import catalog, catalog_entry

from tap_drift.exceptions import user_messages

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from runs import RunTap


def errors(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The messages of the log lines at level ERROR."""
    lines = [line.split(" | ", 3) for line in run.stderr.splitlines()]
    return [line[3] for line in lines if len(line) > 3 and line[1].strip() == "ERROR"]


def test_a_run_that_goes_well_exits_0(drift: FakeDrift, run_tap: RunTap) -> None:
    run = run_tap("--config=ENV")
    assert run.returncode == 0
    types = [json.loads(line)["type"] for line in run.stdout.splitlines()]
    assert types == ["SCHEMA", *["RECORD"] * len(drift.conversation_ids()), "STATE"]
    assert TOKEN not in run.stderr


def test_a_refused_token_is_one_sentence(run_tap: RunTap) -> None:
    run = run_tap("--config=ENV", TAP_DRIFT_ACCESS_TOKEN="wrong-token-nobody-may-see")
    assert run.returncode == 1
    [sentence] = errors(run)
    assert "`access_token`" in sentence
    assert "Traceback" not in run.stderr
    assert "wrong-token" not in run.stderr + run.stdout


def test_at_debug_there_is_a_traceback_and_still_no_token(
    drift: FakeDrift, run_tap: RunTap
) -> None:
    drift.faults.append(answer(400, {"error": {"type": "x", "message": f"no {TOKEN}"}}))
    run = run_tap("--config=ENV", TAP_DRIFT_LOGLEVEL="DEBUG")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert TOKEN not in run.stderr + run.stdout


def test_wrong_settings_are_a_line_each_and_no_request_is_made(
    drift: FakeDrift, run_tap: RunTap
) -> None:
    run = run_tap("--config=ENV", TAP_DRIFT_PAGE_SIZE="abc", TAP_DRIFT_START_DATE="soon")
    assert run.returncode == 1
    assert [sentence.split("`")[1] for sentence in errors(run)] == ["start_date", "page_size"]
    assert "Traceback" not in run.stderr
    assert drift.requests == []


@pytest.mark.parametrize("mode", ["--test", "--test=all"])
def test_the_test_mode_complains_in_sentences_too(mode: str, run_tap: RunTap) -> None:
    run = run_tap("--config=ENV", mode, TAP_DRIFT_PAGE_SIZE="0")
    assert run.returncode == 1
    assert [sentence.split("`")[1] for sentence in errors(run)] == ["page_size"]
    assert "Traceback" not in run.stderr


def test_the_test_mode_asks_once_for_each_stream(drift: FakeDrift, run_tap: RunTap) -> None:
    assert run_tap("--config=ENV", "--test").returncode == 0
    listing = "/conversations/list?limit=100&page_token="
    assert drift.requests == ["/app/token_info", listing]


@pytest.mark.parametrize(
    ("option", "text", "complaint"),
    [
        ("--config", None, "cannot be opened"),
        ("--config", "{", "is not a JSON object"),
        ("--config", "[1]", "is not a JSON object"),
        ("--state", "{", "is not a Singer state"),
        ("--state", "[]", "is not a Singer state"),
        ("--state", '{"bookmarks": {"conversations": null}}', "is not a Singer state"),
        ("--state", '{"type": "STATE", "value": {"bookmarks": {}}}', "is not a Singer state"),
        ("--catalog", "{}", "is not a Singer catalog"),
        ("--catalog", '{"streams": [{}]}', "is not a Singer catalog"),
        ("--catalog", '{"streams": [{"tap_stream_id": "x", "schema": null}]}', "a Singer catalog"),
    ],
)
def test_a_file_that_is_none_of_ours_is_named(
    option: str, text: str | None, complaint: str, tmp_path: Path, run_tap: RunTap
) -> None:
    file = tmp_path / "given.json"
    if text is not None:
        file.write_text(text)
    run = run_tap("--config=ENV", option, str(file))
    assert run.returncode == 2
    assert complaint in run.stderr
    assert str(file) in run.stderr
    assert "Traceback" not in run.stderr


def test_a_bookmark_that_is_no_date_time_is_named(tmp_path: Path, run_tap: RunTap) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"bookmarks": {"conversations": {"replication_key_value": "soon"}}}')
    run = run_tap("--config=ENV", "--state", str(state))
    assert run.returncode == 1
    assert "`replication_key_value` of `conversations` is not a date-time" in errors(run)[0]


def test_the_state_may_come_through_a_pipe(run_tap: RunTap) -> None:
    state = json.loads(run_tap("--config=ENV").stdout.splitlines()[-1])["value"]
    read, write = os.pipe()
    with os.fdopen(write, "w") as end:
        json.dump(state, end)
    run = run_tap("--config=ENV", "--state", "/dev/stdin", stdin=read)
    os.close(read)
    assert run.stdout.count('"RECORD"') == 1


@pytest.mark.parametrize("mode", [[], ["--discover"]])
def test_when_the_reader_goes_away_the_tap_ends_quietly(mode: list[str], run_tap: RunTap) -> None:
    """`tap-drift | head -n 1`, with the reader gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    run = run_tap("--config=ENV", *mode, stdout=write)
    os.close(write)
    assert run.returncode == 1
    assert errors(run) == []
    assert "Traceback" not in run.stderr
    assert "Exception" not in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("mode", [[], ["--discover"]])
def test_a_full_disk_is_one_sentence(mode: list[str], run_tap: RunTap) -> None:
    with Path("/dev/full").open("w") as full:
        run = run_tap("--config=ENV", *mode, stdout=full)
    assert run.returncode == 1
    assert errors(run) == ["Cannot write to standard output: No space left on device."]
    assert "Exception" not in run.stderr


def test_a_closed_output_is_one_sentence() -> None:
    command = f"{sys.executable} -m tap_drift --discover >&-"
    run = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("tap-drift: standard output is closed")
    assert "Traceback" not in run.stderr


def test_what_nobody_foresaw_is_named_without_its_text() -> None:
    [sentence] = user_messages(KeyError("somebody's words"))
    assert "KeyError" in sentence
    assert "words" not in sentence


def test_to_select_nothing_is_said(run_tap: RunTap, tmp_path: Path) -> None:
    chosen = catalog("users")
    catalog_entry(chosen, "users")["metadata"][-1]["metadata"]["selected"] = False
    (tmp_path / "catalog.json").write_text(json.dumps(chosen))
    run = run_tap("--config=ENV", f"--catalog={tmp_path / 'catalog.json'}")
    assert run.returncode == 0
    assert "No stream is selected: nothing is read." in run.stderr
