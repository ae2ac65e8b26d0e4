"""Tests of `source-drift`: the tap as an Airbyte source connector."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from airbyte_protocol.models import AirbyteMessage
from click.testing import CliRunner
from fake_target import FakeTarget
from faults import answer
from jsonschema import Draft7Validator
from runs import catalog, sync

from tap_drift.airbyte.command import source as source_command
from tap_drift.airbyte.writer import AirbyteWriter
from tap_drift.sandbox.data.account import Account
from tap_drift.settings import SETTINGS
from tap_drift.timestamps import from_epoch_ms

if TYPE_CHECKING:
    from fake_drift import FakeDrift

SOURCE = str(Path(sys.executable).with_name("source-drift"))
INCREMENTAL = (
    "conversations",
    "conversation_details",
    "messages",
    "attachments",
    "transcripts",
    "contacts",
)


class SourceOutput(list[dict[str, Any]]):
    """The messages and the exit code of a source; validates each message with Airbyte's models."""

    def __init__(self, stdout: str, exit_code: int) -> None:
        super().__init__(json.loads(line) for line in stdout.splitlines())
        for message in self:
            AirbyteMessage.model_validate(message)
        self.exit_code = exit_code

    def of_type(self, message_type: str) -> list[dict[str, Any]]:
        """The content of each message of a type."""
        key = message_type.lower()
        return [message[key] for message in self if message["type"] == message_type]

    def connection_status(self) -> Any:
        [status] = [
            message["connectionStatus"]
            for message in self
            if message["type"] == "CONNECTION_STATUS"
        ]
        return status

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [record["data"] for record in self.of_type("RECORD") if record["stream"] == stream]

    def states(self, stream: str) -> list[dict[str, Any]]:
        states = self.of_type("STATE")
        return [each for each in states if each["stream"]["stream_descriptor"]["name"] == stream]

    def last_states(self) -> list[dict[str, Any]]:
        """The last state of each stream, in the format of `--state`."""
        last = {
            state["stream"]["stream_descriptor"]["name"]: state for state in self.of_type("STATE")
        }
        return [{"type": "STREAM", "stream": state["stream"]} for state in last.values()]

    def statuses(self, stream: str) -> list[str]:
        traces = [
            trace["stream_status"] for trace in self.of_type("TRACE") if "stream_status" in trace
        ]
        return [each["status"] for each in traces if each["stream_descriptor"]["name"] == stream]

    def errors(self) -> list[tuple[str | None, str, str]]:
        """Stream name, failure type and message of each error."""
        errors = [trace["error"] for trace in self.of_type("TRACE") if "error" in trace]
        return [
            (
                (error.get("stream_descriptor") or {}).get("name"),
                error["failure_type"],
                error["message"],
            )
            for error in errors
        ]


class RunSource(Protocol):
    """Runs a subcommand of `source-drift`; each keyword becomes a JSON file and an option."""

    def __call__(self, command: str, **files: Any) -> SourceOutput: ...


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSource:
    """Run the command in this process."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, **files: Any) -> SourceOutput:
        arguments = [command, *write_files(tmp_path, files)]
        result = CliRunner().invoke(source_command, arguments, catch_exceptions=False)
        assert not result.stderr
        return SourceOutput(result.stdout, result.exit_code)

    return run


@pytest.fixture
def source_process(tmp_path: Path) -> RunSource:
    """Run the command as a process."""

    def run(command: str, **files: Any) -> SourceOutput:
        process = subprocess.run(
            [SOURCE, command, *write_files(tmp_path, files)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not process.stderr
        return SourceOutput(process.stdout, process.returncode)

    return run


def write_files(folder: Path, files: dict[str, Any]) -> list[str]:
    """Write the JSON files, and return the options that name them in this folder."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [word for name in files for word in (f"--{name}", f"{name}.json")]


@pytest.fixture
def spec(source: RunSource) -> dict[str, Any]:
    [specification] = source("spec").of_type("SPEC")
    return specification


@pytest.fixture
def account() -> Account:
    return Account.from_seed(25, seed=7)


@pytest.fixture
def airbyte_config(drift: FakeDrift) -> dict[str, Any]:
    """A configuration with which the listing has three pages."""
    return {
        "credentials": {"auth_type": "access_token", "access_token": drift.token},
        "api_url": drift.url,
        "lookback_seconds": 0,
        "page_size": 10,
    }


def configured_catalog(
    *names: str, mode: str = "incremental", generation_id: int | None = None
) -> dict[str, Any]:
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": [mode]},
                "sync_mode": mode,
                "destination_sync_mode": "append",
                "generation_id": generation_id,
            }
            for name in names
        ]
    }


def test_spec_lists_every_setting_and_marks_secrets(spec: dict[str, Any]) -> None:
    schema = spec["connectionSpecification"]
    Draft7Validator.check_schema(schema)
    properties = schema["properties"]
    credentials = {
        name: setting
        for option in properties["credentials"]["oneOf"]
        for name, setting in option["properties"].items()
    }
    settings = SETTINGS.to_dict()["properties"]
    names = {*credentials, *properties}
    assert names - {"auth_type", "credentials"} == set(settings)
    secret = {name for name, setting in credentials.items() if setting.get("airbyte_secret")}
    assert secret == {name for name, setting in settings.items() if setting.get("secret")}
    assert [setting["order"] for setting in properties.values()] == [*range(len(properties))]


@pytest.mark.parametrize(
    ("credentials", "is_valid"),
    [
        ({"auth_type": "access_token", "access_token": "t"}, True),
        (
            {"auth_type": "oauth", "client_id": "i", "client_secret": "s", "refresh_token": "r"},
            True,
        ),
        ({"auth_type": "oauth", "client_id": "i"}, False),
        ({"auth_type": "access_token"}, False),
    ],
)
def test_spec_accepts_token_or_oauth_credentials(
    spec: dict[str, Any], credentials: dict[str, str], *, is_valid: bool
) -> None:
    validator = Draft7Validator(spec["connectionSpecification"])
    assert validator.is_valid({"credentials": credentials}) == is_valid


def test_check_with_valid_config_succeeds(
    source: RunSource, airbyte_config: dict[str, Any]
) -> None:
    output = source("check", config=airbyte_config)
    assert output.connection_status() == {"status": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"credentials": {"access_token": "wrong"}}, "Drift refused the token (401"),
        ({"credentials": {}}, "`access_token` is missing"),
        ({"page_size": 0}, "`page_size` must be an integer from 1 to 100."),
        ({"api_url": "http://127.0.0.1:1"}, "Connection refused"),
    ],
)
def test_check_with_invalid_config_reports_the_reason(
    source: RunSource, airbyte_config: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    output = source("check", config=airbyte_config | changes)
    status = output.connection_status()
    assert status["status"] == "FAILED"
    assert reason in status["message"]
    assert output.exit_code == 0


def test_batch_config_is_a_config_error(
    source: RunSource, airbyte_config: dict[str, Any], tmp_path: Path
) -> None:
    """Airbyte has no message for a batch file, so its records would be lost."""
    batch = {"encoding": {"format": "jsonl"}, "storage": {"root": tmp_path.as_uri()}}
    output = source("check", config=airbyte_config | {"batch_config": batch})
    assert output.connection_status() == {
        "status": "FAILED",
        "message": "`batch_config` cannot be used with Airbyte, which has no message for batch "
        "files: remove it.",
    }


def test_unknown_setting_is_one_warning_without_values(
    source: RunSource, airbyte_config: dict[str, Any]
) -> None:
    airbyte_config["credentials"]["client_secrets"] = "s3cret"
    catalog = configured_catalog("conversations")
    output = source("read", config=airbyte_config, catalog=catalog)
    [warning] = [log["message"] for log in output.of_type("LOG") if log["level"] == "WARN"]
    assert warning == (
        "tap-drift: The unknown setting `client_secrets` is ignored: did you mean `client_secret`?"
    )
    assert "s3cret" not in json.dumps(output)


def test_discover_matches_the_singer_catalog(source: RunSource) -> None:
    [discovered] = source("discover", config={}).of_type("CATALOG")
    streams = {stream["name"]: stream for stream in discovered["streams"]}
    singer_streams = {stream["tap_stream_id"]: stream for stream in catalog()["streams"]}
    assert set(streams) == set(singer_streams)
    for name, stream in streams.items():
        singer = singer_streams[name]
        primary_key = [[key] for key in singer["key_properties"]]
        assert stream["source_defined_primary_key"] == primary_key
        assert stream["json_schema"]["properties"] == singer["schema"]["properties"]


def test_discover_marks_incremental_streams(source: RunSource) -> None:
    [discovered] = source("discover", config={}).of_type("CATALOG")
    streams = {stream["name"]: stream for stream in discovered["streams"]}
    for name, stream in streams.items():
        is_incremental = name in INCREMENTAL
        modes = ["full_refresh", "incremental"] if is_incremental else ["full_refresh"]
        assert stream["supported_sync_modes"] == modes
        assert stream["is_resumable"] == is_incremental
    assert streams["conversations"]["default_cursor_field"] == ["updatedAt"]
    assert streams["messages"]["source_defined_cursor"]


def test_read_emits_the_records_of_the_tap(
    source: RunSource, airbyte_config: dict[str, Any], config: dict[str, Any]
) -> None:
    names = [stream["tap_stream_id"] for stream in catalog()["streams"]]
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog(*names, mode="full_refresh")
    )
    singer_output = sync(config, catalog=catalog())
    assert output.exit_code == 0
    assert not output.errors()
    for name in set(names) - {"meetings", "failed_items"}:
        assert output.records(name) == singer_output.records(name)
        assert output.statuses(name) == ["STARTED", "RUNNING", "COMPLETE"]
    assert output.statuses("failed_items") == ["STARTED", "COMPLETE"]


def test_states_count_every_record_once(source: RunSource, airbyte_config: dict[str, Any]) -> None:
    names = ("conversations", "messages", "users")
    output = source("read", config=airbyte_config, catalog=configured_catalog(*names))
    for name in names:
        counts = [state["sourceStats"]["recordCount"] for state in output.states(name)]
        assert sum(counts) == len(output.records(name)) > 0


def test_second_read_requests_only_updates(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    configured = configured_catalog("conversations", "messages")
    first = source("read", config=airbyte_config, catalog=configured)
    drift.update_conversation(drift.conversation_ids()[-1], 1_788_000_000_000)
    requests_before = len(drift.requests)
    second = source("read", config=airbyte_config, catalog=configured, state=first.last_states())
    assert second.records("conversations")[0]["id"] == drift.conversation_ids()[0]
    assert len(drift.requests) - requests_before < 6


def test_read_with_more_statuses_emits_what_is_missing(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    catalog = configured_catalog("conversations")
    first = source("read", config=airbyte_config | {"statuses": ["open"]}, catalog=catalog)
    second = source("read", config=airbyte_config, catalog=catalog, state=first.last_states())
    rows = first.records("conversations") + second.records("conversations")
    assert {row["id"] for row in rows} == {*drift.conversation_ids()}
    assert len(rows) == len(drift.conversation_ids()) + 1


def test_interrupted_read_resumes_from_any_state(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    configured = configured_catalog("conversations", "messages")
    whole = source("read", config=airbyte_config, catalog=configured)
    ends = [n for n, message in enumerate(whole, start=1) if message["type"] == "STATE"]
    for end in ends[1:-2:2]:
        first = SourceOutput("\n".join(map(json.dumps, whole[:end])), 0)
        requests_before = len(drift.requests)
        second = source(
            "read", config=airbyte_config, catalog=configured, state=first.last_states()
        )
        target = FakeTarget()
        for output in (first, second):
            singer_records = [
                {"type": "RECORD", "stream": record["stream"], "record": record["data"]}
                for record in output.of_type("RECORD")
            ]
            target.load([*singer_records, {"type": "STATE", "value": {}}])
        assert not target.missing(drift, "conversations", "messages")
        assert len(drift.requests) - requests_before < len(drift.conversation_ids())


def test_full_refresh_ignores_the_state_of_a_finished_sync(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    configured = configured_catalog("conversations", mode="full_refresh", generation_id=3)
    first = source("read", config=airbyte_config, catalog=configured)
    second = source("read", config=airbyte_config, catalog=configured, state=first.last_states())
    assert len(second.records("conversations")) == len(drift.conversation_ids())


@pytest.mark.parametrize(("generation_id", "rows"), [(3, 6), (4, 25), (None, 25)])
def test_interrupted_refresh_resumes_only_its_own_generation(
    source: RunSource,
    drift: FakeDrift,
    airbyte_config: dict[str, Any],
    generation_id: Any,
    rows: int,
) -> None:
    configured = configured_catalog(
        "conversations", "messages", mode="full_refresh", generation_id=3
    )
    whole = source("read", config=airbyte_config, catalog=configured)
    resume_points = [
        state for state in whole.of_type("STATE") if "resume" in state["stream"]["stream_state"]
    ]
    states = [{"type": "STREAM", "stream": state["stream"]} for state in resume_points[-2:]]
    next_catalog = configured_catalog(
        "conversations", "messages", mode="full_refresh", generation_id=generation_id
    )
    second = source("read", config=airbyte_config, catalog=next_catalog, state=states)
    assert len(second.records("conversations")) == rows
    assert second.records("conversations")[-1]["id"] == drift.conversation_ids()[-1]


def test_failed_stream_is_incomplete_and_others_complete(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    drift.faults_by_path["/users/list"] = answer(403)
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog("conversations", "users")
    )
    assert output.exit_code == 1
    assert output.statuses("users") == ["STARTED", "INCOMPLETE"]
    assert output.statuses("conversations") == ["STARTED", "RUNNING", "COMPLETE"]
    [(stream, failure_type, message)] = output.errors()
    assert (stream, failure_type) == ("users", "config_error")
    assert message.startswith("Drift refused the token (403 on /users/list)")


def test_stream_with_failed_items_is_incomplete(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    bad = drift.conversation_ids()[20]
    drift.faults_by_path[f"/conversations/{bad}/messages"] = answer(403)
    configured = configured_catalog("conversations", "messages", "failed_items")
    output = source("read", config=airbyte_config, catalog=configured)
    assert output.exit_code == 1
    assert output.statuses("messages") == ["STARTED", "RUNNING", "INCOMPLETE"]
    assert output.statuses("conversations") == ["STARTED", "RUNNING", "COMPLETE"]
    assert output.statuses("failed_items") == ["STARTED", "RUNNING", "COMPLETE"]
    [(stream, failure_type, message)] = output.errors()
    assert (stream, failure_type) == ("messages", "transient_error")
    assert message.startswith("1 item could not be read; all others were")
    assert [row["id"] for row in output.records("failed_items")] == [bad]

    drift.faults_by_path.clear()
    requests_before = len(drift.requests)
    second = source("read", config=airbyte_config, catalog=configured, state=output.last_states())
    assert second.exit_code == 0
    assert second.statuses("messages") == ["STARTED", "RUNNING", "COMPLETE"]
    assert bad in {record["conversationId"] for record in second.records("messages")}
    assert "failed_items" not in second.states("messages")[-1]["stream"]["stream_state"]
    assert len(drift.requests) - requests_before == 3


def test_stream_with_allowed_failed_items_is_complete(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    bad = drift.conversation_ids()[20]
    drift.faults_by_path[f"/conversations/{bad}/messages"] = answer(403)
    output = source(
        "read",
        config=airbyte_config | {"max_failed_items": 1},
        catalog=configured_catalog("messages"),
    )
    assert output.exit_code == 0
    assert output.errors() == []
    assert output.statuses("messages") == ["STARTED", "RUNNING", "COMPLETE"]
    assert [*output.states("messages")[-1]["stream"]["stream_state"]["failed_items"]] == [str(bad)]


def test_refused_stream_is_a_config_error(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    drift.tokens.scopes = ["conversation_read"]
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog("conversations", "contacts")
    )
    [(stream, failure_type, message)] = output.errors()
    assert (stream, failure_type) == ("contacts", "config_error")
    assert "`contact_read`" in message


@pytest.mark.parametrize(
    ("fault", "failure_type"),
    [
        (answer(401), "config_error"),
        (answer(302, Location="http://elsewhere.example"), "config_error"),
        (answer(404), "config_error"),
        (answer(400, {"error": {"type": "bad", "message": "no"}}), "system_error"),
        (answer(200, {"data": [{"createdAt": 1}], "links": {}}), "system_error"),
    ],
)
def test_error_has_the_failure_type_of_its_cause(
    source: RunSource,
    drift: FakeDrift,
    airbyte_config: dict[str, Any],
    fault: Any,
    failure_type: str,
) -> None:
    drift.faults_by_path["/conversations/list"] = fault
    catalog = configured_catalog("conversations", "messages")
    output = source("read", config=airbyte_config, catalog=catalog)
    assert [error[1] for error in output.errors()] == [failure_type] * 2
    assert output.exit_code == 1


def test_state_of_another_shard_is_a_config_error(
    source: RunSource, airbyte_config: dict[str, Any]
) -> None:
    shard = airbyte_config | {"shard_count": 2}
    configured = configured_catalog("conversations")
    state = source("read", config=shard, catalog=configured).last_states()
    output = source("read", config=shard | {"shard_index": 1}, catalog=configured, state=state)
    [(_, failure_type, message)] = output.errors()
    assert failure_type == "config_error"
    assert "belongs to shard 0 of 2" in message


def test_unknown_stream_in_catalog_does_not_fail_the_others(
    source: RunSource, airbyte_config: dict[str, Any]
) -> None:
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog("conversations", "emails")
    )
    [(stream, failure_type, message)] = output.errors()
    assert (stream, failure_type) == ("emails", "config_error")
    assert message.startswith("The catalog has a stream `emails` that this source does not have.")
    assert output.statuses("conversations") == ["STARTED", "RUNNING", "COMPLETE"]
    assert output.exit_code == 1


def test_unknown_stream_is_reported_beside_a_failed_one(
    source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    drift.faults_by_path["/users/list"] = answer(403)
    output = source("read", config=airbyte_config, catalog=configured_catalog("users", "emails"))
    assert [error[:2] for error in output.errors()] == [
        ("emails", "config_error"),
        ("users", "config_error"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"streams": [{}]},
        {"streams": [{"stream": {"name": "users"}, "sync_mode": "x"}]},
        {"streams": [{"stream": {"name": 5}, "sync_mode": "full_refresh"}]},
        3,
    ],
)
def test_malformed_catalog_is_a_config_error(
    source: RunSource, airbyte_config: dict[str, Any], content: Any
) -> None:
    output = source("read", config=airbyte_config, catalog=content)
    assert [error[1] for error in output.errors()] == ["config_error"]
    assert output.exit_code == 1


# States of other shapes


def stream_state(state: Any, name: Any = "conversations") -> dict[str, Any]:
    return {"stream_descriptor": {"name": name}, "stream_state": state}


def bookmark(drift: FakeDrift) -> dict[str, Any]:
    """A state from which a run emits the newest conversation only."""
    head = from_epoch_ms(drift.account.conversations[0]["updatedAt"])
    return {"replication_key": "updatedAt", "replication_key_value": head}


@pytest.mark.parametrize(
    "state",
    [
        lambda state: {"type": "STREAM", "stream": stream_state(state)},
        lambda state: [{"stream": stream_state(state)}],
        lambda state: [
            {"type": "STREAM", "stream": stream_state(state), "global": None, "data": None}
        ],
        lambda state: [{"type": "GLOBAL", "global": {"stream_states": [stream_state(state)]}}],
        lambda state: [{"type": "LEGACY", "data": {"bookmarks": {"conversations": state}}}],
        lambda state: [{"data": {"bookmarks": {"conversations": state}}}],
        lambda state: [
            {"type": "STATE", "state": {"type": "STREAM", "stream": stream_state(each)}}
            for each in (dict[str, Any](), state)
        ],
    ],
    ids=[
        *("one message", "without type", "nulls", "GLOBAL", "LEGACY", "LEGACY without type"),
        "as written by read",
    ],
)
def test_read_resumes_from_each_kind_of_state(
    state: Any, source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    output = source(
        "read",
        config=airbyte_config,
        catalog=configured_catalog("conversations"),
        state=state(bookmark(drift)),
    )
    assert not output.errors()
    assert [row["id"] for row in output.records("conversations")] == drift.conversation_ids()[:1]


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        [{"type": "LEGACY", "data": {}}],
        [{"type": "LEGACY", "data": None}],
        [{"stream": {"stream_descriptor": {"name": "conversations"}}}],
        [{"stream": stream_state({}, "emails")}],
    ],
)
def test_state_without_progress_reads_everything(
    state: Any, source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog("conversations"), state=state
    )
    assert not output.errors()
    assert len(output.records("conversations")) == len(drift.conversation_ids())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([5], "is not a list of Airbyte state messages"),
        ([{"type": "STREAM"}], "is not a list of Airbyte state messages"),
        ([{"type": "STATE"}], "is not a list of Airbyte state messages"),
        ([{"stream": stream_state("text")}], "is not a list of Airbyte state messages"),
        ([{"stream": stream_state({}, ["conversations"])}], "is not a list of Airbyte state"),
        ([{"type": "GLOBAL", "global": {}}], "is not a list of Airbyte state messages"),
        ([{"data": {"conversations": {}}}], "is not a list of Airbyte state messages"),
        ([{"data": {"bookmarks": {"conversations": 5}}}], "is not a list of Airbyte state"),
        ("text", "is a string, not an object or a list"),
        ([{"stream": stream_state({"replication_key_value": 5})}], "is not a date-time"),
        ([{"stream": stream_state({"failed_items": []})}], "has another form"),
        ([{"stream": stream_state({"shard": 5})}], "is not an index and a count"),
    ],
)
def test_state_of_another_shape_is_a_config_error(
    state: Any, message: str, source: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    output = source(
        "read", config=airbyte_config, catalog=configured_catalog("conversations"), state=state
    )
    [(stream, failure_type, text)] = output.errors()
    assert (stream, failure_type) == (None, "config_error")
    assert message in text
    assert output.exit_code == 1
    assert drift.requests == []


def test_new_refresh_token_is_sent_in_a_control_message(
    source: RunSource, drift: FakeDrift
) -> None:
    credentials = {
        "auth_type": "oauth",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "refresh_token": "sandbox-refresh-0",
    }
    config = {"credentials": credentials, "api_url": drift.url}
    output = source("check", config=config)
    [control] = output.of_type("CONTROL")
    new_config = control["connectorConfig"]["config"]
    assert new_config["credentials"]["refresh_token"] != "sandbox-refresh-0"
    assert source("check", config=new_config).of_type("CONTROL")
    status = source("check", config=config).connection_status()
    assert "Drift refused to refresh the token" in status["message"]


def test_messages_do_not_contain_the_token(
    source_process: RunSource, drift: FakeDrift, airbyte_config: dict[str, Any]
) -> None:
    output = source_process(
        "read", config=airbyte_config, catalog=configured_catalog("conversations", "users")
    )
    assert output.exit_code == 0
    assert drift.token not in json.dumps(output)


@pytest.mark.parametrize(("level", "logged"), [("warning", False), ("info", True)])
def test_log_level_comes_from_the_environment(
    source: RunSource,
    airbyte_config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    *,
    logged: bool,
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", level)
    output = source("read", config=airbyte_config, catalog=configured_catalog("users"))
    assert bool(output.of_type("LOG")) == logged
    assert output.exit_code == 0


class InterruptedOutput(io.RawIOBase):
    """Raises a signal within the first line that is written."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.lines.append(bytes(data))
        if len(self.lines) == 1:
            signal.raise_signal(signal.SIGTERM)
        return len(data)


def test_signal_within_a_log_line_is_handled_after_it() -> None:
    output = InterruptedOutput()
    writer = AirbyteWriter(io.BufferedWriter(output))
    signal.signal(
        signal.SIGTERM, lambda *_: writer.between_lines(lambda: writer.write_control({"page": 2}))
    )
    writer.write_control({"page": 1})
    configs = [json.loads(line)["control"]["connectorConfig"]["config"] for line in output.lines]
    assert configs == [{"page": 1}, {"page": 2}]


def test_log_line_of_a_thread_is_written_when_a_signal_is_handled() -> None:
    """The handler may wait for that thread, which holds the lock of the log."""
    output = InterruptedOutput()
    writer = AirbyteWriter(io.BufferedWriter(output))
    thread = threading.Thread(target=writer.write_control, args=[{"page": 2}], daemon=True)

    def handle() -> None:
        thread.start()
        thread.join(30)

    signal.signal(signal.SIGTERM, lambda *_: writer.between_lines(handle))
    writer.write_control({"page": 1})
    assert len(output.lines) == 2


def test_signal_at_the_start_ends_by_sigterm(
    airbyte_config: dict[str, Any], tmp_path: Path
) -> None:
    """The SDK handles signals before the tap has its writer."""
    (tmp_path / "config.json").write_text(json.dumps(airbyte_config))
    code = """
import signal
from tap_drift.airbyte import command

class InterruptedSource(command.SourceDrift):
    def _setup_signal_handlers(self):
        super()._setup_signal_handlers()
        signal.raise_signal(signal.SIGTERM)

command.SourceDrift = InterruptedSource
command.run()
"""
    command = [sys.executable, "-c", code, "discover", "--config", "config.json"]
    run = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
    assert (run.stdout, run.returncode) == ("", -signal.SIGTERM)


def test_unknown_log_level_is_a_config_error(
    source: RunSource, airbyte_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", "verbose")
    output = source("read", config=airbyte_config, catalog=configured_catalog("users"))
    [(stream, failure_type, message)] = output.errors()
    assert (stream, failure_type) == (None, "config_error")
    assert message.startswith("TAP_DRIFT_LOGLEVEL must be one of ")
    status = source("check", config=airbyte_config).connection_status()
    assert status == {"status": "FAILED", "message": message}


def test_missing_extra_is_reported_with_install_command(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name.startswith('airbyte_p') else find(name, *a)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", "from tap_drift.airbyte import main; main()", "spec"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == (
        "source-drift requires the extra `airbyte`. In a checkout of the repository, run `uv run "
        "--extra airbyte source-drift`; elsewhere, install it with pip install 'PATH[airbyte]', "
        "where PATH is that of the checkout.\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_disk_is_reported_on_stderr(
    drift: FakeDrift, airbyte_config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(airbyte_config))
    (tmp_path / "catalog.json").write_text(json.dumps(configured_catalog("conversations")))
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [SOURCE, "read", "--config", "config.json", "--catalog", "catalog.json"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr == "source-drift: Cannot write to standard output: No space left on device.\n"
    assert len(drift.requests) < 3


def test_sigterm_writes_state_and_incomplete_statuses(
    drift: FakeDrift, airbyte_config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(airbyte_config | {"page_size": 2}))
    (tmp_path / "catalog.json").write_text(
        json.dumps(configured_catalog("conversations", "messages"))
    )
    with subprocess.Popen(
        [SOURCE, "read", "--config", "config.json", "--catalog", "catalog.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        drift.on_request = lambda request: run.terminate() if request == 20 else None
        stdout, _ = run.communicate()
    output = SourceOutput(stdout, run.returncode)
    assert output.exit_code == -signal.SIGTERM  # ended by the signal, as PyAirbyte expects
    assert output.statuses("messages")[-1] == "INCOMPLETE"
    assert "resume" in output.of_type("STATE")[-1]["stream"]["stream_state"]
