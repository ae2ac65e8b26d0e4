"""FakeDrift: the sandbox server with a record of its requests, faults, and an account to edit."""

from __future__ import annotations

import base64
import random
import threading
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tap_drift.sandbox.data.account import Account, listing_key
from tap_drift.sandbox.server import Answer, SandboxHandler, SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from faults import Fault

TOKEN = "t0ken-that-must-not-be-logged"

OFFSET_PAGE_SIZE = 5


class FakeDriftHandler(SandboxHandler):
    """Records each request and answers it, or applies the fault that is due."""

    server: FakeDrift

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        number = self.server.record_request(self.path)
        on_request = self.server.on_request
        if on_request:
            on_request(number)
        fault = self.server.next_fault(self.path)
        if fault:
            fault(self)
        else:
            super().do_GET()

    def answer(self) -> Answer:
        with self.server.lock:
            return super().answer()


class OffsetPagingHandler(FakeDriftHandler):
    """Pages the listing by offset instead of by key: updates shift the rows of later pages."""

    def answer(self) -> Answer:
        if "page_token" not in self.path:
            return super().answer()
        with self.server.lock:
            return self.listing()

    def listing(self) -> Answer:
        token = parse_qs(urlsplit(self.path).query).get("page_token", [""])[0]
        start = int(base64.b64decode(token)) if token else 0
        end = start + OFFSET_PAGE_SIZE
        rows = self.server.account.conversations
        next_token = base64.b64encode(str(end).encode()).decode()
        next_link = {"next": f"https://api.drift.com/x?page_token={next_token}"}
        links = next_link if end < len(rows) else {}
        return Answer(HTTPStatus.OK, {"data": rows[start:end], "links": links})


class FakeDrift(SandboxServer):
    """A sandbox with 250 conversations by default, which is three pages of the listing."""

    def __init__(self, account: Account | None = None, **options: Any) -> None:
        account = account or Account.from_seed(250, seed=7)
        super().__init__(account, token=TOKEN, handler=FakeDriftHandler, **options)
        self.requests: list[str] = []
        """The path and query of each request so far."""
        self.faults: deque[Fault] = deque()
        """The faults of the next requests, whatever their path."""
        self.faults_by_path: dict[str, Fault] = {}
        """The fault of each request that has the key in its path or query."""
        self.on_request: Callable[[int], None] | None = None
        """Called before each answer with the number of the request, from 1."""
        self.lock = threading.RLock()
        """Held while the account is read or changed."""

    def __enter__(self) -> Self:
        # Poll often: `shutdown`, which ends almost every test, waits for the next poll.
        threading.Thread(target=self.serve_forever, args=(0.002,), daemon=True).start()
        return self

    def record_request(self, path: str) -> int:
        """Append to `requests`, and return how many there are."""
        with self.lock:
            self.requests.append(path)
            return len(self.requests)

    def next_fault(self, path: str) -> Fault | None:
        """Return the fault of a request to this path, if there is one."""
        if self.faults:
            return self.faults.popleft()
        return next((fault for part, fault in self.faults_by_path.items() if part in path), None)

    def count_requests(self, part: str) -> int:
        """Count the requests that have this in their path or query."""
        return sum(part in path for path in self.requests)

    def queries(self) -> list[dict[str, list[str]]]:
        """Return the query parameters of each request so far."""
        return [parse_qs(urlsplit(path).query, keep_blank_values=True) for path in self.requests]

    def conversation_ids(self) -> list[int]:
        """Return the ids in the order of the listing."""
        return [conversation["id"] for conversation in self.account.conversations]

    def update_conversation(self, conversation_id: int, updated_at: int, **changes: Any) -> None:
        """Change a conversation, which moves it in the listing."""
        with self.lock:
            for conversation in self.account.conversations:
                if conversation["id"] == conversation_id:
                    conversation.update(changes, updatedAt=updated_at)
            self.account.conversations.sort(key=listing_key)

    def add_message(self, conversation_id: int, created_at: int, body: str = "<p>And?</p>") -> int:
        """Add a message, which updates its conversation; return the message's id."""
        with self.lock:
            added = self.account.added_messages
            message_id = 8 * 10**18 + sum(map(len, added.values()))  # above all generated ids
            added.setdefault(conversation_id, []).append(
                {
                    "id": message_id,
                    "author": {"type": "user", "id": self.account.users[0]["id"], "bot": False},
                    "type": "chat",
                    "conversationId": conversation_id,
                    "createdAt": created_at,
                    "body": body,
                }
            )
            self.update_conversation(conversation_id, created_at)
        return message_id

    def source_rows(self, stream: str) -> list[dict[str, Any]]:
        """Return every row that a stream of `FakeTarget` can have, in listing order."""
        account, listing = self.account, self.account.conversations
        if stream == "contacts":
            ids = dict.fromkeys(c["contactId"] for c in listing if c.get("contactId"))
            return [found for contact in ids if (found := account.contact(contact))]
        if stream == "messages":
            return [message for c in listing for message in account.messages(c)]
        if stream == "transcripts":
            texts = {c["id"]: account.transcript(c) for c in listing}
            return [{"conversationId": number, "transcript": texts[number]} for number in texts]
        if stream == "accounts":
            return account.customer_accounts
        if stream == "meetings":
            return list(account.meetings(0, 2**60))
        return listing if stream == "conversations" else list(map(account.details, listing))


def now_ms() -> int:
    """Return the current time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def random_updates(drift: FakeDrift, seed: int, counts: list[int]) -> Callable[[int], None]:
    """Build an `on_request` that updates random conversations before each answer.

    Args:
        drift: The server whose account changes.
        seed: Makes the updates repeatable.
        counts: How many conversations change before an answer: one of these, at random.
    """
    rng = random.Random(seed)

    def update(_request: int) -> None:
        with drift.lock:
            for _ in range(rng.choice(counts)):
                conversation = rng.choice(drift.conversation_ids())
                if rng.random() < 0.5:
                    drift.add_message(conversation, now_ms())
                else:
                    drift.update_conversation(
                        conversation, now_ms(), status=f"changed-{rng.random()}"
                    )

    return update
