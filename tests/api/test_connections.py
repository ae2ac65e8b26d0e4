"""Connections: responses that are too slow or too large, and idle connections that were closed."""

from __future__ import annotations

import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import requests
from faults import answer_normally, reset
from runs import catalog, sync, sync_failing

from tap_drift.api import connections
from tap_drift.api.client import DriftSession
from tap_drift.api.retry import BACKOFF_SECONDS
from tap_drift.sandbox.data.account import Account
from tap_drift.sync.failed_items import FailedItems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_clock import FakeClock
    from fake_drift import FakeDrift
    from faults import Fault

    from tap_drift.sandbox.server import SandboxHandler

MOST_BYTES = 32 << 20
"""After so many bytes a server stops sending, so that an endless run fails instead of hanging."""

SIZE_LIMIT = 20_000


# Slow responses


def dripping(clock: FakeClock, head: bytes, seconds: float, count: int = 10_000) -> Fault:
    """Send a response one byte at a time.

    Args:
        clock: The clock that passes between two bytes.
        head: What is sent at once.
        seconds: The time between two bytes.
        count: Number of bytes.
    """

    def drip(handler: SandboxHandler) -> None:
        handler.close_connection = True
        handler.connection.sendall(head)
        for _ in range(count):
            handler.connection.sendall(b" ")
            clock.now += seconds

    return drip


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
HALF_OF_A_HEADER = b"HTTP/1.1 200 OK\r\nX-Header:"


@pytest.mark.parametrize("head", [HEADERS, HALF_OF_A_HEADER], ids=["body", "headers"])
def test_response_by_the_byte_has_a_total_timeout(
    head: bytes, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults_by_path["list?"] = dripping(clock, head, seconds=0.5)
    _, error = sync_failing(config | {"request_timeout": 1})
    assert "last error: the response was not complete after 2 s." in error
    assert len(drift.requests) == len(BACKOFF_SECONDS) + 1


def test_item_by_the_byte_fails_alone(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    del drift.account.conversations[5:]
    slow = drift.conversation_ids()[2]
    drift.faults_by_path[f"{slow}/transcript"] = dripping(clock, HEADERS, seconds=0.5)
    settings = config | {"request_timeout": 1, "concurrency": 1}
    messages, _ = sync_failing(settings, catalog=catalog("transcripts"))
    assert len(messages.records("transcripts")) == 4
    [failed] = FailedItems(messages.state()["bookmarks"]["transcripts"])
    assert failed.id == slow
    assert "the response was not complete after 2 s" in failed.reason


def test_slow_response_that_ends_in_time_is_read(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"data": [], "links":'
    body = dripping(clock, head, seconds=0.2, count=7)

    def drip(handler: SandboxHandler) -> None:
        body(handler)
        handler.connection.sendall(b"{}}")

    drift.faults.append(drip)
    sync(config | {"request_timeout": 1})
    assert len(drift.requests) == 1
    assert clock.slept == []


# Large responses


def flooding(head: bytes, block: bytes) -> Fault:
    """Send a block again and again, until the client closes the connection."""

    def flood(handler: SandboxHandler) -> None:
        handler.close_connection = True
        handler.connection.sendall(head)
        for _ in range(MOST_BYTES // len(block)):
            handler.connection.sendall(block)

    return flood


def compressed(handler: SandboxHandler) -> None:
    """Answer with 10 MB that compress to 10 kB."""
    body = gzip.compress(b" " * 10_000_000)
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "fault",
    [
        flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n", b" " * 4096),
        flooding(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
        flooding(CHUNKED, b"0" * 4096),
        flooding(CHUNKED + b"0\r\n", b"X-Header: 1\r\n" * 100),
        flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        compressed,
    ],
    ids=["length", "chunks", "chunk size", "trailers", "status 100", "compressed"],
)
@pytest.mark.usefixtures("clock")
def test_large_response_is_not_read_to_its_end(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_RESPONSE_BYTES", SIZE_LIMIT)
    drift.faults_by_path["list?"] = fault
    _, error = sync_failing(config)
    assert "last error: the response is larger than" in error


# Idle connections


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with DriftSession() as session:
        yield session


def disconnect(handler: SandboxHandler) -> None:
    """Close the connection instead of answering."""
    handler.close_connection = True


def retry_count(caplog: pytest.LogCaptureFixture) -> int:
    return sum("Retrying in" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("fault", [reset, disconnect])
def test_idle_connection_that_was_closed_is_reopened_at_once(
    fault: Fault,
    drift: FakeDrift,
    config: dict[str, Any],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drift.faults.extend([answer_normally, fault])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(drift.requests) == 4
    assert clock.slept == []
    assert [each for each in caplog.records if each.levelname == "WARNING"] == []


@pytest.mark.parametrize("fault", [reset, disconnect])
def test_new_connection_that_is_closed_is_retried_with_a_wait(
    fault: Fault,
    drift: FakeDrift,
    config: dict[str, Any],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drift.faults.append(fault)
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(clock.slept) == retry_count(caplog) == 1


def test_connection_is_reopened_once_for_a_request(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.extend([answer_normally, reset, reset])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(clock.slept) == retry_count(caplog) == 1


def test_connections_of_all_threads_are_reopened(
    config: dict[str, Any], drift: FakeDrift, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each connection is closed after its third request."""
    counts: dict[int, int] = {}

    def close_sometimes(handler: SandboxHandler) -> None:
        number = counts[id(handler)] = counts.get(id(handler), 0) + 1
        (disconnect if number % 4 == 0 else answer_normally)(handler)

    drift.account = Account.from_seed(60, seed=7)
    drift.faults_by_path["/"] = close_sometimes
    messages = sync(config, catalog=catalog("messages", "transcripts"))
    assert len(messages.records("transcripts")) == 60
    assert clock.slept == []
    assert retry_count(caplog) == 0


def test_post_on_a_closed_connection_is_not_repeated(
    drift: FakeDrift, session: requests.Session
) -> None:
    """Drift may have handled it: a refresh token is valid once."""
    assert session.get(drift.url).status_code == 401
    drift.faults.append(reset)
    with pytest.raises(requests.ConnectionError):
        session.post(f"{drift.url}/oauth2/token")
    assert drift.count_requests("/oauth2/token") == 1


def test_proxy_has_the_same_connections(drift: FakeDrift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_RESPONSE_BYTES", SIZE_LIMIT)
    session = DriftSession()
    url, proxies = "http://drift.example/x", {"http": drift.url}
    assert session.get(url, proxies=proxies).status_code == 401
    assert drift.requests == [url]
    drift.faults.append(reset)
    assert session.get(url, proxies=proxies).status_code == 401
    drift.faults.append(flooding(CHUNKED, b"0" * 4096))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="larger than"):
        session.get(url, proxies=proxies)
    # Last: what follows the body could be taken for the next response.
    drift.faults.append(flooding(HEADERS, b" " * 4096))
    assert len(session.get(url, proxies=proxies).content) == 10_000
