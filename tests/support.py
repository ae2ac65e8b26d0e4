"""A Drift that can be told to fail, a clock, and ways to run the tap."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from tap_drift.sandbox.data.account import Account, position
from tap_drift.sandbox.data.messages import transcript
from tap_drift.sandbox.server import Answer, SandboxHandler, SandboxServer
from tap_drift.sync.writer import MessageWriter
from tap_drift.tap import TapDrift
from tap_drift.timestamps import from_epoch_ms

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
        self.server.before_answer(self.server.note(self.path))
        fault = self.server.fault_for(self.path)
        if fault:
            fault(self)
        else:
            super().do_GET()

    def answer(self) -> Answer:
        with self.server.lock:
            return super().answer()


def nothing(_request: int) -> None:
    """What happens before an answer, if nobody said otherwise."""


class FaultyDrift(SandboxServer):
    """A sandbox with 250 conversations, that is three pages; its next answers can be faults."""

    def __init__(self, account: Account | None = None, **options: Any) -> None:
        account = account or Account.from_seed(250, seed=7)
        super().__init__(account, token=TOKEN, handler=FaultyHandler, **options)
        self.requests: list[str] = []
        self.faults: deque[Fault] = deque()
        """What meets the next requests, whatever they ask for."""
        self.faults_at: dict[str, Fault] = {}
        """What meets every request whose path has this in it, query and all."""
        self.before_answer: Callable[[int], None] = nothing
        self.lock = threading.RLock()
        """The account changes between answers."""

    def note(self, path: str) -> int:
        """Note a request; its number."""
        with self.lock:
            self.requests.append(path)
            return len(self.requests)

    def fault_for(self, path: str) -> Fault | None:
        """What meets a request, if it is not to be answered as usual."""
        if self.faults:
            return self.faults.popleft()
        return next((fault for part, fault in self.faults_at.items() if part in path), None)

    def asked(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in path for path in self.requests)

    def queries(self) -> list[dict[str, list[str]]]:
        """The parameters of each request so far."""
        return [parse_qs(urlsplit(path).query, keep_blank_values=True) for path in self.requests]

    def ids(self) -> list[int]:
        """The ids of the account, in the order of the listing."""
        return [conversation["id"] for conversation in self.account.conversations]

    def update(self, conversation_id: int, updated_at: int, **changes: Any) -> None:
        """Let a conversation change, which moves it in the listing."""
        with self.lock:
            for conversation in self.account.conversations:
                if conversation["id"] == conversation_id:
                    conversation.update(changes, updatedAt=updated_at)
            self.account.conversations.sort(key=position)

    def say(self, conversation_id: int, created_at: int, body: str = "<p>And?</p>") -> int:
        """Let somebody write, which updates the conversation; the message's id."""
        with self.lock:
            said = self.account.said
            message_id = 8 * 10**18 + sum(map(len, said.values()))  # above all made from seeds
            said.setdefault(conversation_id, []).append(
                {
                    "id": message_id,
                    "author": {"type": "user", "id": self.account.users[0]["id"], "bot": False},
                    "type": "chat",
                    "conversationId": conversation_id,
                    "createdAt": created_at,
                    "body": body,
                }
            )
            self.update(conversation_id, created_at)
        return message_id

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """All that there is for a stream of the conversations' family, in the listing's order."""
        account, listing = self.account, self.account.conversations
        if stream == "contacts":
            met = dict.fromkeys(c["contactId"] for c in listing if c.get("contactId"))
            return [found for contact in met if (found := account.contact(contact))]
        if stream == "messages":
            return [message for c in listing for message in account.messages(c)]
        if stream == "transcripts":
            texts = {c["id"]: transcript(account.messages(c), account.users) for c in listing}
            return [{"conversationId": number, "transcript": texts[number]} for number in texts]
        return listing if stream == "conversations" else list(map(account.details, listing))


FAMILY = {
    "conversations": ("id", "status", "updatedAt"),
    "conversation_details": ("id", "status", "updatedAt"),
    "messages": ("id", "conversationId"),
    "transcripts": ("conversationId", "transcript"),
    "contacts": ("id",),
}
"""Streams that are read along with the listing, and what says whether a row is up to date: first
the key."""


def _told(stream: str, row: dict[str, Any]) -> tuple[Any, ...]:
    values = [row.get(name) for name in FAMILY[stream]]
    return tuple(
        from_epoch_ms(v) if n == "updatedAt" and isinstance(v, int) else v
        for n, v in zip(FAMILY[stream], values, strict=True)
    )


class Table:
    """What a target holds that upserts by key, and the state that it keeps with it.

    It commits when a STATE comes: of a run that is cut, what came after the last STATE is lost.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, tuple[Any, ...]]] = {name: {} for name in FAMILY}
        self.state: dict[str, Any] | None = None

    @property
    def rows(self) -> dict[Any, tuple[Any, ...]]:
        """The conversations."""
        return self.tables["conversations"]

    def load(self, messages: list[dict[str, Any]]) -> None:
        """Take what a run said, as far as it said it."""
        waiting: list[tuple[str, tuple[Any, ...]]] = []
        for message in messages:
            if message["type"] == "RECORD":
                stream = message["stream"]
                waiting.append((stream, _told(stream, message["record"])))
            if message["type"] == "STATE":
                for stream, row in waiting:
                    self.tables[stream][row[0]] = row
                waiting = []
                self.state = message["value"]

    def missing(self, drift: FaultyDrift, *streams: str) -> set[tuple[Any, ...]]:
        """What is not here as it is in the account; of the conversations, if nothing is named."""
        return {
            (stream, *row)
            for stream in streams or ("conversations",)
            for row in {_told(stream, row) for row in drift.rows(stream)}
            ^ set(self.tables[stream].values())
        }


class Messages(MessageWriter):
    """Collects Singer messages, each as it would stand on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, Any]] = []

    def add(self, line: bytes) -> None:
        self.all.append(json.loads(line))

    def flush(self) -> None:
        """Nothing waits to go anywhere."""

    def records(self, stream: str = "conversations") -> list[dict[str, Any]]:
        records = [message for message in self.all if message["type"] == "RECORD"]
        return [message["record"] for message in records if message["stream"] == stream]

    def ids(self, stream: str = "conversations") -> list[Any]:
        return [record["id"] for record in self.records(stream)]

    def bookmarks(self) -> dict[str, Any]:
        """The bookmark of each stream in the last state, None where there is none."""
        streams = self.state()["bookmarks"].items()
        return {name: state.get("replication_key_value") for name, state in streams}

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


def catalog(*names: str) -> dict[str, Any]:
    """The discovered catalog, with these streams selected and no others; all, if none is named."""
    found: dict[str, Any] = json.loads(TapDrift(validate_config=False).catalog_json_text)
    for stream in found["streams"]:
        chosen = not names or stream["tap_stream_id"] in names
        stream["metadata"][-1]["metadata"]["selected"] = chosen
    return found


def entry(found: dict[str, Any], name: str = "conversations") -> dict[str, Any]:
    """A stream's entry in a catalog."""
    return next(each for each in found["streams"] if each["tap_stream_id"] == name)


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
        self,
        name: str,
        target_config: dict[str, Any],
        state: dict[str, Any] | None = ...,
        streams: tuple[str, ...] = ...,
        **settings: Any,
    ) -> dict[str, Any]: ...
