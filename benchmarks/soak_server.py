"""The server of soak.py: a fake Drift that misbehaves at random, until it is mended."""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from fake_drift import FakeDrift, now_ms
from faults import answer, answer_normally, reset, truncated
from impatient_tap import READ_TIMEOUT

from tap_drift.sandbox.data.account import listing_key
from tap_drift.sandbox.server import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults import Fault

    from tap_drift.sandbox.data.account import Account
    from tap_drift.sandbox.server import SandboxHandler

ITEM_PATHS = {
    "conversation_details": "/conversations/{}",
    "messages": "/conversations/{}/messages",
    "transcripts": "/conversations/{}/transcript",
    "contacts": "/contacts/{}",
}
"""The path of an item of each stream that has items."""

_new_ids = count(1)


def hang(handler: SandboxHandler) -> None:
    """Send nothing for longer than the tap waits."""
    time.sleep(1.5 * READ_TIMEOUT)
    handler.close_connection = True


def slow_body(handler: SandboxHandler) -> None:
    """Send the right answer in small parts, within the total timeout."""
    file = handler.wfile
    handler.wfile = _SlowFile(file)  # type: ignore[assignment]  # has what `send` needs
    try:
        answer_normally(handler)
    finally:
        handler.wfile = file


class _SlowFile:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        size = len(data) // 4 + 1
        for start in range(0, len(data), size):
            self._file.write(data[start : start + size])
            self._file.flush()
            time.sleep(0.05)


def endless_body(handler: SandboxHandler) -> None:
    """Send a byte now and then: each read is in time, the whole is not."""
    handler.send(Answer(HTTPStatus.OK, "", {"Content-Length": "1000000"}))
    handler.close_connection = True
    end = time.monotonic() + 4 * READ_TIMEOUT
    while time.monotonic() < end:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(READ_TIMEOUT / 10)


def close_idle(handler: SandboxHandler) -> None:
    """Answer, and close the connection without saying so in a header."""
    answer_normally(handler)
    handler.close_connection = True


def errors_beside_data(handler: SandboxHandler) -> None:
    """Answer with rows and an error."""
    found = handler.answer()
    if isinstance(found.body, dict) and "data" in found.body:
        found.body["errors"] = [{"type": "internal_error", "message": "partial"}]
    handler.send(found)


def retry_at(handler: SandboxHandler) -> None:
    """Answer 429 with a `Retry-After` that is a date, one second ahead of the server's."""
    later = handler.date_time_string(int(time.time()) + 1)
    answer(429, Retry_After=later)(handler)


def endless_messages(rows: Callable[[int], list[dict[str, Any]]]) -> Fault:
    """Link each page of messages to another one.

    Args:
        rows: Returns the rows of a page.
    """

    def send(handler: SandboxHandler) -> None:
        number = int(_query(handler).get("next", "") or 0)
        pagination = {"more": True, "next": number + 1}
        body = {"data": {"messages": rows(number)}, "pagination": pagination}
        handler.send(Answer(HTTPStatus.OK, body))

    return send


def endless_listing(handler: SandboxHandler, *, limit: int) -> None:
    """Link each page of the listing to another one: the first rows, or none."""
    rows = handler.server.account.conversations[:limit]
    link = f"https://api.drift.com/conversations/list?page_token=endless-{next(_new_ids)}"
    handler.send(Answer(HTTPStatus.OK, {"data": rows, "links": {"next": link}}))


def cut_listing(handler: SandboxHandler) -> None:
    """Say that there are more rows, without a link to them."""
    found = handler.answer()
    if found.body.get("links", {}).pop("next", None):
        found.body["pagination"] = {"more": True, "next": "2"}
    handler.send(found)


def refuse_page_token(handler: SandboxHandler) -> None:
    """Answer 400 to each page token."""
    refusal = answer(400, {"error": {"type": "validation_error", "message": "page_token expired"}})
    (refusal if _query(handler).get("page_token") else answer_normally)(handler)


def endless_accounts(handler: SandboxHandler, *, size: int) -> None:
    """Link each page of accounts to another one: the first rows, or none."""
    rows = handler.server.account.customer_accounts
    data = {
        "accounts": rows[:size],
        "total": len(rows),
        "next": f"/accounts?index={65 * next(_new_ids)}&size=65",
    }
    handler.send(Answer(HTTPStatus.OK, {"data": data}))


def meetings_of_any_time(handler: SandboxHandler) -> None:
    """Answer with 100 meetings, whatever the window."""
    rows = list(handler.server.account.meetings(0, 2**60))
    handler.send(Answer(HTTPStatus.OK, {"data": (100 * rows)[:100]}))


def _query(handler: SandboxHandler) -> dict[str, str]:
    query = parse_qs(urlsplit(handler.path).query, keep_blank_values=True)
    return {name: values[-1] for name, values in query.items()}


_HTML = answer(200, "<html>Please log in</html>", Content_Type="text/html")
_OUTAGES: dict[str, Fault] = {
    "503": answer(503, "<html>Service Unavailable</html>"),
    "429": answer(429),
    "401": answer(401, {"error": {"type": "authentication_error", "message": "invalid"}}),
    "reset": reset,
    "web page": _HTML,
    "no answer": hang,
}
"""Faults that can hit all requests for some time."""

_TRANSIENT: dict[str, Fault] = {
    **{str(status): answer(status) for status in (408, 425, 429, 500, 502, 504)},
    "429, Retry-After 1": answer(429, Retry_After="1"),
    "429, Retry-After of a day": answer(429, Retry_After="86400"),
    "429, Retry-After as a date": retry_at,
    "reset": reset,
    "truncated body": truncated,
    "closed idle connection": close_idle,
    "slow body": slow_body,
    "errors beside data": errors_beside_data,
    "no answer": hang,
}
"""Faults of single requests."""

_ITEM: dict[str, Fault] = {
    **{
        str(status): answer(status, {"errors": [{"type": "x", "message": "not this one"}]})
        for status in (400, 401, 403, 500, 503)
    },
    "wrong shape": answer(200, {"error": {"type": "internal_error", "message": "sorry"}}),
    "undecodable": answer(200, "no gzip", Content_Encoding="gzip"),
    "web page": _HTML,
    "truncated body": truncated,
    "reset": reset,
    "no answer": hang,
    "endless body": endless_body,
}
"""Faults of all requests for an item."""

_MESSAGES: dict[str, Fault] = {
    "endless messages, same rows": endless_messages(lambda _: [{"id": 1, "createdAt": 1}]),
    "endless messages, no rows": endless_messages(lambda _: []),
    "endless messages, new rows": endless_messages(lambda number: [{"id": number}]),
}

_PATHS: dict[str, dict[str, Fault]] = {
    "/conversations/list": {
        "endless listing, same rows": partial(endless_listing, limit=5),
        "endless listing, no rows": partial(endless_listing, limit=0),
        "cut listing": cut_listing,
        "refused page token": refuse_page_token,
    },
    "/accounts": {
        "endless accounts, same rows": partial(endless_accounts, size=5),
        "endless accounts, no rows": partial(endless_accounts, size=0),
    },
    "/users/meetings/org": {"meetings outside the window": meetings_of_any_time},
}
"""Faults of endpoints that are not for items."""


class SoakServer(FakeDrift):
    """Misbehaves at random; an item that fails for ever does so from the start."""

    def __init__(self, account: Account, rng: random.Random) -> None:
        """Create a server.

        Args:
            account: The account, which changes.
            rng: Chooses what fails. It is used between runs only: what happens to single requests
                depends on their order, which must not change the choices of later runs.
        """
        super().__init__(account)
        self.fault_counts: Counter[str] = Counter()
        """Number of requests that met each fault."""
        self._rng, self._request_rng = rng, random.Random(rng.random())  # noqa: S311 - no secret
        self._is_mended = False
        self._outage: tuple[float, str, Fault] = (0.0, "", reset)
        self._failing_for_a_while: dict[str, tuple[str, Fault]] = {}
        self._path_faults: dict[str, tuple[int, str, Fault]] = {}
        self.failing: dict[str, set[int]] = {}
        """The items that fail for ever, by stream."""
        self._failing_for_ever = self._draw_items(self.failing, most=3)

    def start_run(self) -> None:
        """Choose which items and endpoints misbehave in the next run."""
        with self.lock:
            self._failing_for_a_while = self._draw_items({}, most=2)
            self._path_faults = {
                path: (self._rng.randrange(6), *self._rng.choice([*faults.items()]))
                for path, faults in _PATHS.items()
                if self._rng.random() < 0.2  # noqa: PLR2004 - a share of the runs
            }

    def mend(self) -> None:
        """Leave only the faults of items that fail for ever."""
        with self.lock:
            self._is_mended = True
            self._failing_for_a_while = {}

    def add_conversation(self) -> None:
        """Add a new conversation, of a contact that is known or new."""
        with self.lock:
            rows, now = self.account.conversations, now_ms()
            contact = self._request_rng.choice([rows[-1].get("contactId"), now])
            new = {"id": max(row["id"] for row in rows) + 1, "contactId": contact}
            rows.append(rows[0] | new | {"createdAt": now, "updatedAt": now})
            rows.sort(key=listing_key)

    def next_fault(self, path: str) -> Fault | None:
        """Choose what happens to a request."""
        path = urlsplit(path).path
        with self.lock:
            found = self._failing_for_ever.get(path)
            if not self._is_mended:
                found = self._outage_fault() or found or self._fault_of(path)
            if found is None:
                return None
            self.fault_counts[found[0]] += 1
            return found[1]

    def _outage_fault(self) -> tuple[str, Fault] | None:
        rng, now = self._request_rng, time.monotonic()
        until, name, fault = self._outage
        if now < until:
            return name, fault
        if rng.random() < 0.004:  # noqa: PLR2004 - about one in 250 requests
            name, fault = rng.choice([*_OUTAGES.items()])
            self._outage = now + rng.choice([0.3, 1.0, 5.0]), f"outage: {name}", fault
        return None

    def _fault_of(self, path: str) -> tuple[str, Fault] | None:
        if path in self._failing_for_a_while:
            return self._failing_for_a_while[path]
        if path in self._path_faults:
            after, name, fault = self._path_faults[path]
            self._path_faults[path] = (after - 1, name, fault)
            if after <= 0:
                return name, fault
        if self._request_rng.random() < 0.06:  # noqa: PLR2004 - a share of the requests
            return self._request_rng.choice([*_TRANSIENT.items()])
        return None

    def _draw_items(self, drawn: dict[str, set[int]], most: int) -> dict[str, tuple[str, Fault]]:
        """Choose items of each stream, and how they fail.

        Args:
            drawn: Gets the ids by stream.
            most: Largest number of items of a stream.
        """
        faults: dict[str, tuple[str, Fault]] = {}
        for stream, path in ITEM_PATHS.items():
            key = "contactId" if stream == "contacts" else "id"
            ids = sorted({row[key] for row in self.account.conversations if row.get(key)})
            chosen = self._rng.sample(ids, self._rng.randint(0, most))
            drawn[stream] = set(chosen)
            kinds = _ITEM | (_MESSAGES if stream == "messages" else {})
            for item in chosen:
                name, fault = self._rng.choice([*kinds.items()])
                faults[path.format(item)] = f"item: {name}", fault
        return faults
