"""The command `tap-drift`: exit codes and what a user reads on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from fake_drift import TOKEN, now_ms
from faults import answer
from runs import catalog, catalog_entry, sync

from tap_drift.exceptions import user_messages
from tap_drift.tap import TapDrift
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift
    from runs import InvokeTap, RunTap


FUTURE = "2099-01-01T00:00:00.000+00:00"
FUTURE_RESUME = {
    "version": 1,
    "newest": FUTURE,
    "oldest": "2024-01-01T00:00:00.000+00:00",
    "next": None,
    "statuses": [],
    "since": None,
}


def errors(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the messages of the log lines at level ERROR."""
    lines = [line.split(" | ", 3) for line in run.stderr.splitlines()]
    return [line[3] for line in lines if len(line) > 3 and line[1].strip() == "ERROR"]


def named_settings(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the first name in backticks of each error."""
    return [error.split("`")[1] for error in errors(run)]


# Exit codes and errors


def test_complete_run_exits_0(drift: FakeDrift, run_tap: RunTap) -> None:
    run = run_tap("--config=ENV")
    assert run.returncode == 0
    types = [json.loads(line)["type"] for line in run.stdout.splitlines()]
    assert types == ["SCHEMA", *["RECORD"] * len(drift.conversation_ids()), "STATE"]
    assert TOKEN not in run.stderr


def test_refused_token_is_one_error_without_the_token(invoke_tap: InvokeTap) -> None:
    run = invoke_tap("--config=ENV", TAP_DRIFT_ACCESS_TOKEN="wrong-token-that-must-not-be-logged")
    assert run.returncode == 1
    [error] = errors(run)
    assert "`access_token`" in error
    assert "Traceback" not in run.stderr
    assert "wrong-token" not in run.stderr + run.stdout


def test_debug_log_has_a_traceback_without_the_token(
    drift: FakeDrift, invoke_tap: InvokeTap
) -> None:
    drift.faults.append(answer(400, {"error": {"type": "x", "message": f"no {TOKEN}"}}))
    run = invoke_tap("--config=ENV", TAP_DRIFT_LOGLEVEL="DEBUG")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert TOKEN not in run.stderr + run.stdout


def test_invalid_settings_are_named_before_any_request(
    drift: FakeDrift, invoke_tap: InvokeTap
) -> None:
    run = invoke_tap("--config=ENV", TAP_DRIFT_PAGE_SIZE="abc", TAP_DRIFT_START_DATE="soon")
    assert run.returncode == 1
    assert named_settings(run) == ["start_date", "page_size"]
    assert "Traceback" not in run.stderr
    assert drift.requests == []


def test_invalid_bookmark_is_named(tmp_path: Path, invoke_tap: InvokeTap) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"bookmarks": {"conversations": {"replication_key_value": "soon"}}}')
    run = invoke_tap("--config=ENV", "--state", str(state))
    assert run.returncode == 1
    assert "`replication_key_value` of `conversations` is not a date-time" in errors(run)[0]


@pytest.mark.parametrize("state", [{"replication_key_value": FUTURE}, {"resume": FUTURE_RESUME}])
def test_bookmark_in_the_future_is_an_error(
    state: dict[str, Any], drift: FakeDrift, tmp_path: Path, invoke_tap: InvokeTap
) -> None:
    """It would read nothing, in this run and in all later ones."""
    bookmark = {"replication_key": "updatedAt", **state}
    (tmp_path / "state.json").write_text(json.dumps({"bookmarks": {"messages": bookmark}}))
    run = invoke_tap("--config=ENV", f"--state={tmp_path / 'state.json'}")
    assert run.returncode == 1
    [error] = errors(run)
    assert error.startswith(f"The state of `messages` is complete up to {FUTURE}, which is in the")
    assert drift.requests == []


def test_bookmark_of_a_clock_that_is_ahead_is_accepted(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    soon = from_epoch_ms(now_ms() + 3_600_000)
    bookmark = {"replication_key": "updatedAt", "replication_key_value": soon}
    messages = sync(config, {"bookmarks": {"conversations": bookmark}})
    assert messages.records() == []
    assert len(drift.requests) == 1


@pytest.mark.parametrize("name", ["TAP_DRIFT_LOGLEVEL", "LOGLEVEL"])
def test_unknown_log_level_is_one_sentence(name: str, drift: FakeDrift, run_tap: RunTap) -> None:
    environment: dict[str, Any] = {name: "verbose"}
    run = run_tap("--config=ENV", **environment)
    assert run.returncode == 1
    assert run.stderr == (
        f"tap-drift: {name} must be one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO, DEBUG, "
        "NOTSET.\n"
    )
    assert drift.requests == []


@pytest.mark.parametrize("level", ["", "debug", "ERROR"])
def test_known_log_levels_are_accepted(level: str, invoke_tap: InvokeTap) -> None:
    assert invoke_tap("--config=ENV", "--discover", TAP_DRIFT_LOGLEVEL=level).returncode == 0


def test_unexpected_exception_is_named_without_its_text() -> None:
    [sentence] = user_messages(KeyError("secret words"))
    assert "KeyError" in sentence
    assert "words" not in sentence


def test_empty_selection_is_logged(invoke_tap: InvokeTap, tmp_path: Path) -> None:
    selected = catalog("users")
    catalog_entry(selected, "users")["metadata"][-1]["metadata"]["selected"] = False
    (tmp_path / "catalog.json").write_text(json.dumps(selected))
    run = invoke_tap("--config=ENV", f"--catalog={tmp_path / 'catalog.json'}")
    assert run.returncode == 0
    assert "No stream is selected: nothing is read." in run.stderr


# --test


@pytest.mark.parametrize("option", ["--test", "--test=all"])
def test_test_mode_names_invalid_settings(option: str, invoke_tap: InvokeTap) -> None:
    run = invoke_tap("--config=ENV", option, TAP_DRIFT_PAGE_SIZE="0")
    assert run.returncode == 1
    assert named_settings(run) == ["page_size"]
    assert "Traceback" not in run.stderr


def test_test_mode_sends_one_request_per_stream(drift: FakeDrift, invoke_tap: InvokeTap) -> None:
    assert invoke_tap("--config=ENV", "--test").returncode == 0
    listing = "/conversations/list?limit=100&page_token="
    assert drift.requests == ["/app/token_info", listing]


def test_schema_test_prints_all_schemas_without_a_request(
    drift: FakeDrift, invoke_tap: InvokeTap
) -> None:
    run = invoke_tap("--config=ENV", "--test=schema")
    assert run.returncode == 0
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    assert {message["type"] for message in messages} == {"SCHEMA"}
    assert {message["stream"] for message in messages} == {
        path.stem for path in (Path(__file__).parents[1] / "schemas").glob("*.json")
    }
    assert drift.requests == []


@pytest.mark.parametrize("options", [("--test=shcema",), ("--test", "users")])
def test_unknown_test_is_an_error_without_a_request(
    options: tuple[str, ...], drift: FakeDrift, invoke_tap: InvokeTap
) -> None:
    run = invoke_tap("--config=ENV", *options)
    assert run.returncode == 2
    assert f"'{options[-1].removeprefix('--test=')}' is not one of 'all', 'schema'" in run.stderr
    assert (run.stdout, drift.requests) == ("", [])


# Input files


@pytest.mark.parametrize(
    ("option", "text", "error"),
    [
        ("--config", None, "cannot be opened"),
        ("--state", '{\n"bookmarks"', "is not valid JSON: line 2, column 12"),
        ("--catalog", "", "is empty. It must be an object with `streams`"),
        ("--catalog", "{}", "is not a Singer catalog"),
        (
            "--catalog",
            '{"streams": [{"tap_stream_id": "users", "stream": "people", "schema": {}}]}',
            "has a stream `people` with another `tap_stream_id`, `users`",
        ),
    ],
)
def test_invalid_file_is_named_with_exit_code_2(
    option: str, text: str | None, error: str, tmp_path: Path, invoke_tap: InvokeTap
) -> None:
    file = tmp_path / "given.json"
    if text is not None:
        file.write_text(text)
    run = invoke_tap("--config=ENV", option, str(file))
    assert run.returncode == 2
    assert error in run.stderr
    assert str(file) in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f'{{\n  "access_token": "{TOKEN}",\n}}', "is not valid JSON: line 3, column 1: "),
        (f'["{TOKEN}"]', "is a list, not an object."),
        (f'"{TOKEN}"', "is a string, not an object."),
        ("", "is empty."),
    ],
)
def test_config_must_be_a_json_object(text: str, error: str, tmp_path: Path) -> None:
    file, valid = tmp_path / "config.json", tmp_path / "valid.json"
    file.write_text(text)
    valid.write_text("{}")
    run = CliRunner().invoke(TapDrift.cli, ["--config", str(valid), "--config", str(file)])
    assert run.exit_code == 2
    assert f"'{file}' {error}" in run.stderr
    assert TOKEN not in run.stderr


def test_later_config_file_overrides_earlier(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    files[0].write_text('{"access_token": "a", "page_size": 1}')
    files[1].write_text('{"access_token": "b"}')
    with TapDrift.cli.make_context("tap-drift", [f"--config={file}" for file in files]) as context:
        assert context.params["config"].config == {"access_token": "b", "page_size": 1}
        assert not context.params["config"].parse_env


@pytest.mark.parametrize(
    ("option", "text", "error"),
    [
        ("state", "[]", "is a list, not an object"),
        ("state", '{"bookmarks": {"conversations": null}}', "not a Singer state"),
        ("state", '{"type": "STATE", "value": {"bookmarks": {}}}', "not a Singer state"),
        ("catalog", '{"streams": [{}]}', "not a Singer catalog"),
        (
            "catalog",
            '{"streams": [{"tap_stream_id": "x", "schema": null}]}',
            "not a Singer catalog",
        ),
    ],
)
def test_state_and_catalog_must_have_the_singer_format(
    option: str, text: str, error: str, tmp_path: Path
) -> None:
    file = tmp_path / "given.json"
    file.write_text(text)
    [parameter] = [each for each in TapDrift.cli.params if each.name == option]
    assert parameter.callback
    with file.open() as opened, pytest.raises(click.BadParameter, match=error):
        parameter.callback(click.Context(TapDrift.cli), parameter, opened)


def test_state_can_be_read_from_a_pipe(invoke_tap: InvokeTap) -> None:
    state = json.loads(invoke_tap("--config=ENV").stdout.splitlines()[-1])["value"]
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        json.dump(state, pipe)
    run = invoke_tap("--config=ENV", "--state", f"/dev/fd/{read}")
    os.close(read)
    assert run.stdout.count('"RECORD"') == 1


# Standard output


@pytest.mark.parametrize("mode", [[], ["--discover"]])
def test_closed_reader_ends_the_run_without_an_error(mode: list[str], run_tap: RunTap) -> None:
    """As in `tap-drift | true`."""
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
def test_full_disk_is_one_error(mode: list[str], run_tap: RunTap) -> None:
    with Path("/dev/full").open("w") as full:
        run = run_tap("--config=ENV", *mode, stdout=full)
    assert run.returncode == 1
    assert errors(run) == ["Cannot write to standard output: No space left on device."]
    assert "Exception" not in run.stderr


def test_closed_standard_output_is_one_error() -> None:
    command = f"{sys.executable} -m tap_drift --discover >&-"
    run = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("tap-drift: standard output is closed")
    assert "Traceback" not in run.stderr
