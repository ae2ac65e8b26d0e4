"""`source-drift`, in Airbyte's protocol: the same records and the same state as the tap's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from airbyte_protocol.models import AirbyteMessage
from fake_target import FakeTarget
from faults import answer
from jsonschema import Draft7Validator
from runs import catalog, sync

from tap_drift.settings import SETTINGS

if TYPE_CHECKING:
    from fake_drift import FakeDrift

SOURCE = str(Path(sys.executable).with_name("source-drift"))
FAMILY = ("conversations", "conversation_details", "messages", "transcripts", "contacts")


class Said(list[dict[str, Any]]):
    """What a source said, message by message, each checked against Airbyte's models."""

    def __init__(self, output: str, code: int) -> None:
        super().__init__(json.loads(line) for line in output.splitlines())
        for message in self:
            AirbyteMessage.model_validate(message)
        self.code = code

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The content of all messages of a type."""
        return [message[kind.lower()] for message in self if message["type"] == kind]

    def outcome(self) -> Any:
        """What a check came to."""
        [outcome] = [
            each["connectionStatus"] for each in self if each["type"] == "CONNECTION_STATUS"
        ]
        return outcome

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [each["data"] for each in self.of("RECORD") if each["stream"] == stream]

    def states(self) -> list[dict[str, Any]]:
        """The last state of each stream, as Airbyte gives it back."""
        last = {state["stream"]["stream_descriptor"]["name"]: state for state in self.of("STATE")}
        return [{"type": "STREAM", "stream": state["stream"]} for state in last.values()]

    def statuses(self, stream: str) -> list[str]:
        traces = [each["stream_status"] for each in self.of("TRACE") if "stream_status" in each]
        return [each["status"] for each in traces if each["stream_descriptor"]["name"] == stream]

    def errors(self) -> list[tuple[str | None, str, str]]:
        """Of each error: the stream, the failure type, the sentence."""
        errors = [each["error"] for each in self.of("TRACE") if "error" in each]
        return [
            (
                (each.get("stream_descriptor") or {}).get("name"),
                each["failure_type"],
                each["message"],
            )
            for each in errors
        ]


class RunSource(Protocol):
    """Runs the command as Airbyte does."""

    def __call__(self, command: str, **files: Any) -> Said: ...


@pytest.fixture
def source(tmp_path: Path) -> RunSource:
    def run(command: str, **files: Any) -> Said:
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        options = [word for name in files for word in (f"--{name}", f"{name}.json")]
        run = subprocess.run(
            [SOURCE, command, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not run.stderr
        return Said(run.stdout, run.returncode)

    return run


@pytest.fixture
def signed_in(drift: FakeDrift) -> dict[str, Any]:
    """Settings as Airbyte gives them."""
    return {
        "credentials": {"auth_type": "access_token", "access_token": drift.token},
        "api_url": drift.url,
        "lookback_seconds": 0,
    }


def configured(
    *names: str, mode: str = "incremental", generation: int | None = None
) -> dict[str, Any]:
    """A configured catalog."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": [mode]},
                "sync_mode": mode,
                "destination_sync_mode": "append",
                "generation_id": generation,
            }
            for name in names
        ]
    }


def test_the_spec_has_every_setting_and_marks_the_secrets(source: RunSource) -> None:
    [spec] = source("spec").of("SPEC")
    form = spec["connectionSpecification"]
    Draft7Validator.check_schema(form)
    ways = form["properties"]["credentials"]["oneOf"]
    asked = [way["properties"] for way in ways]
    settings = SETTINGS.to_dict()["properties"]
    names = {name for way in asked for name in way} | set(form["properties"])
    assert names - {"auth_type", "credentials"} == set(settings)
    secret = {n for way in asked for n, kind in way.items() if kind.get("airbyte_secret")}
    assert secret == {name for name, kind in settings.items() if kind.get("secret")}
    assert [kind["order"] for kind in form["properties"].values()] == [
        *range(len(form["properties"]))
    ]


@pytest.mark.parametrize(
    ("credentials", "fits"),
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
def test_the_spec_takes_a_token_or_an_oauth_app(
    source: RunSource, credentials: dict[str, str], *, fits: bool
) -> None:
    [spec] = source("spec").of("SPEC")
    form = Draft7Validator(spec["connectionSpecification"])
    assert form.is_valid({"credentials": credentials}) == fits


def test_check_says_that_it_works(source: RunSource, signed_in: dict[str, Any]) -> None:
    said = source("check", config=signed_in)
    assert said.outcome() == {"status": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"credentials": {"access_token": "wrong"}}, "Drift refused the token (401"),
        ({"credentials": {}}, "`access_token` is missing"),
        ({"page_size": 0}, "`page_size` must be an integer from 1 to 100."),
        ({"api_url": "http://127.0.0.1:1"}, "Connection refused"),
    ],
)
def test_check_says_what_is_wrong(
    source: RunSource, signed_in: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    said = source("check", config=signed_in | changes)
    outcome = said.outcome()
    assert outcome["status"] == "FAILED"
    assert why in outcome["message"]
    assert said.code == 0


def test_discover_says_what_singers_catalog_says(source: RunSource) -> None:
    [found] = source("discover", config={}).of("CATALOG")
    streams = {each["name"]: each for each in found["streams"]}
    singers = {each["tap_stream_id"]: each for each in catalog()["streams"]}
    assert set(streams) == set(singers)
    for name, stream in streams.items():
        keys = [[key] for key in singers[name]["key_properties"]]
        assert stream["source_defined_primary_key"] == keys
        assert stream["json_schema"]["properties"] == singers[name]["schema"]["properties"]
        assert stream["is_resumable"] == (name in FAMILY)
        modes = ["full_refresh", "incremental"] if name in FAMILY else ["full_refresh"]
        assert stream["supported_sync_modes"] == modes
    assert streams["conversations"]["default_cursor_field"] == ["updatedAt"]
    assert streams["messages"]["source_defined_cursor"]


def test_read_gives_the_taps_records(
    source: RunSource, signed_in: dict[str, Any], config: dict[str, Any]
) -> None:
    everything = [each["tap_stream_id"] for each in catalog()["streams"]]
    said = source("read", config=signed_in, catalog=configured(*everything, mode="full_refresh"))
    taps = sync(config, catalog=catalog())
    assert said.code == 0
    assert not said.errors()
    for name in set(everything) - {"meetings"}:
        assert said.records(name) == taps.records(name)
        assert said.statuses(name) == ["STARTED", "RUNNING", "COMPLETE"]


def test_every_record_stands_in_one_state_of_its_stream(
    source: RunSource, signed_in: dict[str, Any]
) -> None:
    names = ("conversations", "messages", "users")
    said = source("read", config=signed_in, catalog=configured(*names))
    for name in names:
        states = [
            each for each in said.of("STATE") if each["stream"]["stream_descriptor"]["name"] == name
        ]
        counted = sum(each["sourceStats"]["recordCount"] for each in states)
        assert counted == len(said.records(name)) > 0


def test_a_second_read_goes_on_from_the_first(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any]
) -> None:
    wanted = configured("conversations", "messages")
    first = source("read", config=signed_in, catalog=wanted)
    drift.update_conversation(drift.conversation_ids()[-1], 1_788_000_000_000)
    requests = len(drift.requests)
    second = source("read", config=signed_in, catalog=wanted, state=first.states())
    assert second.records("conversations")[0]["id"] == drift.conversation_ids()[0]
    assert len(drift.requests) - requests < 6


def test_a_read_that_was_cut_goes_on_from_any_of_its_states(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any]
) -> None:
    wanted = configured("conversations", "messages")
    whole = source("read", config=signed_in, catalog=wanted)
    cuts = [n for n, message in enumerate(whole, start=1) if message["type"] == "STATE"]
    for cut in cuts[1:-2:2]:
        first = Said("\n".join(map(json.dumps, whole[:cut])), 0)
        requests = len(drift.requests)
        second = source("read", config=signed_in, catalog=wanted, state=first.states())
        rows = FakeTarget()
        for said in (first, second):
            singers = [
                {"type": "RECORD", "stream": each["stream"], "record": each["data"]}
                for each in said.of("RECORD")
            ]
            rows.load([*singers, {"type": "STATE", "value": {}}])
        assert not rows.missing(drift, "conversations", "messages")
        assert len(drift.requests) - requests < len(drift.conversation_ids())


def test_a_full_refresh_begins_anew_whatever_state_there_is(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any]
) -> None:
    wanted = configured("conversations", mode="full_refresh", generation=3)
    first = source("read", config=signed_in, catalog=wanted)
    second = source("read", config=signed_in, catalog=wanted, state=first.states())
    assert len(second.records("conversations")) == len(drift.conversation_ids())


@pytest.mark.parametrize(("generation", "rows"), [(3, 51), (4, 250), (None, 250)])
def test_a_full_refresh_that_was_cut_goes_on_if_it_is_still_the_same(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any], generation: Any, rows: int
) -> None:
    wanted = configured("conversations", "messages", mode="full_refresh", generation=3)
    whole = source("read", config=signed_in, catalog=wanted)
    states = [each for each in whole.of("STATE") if "resume" in each["stream"]["stream_state"]]
    cut = [{"type": "STREAM", "stream": each["stream"]} for each in states[-2:]]
    again = configured("conversations", "messages", mode="full_refresh", generation=generation)
    second = source("read", config=signed_in, catalog=again, state=cut)
    assert len(second.records("conversations")) == rows
    assert second.records("conversations")[-1]["id"] == drift.conversation_ids()[-1]


def test_a_stream_that_fails_is_incomplete_and_the_others_are_not(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any]
) -> None:
    drift.faults_by_path["/users/list"] = answer(403)
    said = source("read", config=signed_in, catalog=configured("conversations", "users"))
    assert said.code == 1
    assert said.statuses("users") == ["STARTED", "INCOMPLETE"]
    assert said.statuses("conversations") == ["STARTED", "RUNNING", "COMPLETE"]
    [(stream, kind, sentence)] = said.errors()
    assert (stream, kind) == ("users", "config_error")
    assert sentence.startswith("Drift refused the token (403 on /users/list)")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answer(401), "config_error"),
        (answer(302, Location="http://elsewhere.example"), "config_error"),
        (answer(404), "config_error"),
        (answer(400, {"error": {"type": "bad", "message": "no"}}), "system_error"),
        (answer(200, {"data": [{"createdAt": 1}], "links": {}}), "system_error"),
    ],
)
def test_an_error_says_who_can_mend_it(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any], fault: Any, kind: str
) -> None:
    drift.faults_by_path["/conversations/list"] = fault
    said = source("read", config=signed_in, catalog=configured("conversations"))
    assert [error[1] for error in said.errors()] == [kind]
    assert said.code == 1


def test_the_state_of_another_share_is_refused(
    source: RunSource, signed_in: dict[str, Any]
) -> None:
    shard = signed_in | {"shard_count": 2}
    wanted = configured("conversations")
    state = source("read", config=shard, catalog=wanted).states()
    said = source("read", config=shard | {"shard_index": 1}, catalog=wanted, state=state)
    [(_, kind, sentence)] = said.errors()
    assert kind == "config_error"
    assert "is of shard 0 of 2" in sentence


def test_an_unknown_stream_is_named(source: RunSource, signed_in: dict[str, Any]) -> None:
    said = source("read", config=signed_in, catalog=configured("conversations", "emails"))
    assert said.errors() == [
        (
            None,
            "config_error",
            "The catalog names streams that there are not: emails. Discover again.",
        )
    ]


@pytest.mark.parametrize(
    "content",
    [{}, {"streams": [{}]}, {"streams": [{"stream": {"name": "users"}, "sync_mode": "x"}]}, 3],
)
def test_a_catalog_that_is_none_is_a_config_error(
    source: RunSource, signed_in: dict[str, Any], content: Any
) -> None:
    said = source("read", config=signed_in, catalog=content)
    assert [error[1] for error in said.errors()] == ["config_error"]
    assert said.code == 1


def test_a_new_refresh_token_is_given_to_airbyte(source: RunSource, drift: FakeDrift) -> None:
    credentials = {
        "auth_type": "oauth",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "refresh_token": "sandbox-refresh-0",
    }
    config = {"credentials": credentials, "api_url": drift.url}
    said = source("check", config=config)
    [control] = said.of("CONTROL")
    kept = control["connectorConfig"]["config"]
    assert kept["credentials"]["refresh_token"] != "sandbox-refresh-0"
    assert source("check", config=kept).of("CONTROL")
    refused = source("check", config=config).outcome()
    assert "Drift refused to renew the token" in refused["message"]


def test_the_token_is_in_no_message(
    source: RunSource, drift: FakeDrift, signed_in: dict[str, Any]
) -> None:
    said = source("read", config=signed_in, catalog=configured("conversations", "users"))
    assert drift.token not in json.dumps(said)


@pytest.mark.parametrize(("level", "logged"), [("warning", False), ("info", True)])
def test_the_log_level_is_the_taps(
    source: RunSource,
    signed_in: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    *,
    logged: bool,
) -> None:
    monkeypatch.setenv("TAP_DRIFT_LOGLEVEL", level)
    said = source("read", config=signed_in, catalog=configured("users"))
    assert bool(said.of("LOG")) == logged
    assert said.code == 0


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
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
        "source-drift needs the extra `airbyte`: pip install 'tap-drift[airbyte]'.\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_is_named_where_that_can_be_written(
    drift: FakeDrift, signed_in: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(signed_in))
    (tmp_path / "catalog.json").write_text(json.dumps(configured("conversations")))
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
    assert run.stderr == "source-drift: Cannot use standard output: No space left on device.\n"
    assert len(drift.requests) < 3


def test_sigterm_ends_with_a_state_and_streams_that_are_incomplete(
    drift: FakeDrift, signed_in: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(signed_in | {"page_size": 10}))
    (tmp_path / "catalog.json").write_text(json.dumps(configured("conversations", "messages")))
    with subprocess.Popen(
        [SOURCE, "read", "--config", "config.json", "--catalog", "catalog.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        drift.on_request = lambda request: run.terminate() if request == 60 else None
        output, _ = run.communicate()
    said = Said(output, run.returncode)
    assert said.code == -signal.SIGTERM  # as PyAirbyte, which stops reading, expects
    assert said.statuses("messages")[-1] == "INCOMPLETE"
    assert "resume" in said.of("STATE")[-1]["stream"]["stream_state"]
