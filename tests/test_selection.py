"""Which streams --select selects, alone and with a catalog, and what a Meltano project does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from runs import catalog, catalog_entry

from tap_drift.selection import UnknownStreamError, select_streams, selected_by_meltano
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from runs import InvokeTap


def selected(catalog: dict[str, Any]) -> list[str]:
    tap = TapDrift(catalog=catalog, validate_config=False)
    return [stream.name for stream in tap.drift_streams if stream.selected]


ALL = list(TapDrift(validate_config=False).streams)


@pytest.mark.parametrize(
    ("names", "streams"),
    [
        ("conversations", ["conversations"]),
        ("messages", ["messages"]),
        ("users, messages", ["messages", "users"]),
        ("*", ALL),
        ("contact*", ["contact_attributes", "contacts"]),
    ],
)
def test_named_streams_and_no_others_are_selected(names: str, streams: list[str]) -> None:
    assert selected(select_streams(catalog("teams"), {}, names)) == streams


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("mesages", "There is no stream `mesages`: did you mean `messages`?"),
        ("messages.*", "There is no stream `messages.*`: did you mean `messages`?"),
        ("users,", "There is no stream ``: choose from accounts, "),
        ("", "There is no stream ``: choose from accounts, "),
        ("*.*", "There is no stream `*.*`: choose from accounts, "),
    ],
)
def test_unknown_stream_is_one_sentence(names: str, message: str) -> None:
    with pytest.raises(UnknownStreamError) as error:
        select_streams(catalog(), {}, names)
    assert str(error.value).startswith(message)


def test_fields_and_keys_of_the_catalog_are_kept() -> None:
    given = catalog("users")
    entry = catalog_entry(given, "meetings")
    entry["key_properties"] = ["eventId"]
    for each in entry["metadata"]:
        if each["breadcrumb"] == ["properties", "meetingNotes"]:
            each["metadata"]["selected"] = False
    given["streams"] = [entry]
    [stream] = [
        stream
        for stream in TapDrift(
            catalog=select_streams(catalog(), given, "meetings"), validate_config=False
        ).drift_streams
        if stream.selected
    ]
    assert stream.name == "meetings"
    assert list(stream.primary_keys or ()) == ["eventId"]
    assert not stream.mask["properties", "meetingNotes"]
    assert stream.mask["properties", "slug"]


def test_stream_without_metadata_can_be_selected() -> None:
    entry = catalog_entry(catalog(), "users")
    del entry["metadata"]
    given = select_streams(catalog("teams"), {"streams": [entry]}, "users")
    assert selected(given) == ["users"]


def test_discovery_prints_the_selection() -> None:
    run = CliRunner().invoke(TapDrift.cli, ["--discover", "--select=messages,users"])
    assert run.exit_code == 0
    assert selected(json.loads(run.stdout)) == ["messages", "users"]


@pytest.mark.parametrize("options", [[], ["--discover"], ["--test"]])
def test_unknown_stream_is_a_usage_error(options: list[str]) -> None:
    run = CliRunner().invoke(TapDrift.cli, ["--select=mesages", *options])
    assert run.exit_code == 2
    assert "There is no stream `mesages`: did you mean `messages`?" in run.stderr


def test_schema_test_does_not_take_a_selection() -> None:
    run = CliRunner().invoke(TapDrift.cli, ["--select=users", "--test=schema"])
    assert run.exit_code == 2
    assert "--test=schema prints all streams" in run.stderr


def test_help_says_what_test_and_select_do() -> None:
    text = " ".join(CliRunner().invoke(TapDrift.cli, ["--help"]).stdout.split())
    assert "Send one request for each selected stream, print whether it works, and exit." in text
    assert "Streams to extract, such as 'messages,users'" in text


def test_run_extracts_the_selected_streams_only(drift: FakeDrift, invoke_tap: InvokeTap) -> None:
    run = invoke_tap("--config=ENV", "--select=users,teams")
    assert run.returncode == 0
    streams = {json.loads(line).get("stream") for line in run.stdout.splitlines()}
    assert streams == {"users", "teams", None}
    assert drift.count_requests("/conversations/list") == 0


def test_test_mode_tests_the_selected_streams(invoke_tap: InvokeTap, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text(json.dumps(catalog("conversations")))
    run = invoke_tap(
        "--config=ENV", "--test", "--select=users", f"--catalog={tmp_path}/catalog.json"
    )
    assert run.returncode == 0
    assert run.stdout.splitlines()[1:] == ["users: works"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], set()),
        (["*.*"], {"conversations", "messages", "users"}),
        (["conversations.*", "messages.id"], {"conversations", "messages"}),
        (["*.*", "!users.*", "!messages"], {"conversations"}),
        (["!users", "*.*"], {"conversations", "messages"}),
        (["*.*", "!messages.body"], {"conversations", "messages", "users"}),
    ],
)
def test_meltano_patterns_select_streams(patterns: list[str], expected: set[str]) -> None:
    names = ("conversations", "messages", "users")
    assert selected_by_meltano(patterns, names) == expected
