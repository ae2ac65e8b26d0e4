"""One request to Drift, and all that can become of it."""

from __future__ import annotations

import gzip
import logging
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN
from faults import answer, page, reset, truncated
from runs import CapturedMessages, catalog, sync

from tap_drift.api.retry import MAX_RETRY_SECONDS
from tap_drift.exceptions import StreamsFailedError

if TYPE_CHECKING:
    from fake_clock import FakeClock
    from fake_drift import FakeDrift
    from faults import Fault

    from tap_drift.sandbox.server import SandboxHandler

ERROR = {"error": {"type": "some_error", "message": "something is off"}, "data": "my words"}


def garbled(handler: SandboxHandler) -> None:
    """Say that the body is compressed, and send one that is not whole."""
    body = gzip.compress(b'{"data": []}' * 100)[:40] + b"garbage that no gzip can read"
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def not_utf_8(handler: SandboxHandler) -> None:
    """Send text that is not what JSON has to be in."""
    body = '{"data": [{"id": 1, "updatedAt": 1, "status": "geöffnet"}]}'.encode("latin-1")
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


TRANSIENT = [
    pytest.param(answer(500, ERROR), id="500"),
    pytest.param(answer(502, "<html>Bad gateway</html>"), id="502 in HTML"),
    pytest.param(answer(503), id="503 without a body"),
    pytest.param(answer(429, ERROR), id="429"),
    pytest.param(answer(200, "<html>"), id="not JSON"),
    pytest.param(answer(200, {"rows": []}), id="no data"),
    pytest.param(answer(204), id="no content"),
    pytest.param(truncated, id="truncated"),
    pytest.param(garbled, id="garbled"),
    pytest.param(not_utf_8, id="not UTF-8"),
    pytest.param(answer(200, "[" * 100_000), id="too deep"),
    pytest.param(reset, id="reset"),
]


def test_the_first_request_is_the_documented_one(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config)
    assert drift.requests[0] == "/conversations/list?limit=100&page_token="


def test_each_chosen_status_is_sent_once(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config | {"statuses": ["open", "pending"]})
    assert drift.queries()[0]["statusId"] == ["1", "3"]


def test_the_page_size_is_the_limit(drift: FakeDrift, config: dict[str, Any]) -> None:
    assert sync(config | {"page_size": 50}).record_ids() == drift.conversation_ids()
    assert drift.queries()[0]["limit"] == ["50"]
    assert len(drift.requests) == 5


def test_a_trailing_slash_and_a_path_in_api_url_are_kept_in_order(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page())
    sync(config | {"api_url": f"{drift.url}/proxy/"})
    assert drift.requests == ["/proxy/conversations/list?limit=100&page_token="]


def test_the_tap_says_who_it_is(drift: FakeDrift, config: dict[str, Any]) -> None:
    seen = []

    def note(handler: SandboxHandler) -> None:
        seen.append((handler.headers["User-Agent"], handler.headers["Authorization"]))
        handler.send(handler.answer())

    drift.faults.append(note)
    sync(config | {"user_agent": "acme-etl/2", "access_token": f" {TOKEN}\n"})
    assert seen == [("acme-etl/2", f"Bearer {TOKEN}")]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_may_pass_is_tried_again(
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
def test_what_does_not_pass_in_five_minutes_is_an_error(
    fault: Fault, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([fault] * 100)
    with pytest.raises(
        StreamsFailedError, match=r"/conversations/list failed for \d minutes"
    ) as error:
        sync(config)
    assert MAX_RETRY_SECONDS <= sum(clock.slept) <= MAX_RETRY_SECONDS + 60
    assert "my words" not in str(error.value)


def test_the_last_cause_is_named(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.extend([answer(503), *[answer(500, ERROR)] * 100])
    with pytest.raises(
        StreamsFailedError, match="500 on /conversations/list: some_error: something"
    ):
        sync(config)
    assert clock.slept


def test_a_refused_connection_is_named(config: dict[str, Any], clock: FakeClock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(StreamsFailedError, match="Connection refused"):
            sync(config | {"api_url": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
    assert clock.slept


def test_no_answer_within_the_timeout_is_tried_again(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    def hang(handler: SandboxHandler) -> None:
        handler.connection.recv(1)  # until the tap goes away
        handler.close_connection = True

    drift.faults.append(hang)
    assert sync(config | {"request_timeout": 1}).record_ids() == drift.conversation_ids()


def test_a_failure_in_the_middle_loses_and_repeats_nothing(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    def real(handler: SandboxHandler) -> None:
        handler.send(handler.answer())

    drift.faults.extend([real, answer(500), truncated, real, reset])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert len(clock.slept) == 3


def test_retry_after_is_obeyed(drift: FakeDrift, config: dict[str, Any], clock: FakeClock) -> None:
    drift.faults.extend([answer(429, Retry_After="30"), answer(429, Retry_After="900")])
    assert sync(config).record_ids() == drift.conversation_ids()
    assert 30 <= clock.slept[0] <= 31
    assert 300 <= clock.slept[1] <= 301


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_an_error_at_once(
    status: int, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.append(answer(status, ERROR))
    with pytest.raises(StreamsFailedError) as error:
        sync(config)
    assert "`access_token`" in str(error.value)
    assert "`conversation_read`" in str(error.value)
    assert len(drift.requests) == 1
    assert not clock.slept


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422])
def test_any_other_refusal_is_an_error_at_once_in_drifts_words(
    status: int, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.append(answer(status, ERROR))
    with pytest.raises(StreamsFailedError) as error:
        sync(config)
    assert f"{status} on /conversations/list: some_error: something is off" in str(error.value)
    assert "my words" not in str(error.value)
    assert not clock.slept


def test_a_refusal_that_is_not_drifts_points_to_api_url(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(404, "<html>nginx</html>"))
    with pytest.raises(StreamsFailedError, match="without an error of Drift's"):
        sync(config)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_error_and_is_not_followed(
    status: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(status, Location=f"{drift.url}/elsewhere?x=1"))
    with pytest.raises(
        StreamsFailedError, match=r"a redirect to http://127\.0\.0\.1\. .*`api_url`"
    ):
        sync(config)
    assert len(drift.requests) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "/elsewhere", "http://\xff/"])
def test_a_redirect_to_nowhere_is_an_error_in_words_too(
    location: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(302, Location=location))
    with pytest.raises(StreamsFailedError, match="answered 302, a redirect to"):
        sync(config)


def test_text_is_utf_8_whatever_the_content_type_says(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    row = '{"data": [{"id": 1, "updatedAt": 1, "status": "geöffnet 🎉"}]}'
    drift.faults.append(answer(200, row, Content_Type="text/plain"))
    assert sync(config).records()[0]["status"] == "geöffnet 🎉"


def test_a_wait_is_said_with_its_cause(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(answer(500, ERROR))
    sync(config)
    [warning] = [r.getMessage() for r in caplog.records if "Retrying" in r.getMessage()]
    assert "500 on /conversations/list: some_error: something is off" in warning
    assert f"{clock.slept[0]:.1f} s" in warning


def test_a_server_error_without_words_does_not_blame_the_settings(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(answer(503))
    sync(config)
    assert "/conversations/list failed: 503 on /conversations/list. Retrying" in caplog.text
    assert clock.slept


def test_neither_token_nor_body_is_logged_at_any_level(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    echo = {"error": {"type": "x", "message": f"token {TOKEN}"}, "data": "my words"}
    drift.faults.extend([answer(500, echo), answer(200, f"my words {TOKEN}"), answer(400, echo)])
    messages = CapturedMessages()
    with caplog.at_level(logging.DEBUG), pytest.raises(StreamsFailedError) as error:
        sync(config, messages=messages)
    said = f"{caplog.text} {error.value} {messages.all}"
    assert "GET" in caplog.text
    assert TOKEN not in said
    assert "my words" not in said
    assert clock.slept


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"updatedAt": 1}, "a row of `conversations` without a usable `id`"),
        ({"id": None, "updatedAt": 1}, "a row of `conversations` without a usable `id`"),
        ({"id": {"a": "my words"}, "updatedAt": "x"}, "without a usable `id`"),
        ({"id": "my words", "updatedAt": 1}, "without a usable `id`"),
        ({"id": True, "updatedAt": 1}, "without a usable `id`"),
        ({"id": 5, "updatedAt": "my words"}, "in `updatedAt` of `conversations` 5"),
        ({"id": 5, "updatedAt": 10**18}, "in `updatedAt` of `conversations` 5"),
        ({"id": 5, "updatedAt": 1, "createdAt": {}}, "in `createdAt` of `conversations` 5"),
    ],
)
def test_a_row_that_cannot_become_a_record_fails_the_run(
    row: dict[str, Any], complaint: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page(row))
    with pytest.raises(StreamsFailedError, match=complaint) as error:
        sync(config)
    assert "my words" not in str(error.value)


def test_who_waited_for_a_drift_that_cannot_be_reached_has_waited_for_all_streams(
    config: dict[str, Any], clock: FakeClock
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nowhere = {"api_url": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        with pytest.raises(StreamsFailedError, match="3 of 3 streams failed") as error:
            sync(config | nowhere, catalog=catalog("playbooks", "teams", "users"))
    assert "users failed: /users/list failed: Connection refused." in str(error.value)
    assert sum(clock.slept) <= MAX_RETRY_SECONDS + 60


def test_a_failure_that_drift_answers_with_is_waited_for_by_each_stream(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults_by_path["/playbooks/list"] = answer(500)
    drift.faults.append(answer(500))
    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError, match="1 of 2 streams failed"):
        sync(config, catalog=catalog("playbooks", "users"), messages=messages)
    assert messages.records("users")
    assert clock.slept
