"""Tests of the client: what a request has, and what a refused one becomes."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN
from faults import answer, answer_normally, page
from runs import CapturedMessages, catalog, sync

from tap_drift.exceptions import (
    RequestCancelledError,
    RetriesExhaustedError,
    StreamsFailedError,
)
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from fake_clock import FakeClock
    from fake_drift import FakeDrift

    from tap_drift.sandbox.server import SandboxHandler
    from tap_drift.streams.base import DriftStream

ERROR = {"error": {"type": "some_error", "message": "something is off"}, "data": "my words"}


def stream_of(config: dict[str, Any], name: str) -> DriftStream:
    """Return a stream of a tap that does not run."""
    [stream] = [each for each in TapDrift(config=config).drift_streams if each.name == name]
    return stream


# What a request has


def test_first_request_is_the_documented_one(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config)
    assert drift.requests[0] == "/conversations/list?limit=100&page_token="


def test_each_status_is_sent_as_its_own_parameter(drift: FakeDrift, config: dict[str, Any]) -> None:
    sync(config | {"statuses": ["open", "pending"]})
    assert drift.queries()[0]["statusId"] == ["1", "3"]


def test_page_size_is_sent_as_limit(drift: FakeDrift, config: dict[str, Any]) -> None:
    assert sync(config | {"page_size": 50}).record_ids() == drift.conversation_ids()
    assert drift.queries()[0]["limit"] == ["50"]
    assert len(drift.requests) == 5


def test_path_and_trailing_slash_of_api_url_are_handled(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(page())
    sync(config | {"api_url": f"{drift.url}/proxy/"})
    assert drift.requests == ["/proxy/conversations/list?limit=100&page_token="]


def test_user_agent_and_token_are_sent(drift: FakeDrift, config: dict[str, Any]) -> None:
    received = []

    def record_headers(handler: SandboxHandler) -> None:
        received.append((handler.headers["User-Agent"], handler.headers["Authorization"]))
        answer_normally(handler)

    drift.faults.append(record_headers)
    sync(config | {"user_agent": "acme-etl/2", "access_token": f" {TOKEN}\n"})
    assert received == [("acme-etl/2", f"Bearer {TOKEN}")]


def test_requests_are_counted_for_each_stream(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.append(answer(500))
    tap = TapDrift(
        config=config,
        catalog=catalog("conversations", "users"),
        message_writer=CapturedMessages(),
    )
    tap.sync_all()
    assert tap.client.request_counts == Counter(conversations=3, users=2)
    assert len(clock.slept) == 1


def test_failed_request_without_retries_is_sent_once(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.append(answer(500))
    with pytest.raises(RetriesExhaustedError, match=r"^/users/list failed: 500 on /users/list\.$"):
        stream_of(config, "users").fetch_page(None, retry=False)
    assert len(drift.requests) == 1
    assert not clock.slept


def test_cancelled_request_is_not_sent(drift: FakeDrift, config: dict[str, Any]) -> None:
    stream = stream_of(config, "users")
    stream.cancelled.set()
    with pytest.raises(RequestCancelledError, match="request for /users/list was cancelled"):
        stream.fetch_page(None)
    assert drift.requests == []


def test_request_cancelled_between_attempts_is_not_repeated(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    stream = stream_of(config, "users")
    drift.faults.append(answer(500))
    drift.on_request = lambda _: stream.cancelled.set()
    with pytest.raises(RequestCancelledError):
        stream.fetch_page(None)
    assert len(drift.requests) == 1
    assert len(clock.slept) == 1


# Scopes of the token


def test_token_scopes_are_requested(drift: FakeDrift, config: dict[str, Any]) -> None:
    scopes = TapDrift(config=config).client.token_scopes()
    assert scopes == " ".join(drift.tokens.scopes)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(404), id="404"),
        pytest.param(answer(200, "<html>"), id="not JSON"),
        pytest.param(answer(200, []), id="no object"),
        pytest.param(answer(200, {}), id="no scope"),
    ],
)
def test_token_scopes_that_cannot_be_read_are_none(
    fault: Any, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(fault)
    assert TapDrift(config=config).client.token_scopes() is None


# Refused requests


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token_names_setting_and_scope(
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
def test_refused_request_quotes_drifts_error_only(
    status: int, drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    drift.faults.append(answer(status, ERROR))
    with pytest.raises(StreamsFailedError) as error:
        sync(config)
    assert f"{status} on /conversations/list: some_error: something is off" in str(error.value)
    assert "my words" not in str(error.value)
    assert not clock.slept


def test_refusal_without_drifts_error_points_to_api_url(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(404, "<html>nginx</html>"))
    with pytest.raises(StreamsFailedError, match=r"without an error of Drift's .*check `api_url`"):
        sync(config)


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.usefixtures("clock")
def test_transient_status_without_an_error_is_named_alone(
    status: int, drift: FakeDrift, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    drift.faults.append(answer(status))
    sync(config)
    assert f"failed: {status} on /conversations/list. Retrying in" in caplog.text


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_an_error_and_not_followed(
    status: int, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(status, Location=f"{drift.url}/elsewhere?x=1"))
    message = r"a redirect to http://127\.0\.0\.1\. .*`api_url`"
    with pytest.raises(StreamsFailedError, match=message):
        sync(config)
    assert len(drift.requests) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "/elsewhere", "http://\xff/"])
def test_redirect_to_an_invalid_location_is_an_error(
    location: str, drift: FakeDrift, config: dict[str, Any]
) -> None:
    drift.faults.append(answer(302, Location=location))
    with pytest.raises(StreamsFailedError, match="answered 302, a redirect to"):
        sync(config)


# Text and logs


def test_text_is_utf_8_whatever_the_content_type(drift: FakeDrift, config: dict[str, Any]) -> None:
    row = '{"data": [{"id": 1, "updatedAt": 1, "status": "geöffnet 🎉"}]}'
    drift.faults.append(answer(200, row, Content_Type="text/plain"))
    assert sync(config).records()[0]["status"] == "geöffnet 🎉"


def test_token_and_body_are_not_logged_at_any_level(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    echo = {"error": {"type": "x", "message": f"token {TOKEN}"}, "data": "my words"}
    drift.faults.extend([answer(500, echo), answer(200, f"my words {TOKEN}"), answer(400, echo)])
    messages = CapturedMessages()
    with caplog.at_level(logging.DEBUG), pytest.raises(StreamsFailedError) as error:
        sync(config, messages=messages)
    output = f"{caplog.text} {error.value} {messages.all}"
    assert "DEBUG" in caplog.text
    assert TOKEN not in output
    assert "my words" not in output
    assert len(clock.slept) == 2
