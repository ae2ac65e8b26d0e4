"""Each public hook of the SDK's RESTStream can be overridden in a subclass of a stream."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift
from faults import answer, answer_normally
from requests.auth import AuthBase
from runs import CapturedMessages
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_drift.api.client import DriftSession
from tap_drift.exceptions import StreamsFailedError
from tap_drift.sandbox.data.account import Account
from tap_drift.streams.conversation_children import MessagesStream
from tap_drift.streams.conversations import ConversationsStream
from tap_drift.streams.people import UsersStream
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import requests
    from backoff.types import Details
    from fake_clock import FakeClock
    from singer_sdk.helpers.types import Auth, Context, Record
    from singer_sdk.streams import Stream
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_drift.api.responses import Page
    from tap_drift.sandbox.server import SandboxHandler
    from tap_drift.streams.base import DriftStream


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    """25 conversations, which are three pages of ten."""
    with FakeDrift(Account.from_seed(25, seed=7)) as server:
        yield server


@pytest.fixture
def config(drift: FakeDrift) -> dict[str, Any]:
    return {"access_token": drift.token, "api_url": drift.url, "page_size": 10}


class Users(UsersStream):
    """The users, selected without a catalog."""

    selected_by_default = True


class Messages(MessagesStream):
    """The messages, selected without a catalog."""

    selected_by_default = True


def sync_streams(
    config: dict[str, Any],
    *streams: type[DriftStream],
    messages: CapturedMessages | None = None,
) -> CapturedMessages:
    """Run a tap that has these streams only."""

    class CustomTap(TapDrift):
        def discover_streams(self) -> Sequence[Stream]:
            return [stream(self, self.client) for stream in streams]

    messages = messages or CapturedMessages()
    CustomTap(config=config, message_writer=messages).sync_all()
    return messages


def sync_messages(config: dict[str, Any], stream: type[MessagesStream]) -> CapturedMessages:
    """Run a tap with the listing and this stream."""
    return sync_streams(config, ConversationsStream, stream)


# The request


def test_http_headers_are_sent(drift: FakeDrift, config: dict[str, Any]) -> None:
    class TracedUsers(Users):
        @property
        def http_headers(self) -> dict[str, str]:
            return {"X-Trace": "42"}

    received = []

    def record_header(handler: SandboxHandler) -> None:
        received.append(handler.headers["X-Trace"])
        answer_normally(handler)

    drift.faults.append(record_header)
    sync_streams(config, TracedUsers)
    assert received == ["42"]


def test_get_url_params_apply_to_the_first_page_only(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class SortedConversations(ConversationsStream):
        def get_url_params(
            self, context: Context | None, next_page_token: str | None
        ) -> dict[str, Any]:
            params = super().get_url_params(context, next_page_token)
            return params if next_page_token else params | {"sort": "updated"}

    messages = sync_streams(config, SortedConversations)
    assert [query.get("sort") for query in drift.queries()] == [["updated"], None, None]
    assert messages.record_ids() == drift.conversation_ids()


def test_get_url_params_can_apply_to_every_page(drift: FakeDrift, config: dict[str, Any]) -> None:
    class SortedConversations(ConversationsStream):
        def get_url_params(
            self, context: Context | None, next_page_token: str | None
        ) -> dict[str, Any]:
            return super().get_url_params(context, next_page_token) | {"sort": "updated"}

    messages = sync_streams(config, SortedConversations)
    assert [query["sort"] for query in drift.queries()] == [["updated"]] * 3
    assert messages.record_ids() == drift.conversation_ids()


def test_get_url_params_of_a_child_gets_the_context(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class NumberedMessages(Messages):
        def get_url_params(
            self, context: Context | None, next_page_token: str | None
        ) -> dict[str, Any]:
            params = super().get_url_params(context, next_page_token)
            return params | {"of": (context or {})["conversationId"]}

    sync_messages(config, NumberedMessages)
    paths = [path for path in drift.requests if "/messages" in path]
    assert paths
    assert all(f"of={path.split('/')[2]}" in path for path in paths)


def test_get_http_request_changes_the_request(drift: FakeDrift, config: dict[str, Any]) -> None:
    class ActiveUsers(Users):
        def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
            request = super().get_http_request(page=page)
            request.params["active"] = "true"
            return request

    sync_streams(config, ActiveUsers)
    assert drift.requests == ["/users/list?active=true"]


def test_timeout_applies_to_each_request(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowUsers(Users):
        @property
        def timeout(self) -> int:
            return 17

    timeouts = []
    send = DriftSession.send

    def record_timeout(session: DriftSession, *args: Any, **kwargs: Any) -> requests.Response:
        timeouts.append(kwargs["timeout"])
        return send(session, *args, **kwargs)

    monkeypatch.setattr(DriftSession, "send", record_timeout)
    sync_streams(config | {"request_timeout": 5}, ConversationsStream, SlowUsers)
    assert timeouts == [17, 5, 5, 5]


def test_authenticator_adds_headers_to_the_token(drift: FakeDrift, config: dict[str, Any]) -> None:
    class SignedAuth(AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["X-Signature"] = "signed"
            return request

    class SignedUsers(Users):
        @property
        def authenticator(self) -> Auth:
            return SignedAuth()

    received = []

    def record_headers(handler: SandboxHandler) -> None:
        received.append((handler.headers["X-Signature"], handler.headers["Authorization"]))
        answer_normally(handler)

    drift.faults.append(record_headers)
    sync_streams(config, SignedUsers)
    assert received == [("signed", f"Bearer {drift.token}")]


# The response


def test_validate_response_can_retry_a_200(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class CheckedUsers(Users):
        def validate_response(self, response: requests.Response) -> None:
            super().validate_response(response)
            if "error" in response.json():
                raise RetriableAPIError("an error with status 200", response)

    drift.faults.append(answer(200, {"data": [], "error": {"type": "busy"}}))
    messages = sync_streams(config, CheckedUsers)
    assert len(messages.records("users")) == len(drift.account.users)
    assert len(clock.slept) == 1


def test_validate_response_can_fail_the_stream(drift: FakeDrift, config: dict[str, Any]) -> None:
    class StrictMessages(Messages):
        def validate_response(self, response: requests.Response) -> None:
            raise FatalAPIError(f"a {response.status_code} that is refused")

    messages = CapturedMessages()
    with pytest.raises(StreamsFailedError, match="messages failed: a 200 that is refused"):
        sync_streams(config, ConversationsStream, StrictMessages, messages=messages)
    assert messages.record_ids() == drift.conversation_ids()


def test_extra_retry_statuses_are_retried(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class RetryingUsers(Users):
        extra_retry_statuses = (HTTPStatus.NOT_FOUND,)

    drift.faults.append(answer(404))
    messages = sync_streams(config, RetryingUsers)
    assert len(messages.records("users")) == len(drift.account.users)
    assert len(clock.slept) == 1


def test_response_error_message_is_the_error(drift: FakeDrift, config: dict[str, Any]) -> None:
    class TerseMessages(Messages):
        def response_error_message(self, response: requests.Response) -> str:
            return f"status {response.status_code}"

    drift.faults_by_path["/messages"] = answer(400)
    with pytest.raises(StreamsFailedError, match=r"messages failed: .*status 400\n"):
        sync_messages(config, TerseMessages)


def test_parse_response_selects_rows_of_a_full_table(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class Bots(Users):
        def parse_response(self, response: requests.Response) -> Page:
            page = super().parse_response(response)
            return replace(page, rows=[row for row in page if row["bot"]])

    bots = [user["id"] for user in drift.account.users if user["bot"]]
    assert sync_streams(config, Bots).record_ids("users") == bots


def test_parse_response_keeps_the_link_of_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class EvenConversations(ConversationsStream):
        def parse_response(self, response: requests.Response) -> Page:
            page = super().parse_response(response)
            return replace(page, rows=[row for row in page if row["id"] % 2 == 0])

    even = [number for number in drift.conversation_ids() if number % 2 == 0]
    assert sync_streams(config, EvenConversations).record_ids() == even


def test_parse_response_changes_rows_of_a_child(drift: FakeDrift, config: dict[str, Any]) -> None:
    class ShortMessages(Messages):
        def parse_response(self, response: requests.Response) -> Page:
            page = super().parse_response(response)
            return replace(page, rows=[row | {"body": ""} for row in page])

    records = sync_messages(config, ShortMessages).records("messages")
    assert len(records) == len(drift.source_rows("messages"))
    assert {record["body"] for record in records} == {""}


# Retries


def test_backoff_wait_generator_sets_the_waits(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class SteadyUsers(Users):
        def backoff_wait_generator(self) -> Generator[float, Any, None]:
            return self.backoff_runtime(value=lambda _error: 7.0)

    drift.faults.extend([answer(500), answer(500)])
    sync_streams(config, SteadyUsers)
    assert clock.slept == [7.0, 7.0]


def test_backoff_jitter_changes_the_wait(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class JitteredUsers(Users):
        def backoff_wait_generator(self) -> Generator[float, Any, None]:
            return self.backoff_runtime(value=lambda _error: 7.0)

        def backoff_jitter(self, value: float) -> float:
            return value + 0.5

    drift.faults.append(answer(500))
    sync_streams(config, JitteredUsers)
    assert clock.slept == [7.5]


def test_backoff_max_tries_limits_the_attempts(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class TwoAttemptUsers(Users):
        def backoff_max_tries(self) -> int:
            return 2

    drift.faults.extend([answer(500)] * 9)
    with pytest.raises(StreamsFailedError, match="2 attempts; last error: 500 on /users/list"):
        sync_streams(config, TwoAttemptUsers)
    assert len(drift.requests) == 2
    assert len(clock.slept) == 1


def test_backoff_handler_is_called_before_each_wait(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[tuple[int, float]] = []

    class ObservedUsers(Users):
        def backoff_handler(self, details: Details) -> None:
            handled.append((details["tries"], details["wait"]))

    drift.faults.extend([answer(500), answer(503)])
    sync_streams(config, ObservedUsers)
    assert handled == list(enumerate(clock.slept, start=1))
    assert "Retrying" not in caplog.text


def test_request_decorator_can_disable_retries(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    class OneAttemptMessages(Messages):
        def request_decorator(self, func: Callable[..., Any]) -> Callable[..., Any]:
            return func

    drift.faults_by_path["/messages"] = answer(500)
    with pytest.raises(StreamsFailedError, match=r"messages failed: .*/conv\S+ failed: 500 on "):
        sync_messages(config, OneAttemptMessages)
    assert not clock.slept


def test_request_decorator_wraps_each_attempt(
    drift: FakeDrift, config: dict[str, Any], clock: FakeClock
) -> None:
    urls = []

    class ObservedUsers(Users):
        def request_decorator(self, func: Callable[..., Any]) -> Callable[..., Any]:
            def observed(request: requests.PreparedRequest) -> Any:
                urls.append(request.path_url)
                return func(request)

            return super().request_decorator(observed)

    drift.faults.append(answer(500))
    sync_streams(config, ObservedUsers)
    assert urls == ["/users/list"] * 2
    assert clock.slept


# Records


def test_post_process_changes_records_of_a_full_table(config: dict[str, Any]) -> None:
    class TaggedUsers(Users):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            assert context is None
            return row | {"tag": "new"}

    records = sync_streams(config, TaggedUsers).records("users")
    assert {record["tag"] for record in records} == {"new"}


def test_post_process_drops_records_of_a_full_table(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class Bots(Users):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            return row if row["bot"] and not context else None

    bots = [user["id"] for user in drift.account.users if user["bot"]]
    assert sync_streams(config, Bots).record_ids("users") == bots


def test_post_process_changes_records_of_the_listing(config: dict[str, Any]) -> None:
    class TaggedConversations(ConversationsStream):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            return row | {"tag": f"at {row['updatedAt']}", "context": context}

    records = sync_streams(config, TaggedConversations).records()
    assert len(records) == 25
    assert all(record["tag"] == f"at {record['updatedAt']}" for record in records)


def test_post_process_drops_records_of_the_listing(
    drift: FakeDrift, config: dict[str, Any]
) -> None:
    class EvenConversations(ConversationsStream):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            return row if row["id"] % 2 == 0 and not context else None

    messages = sync_streams(config, EvenConversations)
    even = [number for number in drift.conversation_ids() if number % 2 == 0]
    assert messages.record_ids() == even
    assert messages.bookmarks()["conversations"]


def test_post_process_of_a_child_gets_the_context(config: dict[str, Any]) -> None:
    class TaggedMessages(Messages):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            return row | {"tag": (context or {})["conversationId"]}

    records = sync_messages(config, TaggedMessages).records("messages")
    assert records
    assert all(record["tag"] == record["conversationId"] for record in records)


def test_post_process_drops_records_of_a_child(drift: FakeDrift, config: dict[str, Any]) -> None:
    class EvenMessages(Messages):
        def post_process(self, row: Record, context: Context | None = None) -> Record | None:
            return super().post_process(row, context) if row["id"] % 2 == 0 else None

    even = {row["id"] for row in drift.source_rows("messages") if row["id"] % 2 == 0}
    assert set(sync_messages(config, EvenMessages).record_ids("messages")) == even
