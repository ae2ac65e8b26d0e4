"""Tests of the client's retries: transient failures, and an API that cannot be reached."""

from __future__ import annotations

import gzip
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from faults import answer, answer_normally, reset, truncated
from runs import CapturedMessages, catalog, sync

from tap_drift.api.retry import MAX_RETRY_SECONDS
from tap_drift.exceptions import StreamsFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_clock import FakeClock
    from fake_drift import FakeDrift
    from faults import Fault

    from tap_drift.sandbox.server import SandboxHandler

ERROR = {"error": {"type": "some_error", "message": "something is off"}, "data": "my words"}


def send_bytes(handler: SandboxHandler, body: bytes, **headers: str) -> None:
    """Send a response with status 200; `_` in a header's name stands for `-`."""
    handler.send_response(HTTPStatus.OK)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def invalid_gzip(handler: SandboxHandler) -> None:
    body = gzip.compress(b'{"data": []}' * 100)[:40] + b"garbage that no gzip can read"
    send_bytes(handler, body, Content_Encoding="gzip")


def latin_1(handler: SandboxHandler) -> None:
    body = '{"data": [{"id": 1, "updatedAt": 1, "status": "geöffnet"}]}'
    send_bytes(handler, body.encode("latin-1"))


TRANSIENT = [
    pytest.param(answer(500, ERROR), id="500"),
    pytest.param(answer(502, "<html>Bad gateway</html>"), id="502 in HTML"),
    pytest.param(answer(503), id="503 without a body"),
    pytest.param(answer(429, ERROR), id="429"),
    pytest.param(answer(200, "<html>"), id="not JSON"),
    pytest.param(answer(200, {"rows": []}), id="no data"),
    pytest.param(answer(204), id="no content"),
    pytest.param(truncated, id="truncated"),
    pytest.param(invalid_gzip, id="invalid gzip"),
    pytest.param(latin_1, id="not UTF-8"),
    pytest.param(answer(200, "[" * 100_000), id="nested too deeply"),
    pytest.param(reset, id="reset"),
]


@pytest.fixture
def unreachable(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings with an `api_url` whose port refuses connections."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield config | {"api_url": f"http://127.0.0.1:{closed.getsockname()[1]}"}


# Transient failures


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_failure_is_retried_and_logged(
    fault: Fault,
    drift: FakeDrift,
    config: dict[str, Any],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drift.faults.extend([fault] * 3)
    assert sync(config).record_ids() == drift.conversation_ids()
    assert caplog.text.count("Retrying in") == 3
    assert clock.slept


@pytest.mark.parametrize("fault", TRANSIENT)
def test_failure_that_persists_for_five_minutes_is_an_error(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([fault] * 100)
    message = r"/conversations/list failed for \d minutes"
    with pytest.raises(StreamsFailedError, match=message) as error:
        sync(config)
    assert MAX_RETRY_SECONDS <= sum(clock.slept) <= MAX_RETRY_SECONDS + 60
    assert "my words" not in str(error.value)


def test_failure_between_pages_loses_and_repeats_nothing(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([answer_normally, answer(500), truncated, answer_normally, reset])
    assert sync(config).record_ids() == drift.conversation_ids()
    # A reset of a reused connection is not waited for.
    assert len(clock.slept) == 2


def test_request_without_a_response_in_time_is_retried(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    def hang(handler: SandboxHandler) -> None:
        handler.connection.recv(1)  # returns when the client closes the connection
        handler.close_connection = True

    drift.faults.append(hang)
    assert sync(config | {"request_timeout": 1}).record_ids() == drift.conversation_ids()
    assert len(clock.slept) == 1


def test_retry_after_sets_the_wait(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([answer(429, Retry_After="30"), answer(429, Retry_After="900")])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert 30 <= clock.slept[0] <= 31
    assert 300 <= clock.slept[1] <= 301


# Messages


def test_retry_is_logged_with_cause_and_wait(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(answer(500, ERROR))
    sync(config)
    [warning] = [message for message in caplog.messages if "Retrying" in message]
    assert "500 on /conversations/list: some_error: something is off" in warning
    assert f"{clock.slept[0]:.1f} s" in warning


def test_server_error_does_not_point_to_the_settings(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(answer(503))
    sync(config)
    assert "/conversations/list failed: 503 on /conversations/list. Retrying" in caplog.text
    assert clock.slept


def test_last_cause_is_named(drift: FakeDrift, config: dict[str, Any], clock: FakeClock) -> None:
    drift.faults.extend([answer(503), *[answer(500, ERROR)] * 100])
    message = "500 on /conversations/list: some_error: something"
    with pytest.raises(StreamsFailedError, match=message):
        sync(config)
    assert clock.slept


# An API that cannot be reached


def test_refused_connection_is_named(unreachable: dict[str, Any], clock: FakeClock) -> None:
    with pytest.raises(StreamsFailedError, match="Connection refused"):
        sync(unreachable)
    assert clock.slept


def test_unreachable_api_fails_remaining_streams_fast(
    unreachable: dict[str, Any], clock: FakeClock
) -> None:
    with pytest.raises(StreamsFailedError, match="3 of 3 streams failed") as error:
        sync(unreachable, catalog=catalog("playbooks", "teams", "users"))
    assert "users failed: /users/list failed: Connection refused." in str(error.value)
    assert sum(clock.slept) <= MAX_RETRY_SECONDS + 60


def test_api_that_answers_errors_is_retried_by_each_stream(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults_by_path["/playbooks/list"] = answer(500)
    drift.faults.append(answer(500))
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError, match="1 of 2 streams failed"):
        sync(config, catalog=catalog("playbooks", "users"), messages=messages)
    assert messages.records("users")
    assert clock.slept
