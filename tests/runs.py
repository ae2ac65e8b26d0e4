"""Functions that run the tap, and classes that collect its messages."""

from __future__ import annotations

import json
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Protocol

import pytest

from tap_drift.exceptions import StreamsFailedError
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from fake_target import FakeTarget

# The last DuckDB that target-duckdb loads into without losing rows has wheels up to 3.13.
TARGET_PYTHON = ">=3.11,<3.14"

StandardStream = int | IO[str]


class CapturedMessages(MessageWriter):
    """Collects the Singer messages of a run instead of writing them to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, Any]] = []

    def add(self, line: bytes) -> None:
        self.all.append(json.loads(line))

    def flush(self) -> None:
        """Do nothing: no message is buffered."""

    def records(self, stream: str = "conversations") -> list[dict[str, Any]]:
        records = [message for message in self.all if message["type"] == "RECORD"]
        return [message["record"] for message in records if message["stream"] == stream]

    def record_ids(self, stream: str = "conversations") -> list[Any]:
        return [record["id"] for record in self.records(stream)]

    def bookmarks(self) -> dict[str, Any]:
        """Return the replication key value of each stream in the last state, or None."""
        streams = self.state()["bookmarks"].items()
        return {name: state.get("replication_key_value") for name, state in streams}

    def state(self) -> dict[str, Any]:
        """Return the last state."""
        return next(m["value"] for m in reversed(self.all) if m["type"] == "STATE")


def sync(
    config: Mapping[str, Any],
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    messages: CapturedMessages | None = None,
) -> CapturedMessages:
    """Run the tap in this process.

    Args:
        config: The settings.
        state: The state of an earlier run.
        catalog: A catalog in place of the discovered one.
        messages: Where to collect the messages, for a run that raises.
    """
    messages = messages or CapturedMessages()
    tap = TapDrift(config=dict(config), state=state, catalog=catalog, message_writer=messages)
    tap.sync_all()
    return messages


def as_lines(messages: list[dict[str, Any]]) -> bytes:
    """Return messages as the input of a target."""
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def sync_failing(
    config: Mapping[str, Any],
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
) -> tuple[CapturedMessages, str]:
    """Run the tap with a stream that fails; return the messages and the text of the error."""
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError) as error:
        sync(config, state, catalog, messages)
    return messages, str(error.value)


@cache
def _discovered_catalog() -> str:
    return TapDrift(validate_config=False).catalog_json_text


def catalog(*names: str) -> dict[str, Any]:
    """Return the discovered catalog with only these streams selected; all, without names."""
    discovered: dict[str, Any] = json.loads(_discovered_catalog())
    for stream in discovered["streams"]:
        is_selected = not names or stream["tap_stream_id"] in names
        stream["metadata"][-1]["metadata"]["selected"] = is_selected
    return discovered


def catalog_entry(catalog: dict[str, Any], name: str = "conversations") -> dict[str, Any]:
    """Return a stream's entry in a catalog."""
    return next(entry for entry in catalog["streams"] if entry["tap_stream_id"] == name)


class RunTap(Protocol):
    """Runs the command `tap-drift` as a process."""

    def __call__(
        self,
        *arguments: str,
        stdin: StandardStream = ...,
        stdout: StandardStream = ...,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]: ...


class InvokeTap(Protocol):
    """Runs the command `tap-drift` in this process."""

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]: ...


class RunPipe(Protocol):
    """Runs the tap into a target, and returns the state that the target writes."""

    def __call__(
        self,
        name: str,
        target_config: dict[str, Any],
        state: dict[str, Any] | None = ...,
        streams: tuple[str, ...] = ...,
        pip_url: str | None = ...,
        **settings: Any,
    ) -> dict[str, Any]: ...


class InlineThread:
    """A thread that runs its target when it is started."""

    def __init__(self, target: Callable[[], object], **_: object) -> None:
        self.start = target


class Interrupted(BaseException):
    """Raised in place of a message after which a run is interrupted."""


class InterruptingMessages(CapturedMessages):
    """Interrupts the run after this number of messages."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def add(self, line: bytes) -> None:
        if len(self.all) == self.limit:
            raise Interrupted
        super().add(line)


def sync_interrupted(
    config: dict[str, Any],
    target: FakeTarget,
    limit: int,
    catalog: dict[str, Any] | None = None,
) -> bool:
    """Run from the target's state, interrupt after `limit` messages, and load them.

    Returns:
        Whether the run was complete before it reached the limit.
    """
    messages = InterruptingMessages(limit)
    try:
        sync(config, target.state, catalog, messages)
    except Interrupted:
        return False
    finally:
        target.load(messages.all)
    return True
