"""An account that changes while somebody walks through it, and runs that are cut."""

from __future__ import annotations

import base64
import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from support import FaultyDrift, FaultyHandler, Messages, Table, sync

from tap_drift.sandbox.server import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 5


class OffsetHandler(FaultyHandler):
    """Pages by offset instead of by key, as Drift might: rows move while somebody pages."""

    def answer(self) -> Answer:
        if "page_token" not in self.path:
            return super().answer()
        with self.server.lock:
            return self.listing()

    def listing(self) -> Answer:
        token = parse_qs(urlsplit(self.path).query).get("page_token", [""])[0]
        start = int(base64.b64decode(token)) if token else 0
        listing = self.server.account.conversations
        following = base64.b64encode(str(start + PAGE).encode()).decode()
        more = start + PAGE < len(listing)
        links = {"next": f"https://api.drift.com/x?page_token={following}"} if more else {}
        return Answer(HTTPStatus.OK, {"data": listing[start : start + PAGE], "links": links})


def now() -> int:
    return time.time_ns() // 1_000_000


def unrest(drift: FaultyDrift, seed: int, rates: list[int]) -> Callable[[int], None]:
    """Let conversations change before each answer, the newest and the oldest among them.

    Args:
        drift: Whose.
        seed: What chooses them.
        rates: How many change before an answer; one of these.

    Returns:
        What is to be called before each answer.
    """
    chance = random.Random(seed)

    def change(_request: int) -> None:
        with drift.lock:
            for _ in range(chance.choice(rates)):
                conversation = chance.choice(drift.ids())
                if chance.random() < 0.5:
                    drift.say(conversation, now())
                else:
                    drift.update(conversation, now(), status=f"changed-{chance.random()}")

    return change


class Cut(BaseException):
    """Somebody pulls the plug."""


class CutMessages(Messages):
    """Takes so many messages, and then no more."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes

    def add(self, line: bytes) -> None:
        if len(self.all) == self.takes:
            raise Cut
        super().add(line)


def run_cut(
    config: dict[str, Any], table: Table, takes: int, catalog: dict[str, Any] | None = None
) -> bool:
    """Run until so many messages are out; what the table keeps of them is what it committed.

    Returns:
        Whether the run came to its end before.
    """
    messages = CutMessages(takes)
    try:
        sync(config, table.state, catalog, messages)
    except Cut:
        return False
    finally:
        table.load(messages.all)
    return True
