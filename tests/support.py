"""A Drift that can be told to fail, a clock, and ways to run the tap."""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from tap_drift.sandbox.account import Account, position
from tap_drift.sandbox.server import Answer, SandboxHandler, SandboxServer
from tap_drift.tap import TapDrift
from tap_drift.timestamps import from_epoch_ms
from tap_drift.writer import MessageWriter

if TYPE_CHECKING:
    import subprocess

# What target-duckdb needs: the last DuckDB that it loads into without loss has wheels up to 3.13.
TARGET_PYTHON = ">=3.10,<3.14"

TOKEN = "t0ken-that-nobody-may-see"

Fault = Callable[[SandboxHandler], None]
Stream = int | IO[str]


class FaultyHandler(SandboxHandler):
    """Notes every request; meets it with the next fault, if there is one."""

    server: FaultyDrift

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self.server.requests.append(self.path)
        self.server.before_answer(len(self.server.requests))
        if self.server.faults:
            self.server.faults.popleft()(self)
        else:
            super().do_GET()


def nothing(_request: int) -> None:
    """What happens before an answer, if nobody said otherwise."""


class FaultyDrift(SandboxServer):
    """A sandbox with 250 conversations, that is three pages; its next answers can be faults."""

    def __init__(self, account: Account | None = None) -> None:
        account = account or Account.from_seed(250, seed=7)
        super().__init__(account, token=TOKEN, handler=FaultyHandler)
        self.requests: list[str] = []
        self.faults: deque[Fault] = deque()
        self.before_answer: Callable[[int], None] = nothing

    def queries(self) -> list[dict[str, list[str]]]:
        """The parameters of each request so far."""
        return [parse_qs(urlsplit(path).query, keep_blank_values=True) for path in self.requests]

    def ids(self) -> list[int]:
        """The ids of the account, in the order of the listing."""
        return [conversation["id"] for conversation in self.account.conversations]

    def update(self, conversation_id: int, updated_at: int, **changes: Any) -> None:
        """Let a conversation change, which moves it in the listing."""
        for conversation in self.account.conversations:
            if conversation["id"] == conversation_id:
                conversation.update(changes, updatedAt=updated_at)
        self.account.conversations.sort(key=position)


class Table:
    """What a target holds that upserts by key, and the state that it keeps with it.

    It commits when a STATE comes: of a run that is cut, what came after the last STATE is lost.
    """

    def __init__(self) -> None:
        self.rows: dict[int, tuple[str, str]] = {}
        self.state: dict[str, Any] | None = None

    def load(self, messages: list[dict[str, Any]]) -> None:
        """Take what a run said, as far as it said it."""
        waiting: dict[int, tuple[str, str]] = {}
        for message in messages:
            if message["type"] == "RECORD":
                record = message["record"]
                waiting[record["id"]] = record["status"], record["updatedAt"]
            if message["type"] == "STATE":
                self.rows |= waiting
                waiting = {}
                self.state = message["value"]

    def missing(self, drift: FaultyDrift) -> dict[int, Any]:
        """The conversations that are not here as they are in the account, or not there at all."""
        account = {
            c["id"]: (c["status"], from_epoch_ms(c["updatedAt"]))
            for c in drift.account.conversations
        }
        return dict(set(account.items()) ^ set(self.rows.items()))


class Messages(MessageWriter):
    """Collects Singer messages, each as it would stand on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, Any]] = []

    def add(self, line: bytes) -> None:
        self.all.append(json.loads(line))

    def flush(self) -> None:
        """Nothing waits to go anywhere."""

    def records(self) -> list[dict[str, Any]]:
        return [message["record"] for message in self.all if message["type"] == "RECORD"]

    def ids(self) -> list[int]:
        return [record["id"] for record in self.records()]

    def state(self) -> dict[str, Any]:
        """The last state."""
        return next(m["value"] for m in reversed(self.all) if m["type"] == "STATE")


def sync(
    config: Mapping[str, Any],
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    messages: Messages | None = None,
) -> Messages:
    """Run the tap in this process.

    Args:
        config: Its settings.
        state: The state of an earlier run.
        catalog: A catalog other than the discovered one.
        messages: Where to collect what it says; for runs that fail.

    Returns:
        What it said.
    """
    messages = messages or Messages()
    tap = TapDrift(config=dict(config), state=state, catalog=catalog, message_writer=messages)
    tap.sync_all()
    return messages


def answer(status: int = 200, body: Any = "", **headers: str) -> Fault:
    """Answer with this, whatever was asked; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(Answer(HTTPStatus(status), body, named))


def page(*rows: dict[str, Any], **links: Any) -> Fault:
    """Answer with a page of these rows and these links."""
    return answer(body={"data": rows, "links": links})


def truncated(handler: SandboxHandler) -> None:
    """End the connection in the middle of the body."""
    handler.send(Answer(HTTPStatus.OK, '{"data": [', {"Content-Length": "1000"}))
    handler.close_connection = True


def reset(handler: SandboxHandler) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class RunTap(Protocol):
    """Runs the command `tap-drift` as a user does."""

    def __call__(
        self, *arguments: str, stdin: Stream = ..., stdout: Stream = ..., **environment: str
    ) -> subprocess.CompletedProcess[str]: ...


class RunPipe(Protocol):
    """Runs `tap-drift | target`, and gives the state that the target ends with."""

    def __call__(
        self, name: str, target_config: dict[str, Any], state: dict[str, Any] | None = ...
    ) -> dict[str, Any]: ...
