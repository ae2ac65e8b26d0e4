"""Tests of the authentication: static and OAuth tokens, refresh, and what is logged."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_oauth import FakeOAuthDrift, MemoryTokenStore
from faults import answer, answer_normally, reset, truncated
from runs import sync
from singer_sdk.exceptions import FatalAPIError

from tap_drift.api.auth import OAuthToken, StaticToken, create_authenticator
from tap_drift.api.client import DriftSession
from tap_drift.api.retry import CircuitBreaker
from tap_drift.exceptions import StreamsFailedError, TokenRefusedError
from tap_drift.sandbox.auth import CLIENT_ID, CLIENT_SECRET
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_clock import FakeClock
    from faults import Fault
    from runs import InvokeTap

LIFETIME = 7200
MARGIN = 300
THREADS = 16
SECRETS = ("sandbox-secret", "sandbox-access", "sandbox-refresh")
TRANSIENT = [
    pytest.param(answer(500), id="500"),
    pytest.param(answer(429), id="429"),
    pytest.param(answer(200, "<html>"), id="not JSON"),
    pytest.param(answer(200, "[" * 100_000), id="nested too deeply"),
    pytest.param(answer(200, {"access_token": None}), id="no token"),
    pytest.param(answer(200, {"access_token": "two words"}), id="token invalid in a header"),
    pytest.param(truncated, id="truncated"),
    pytest.param(reset, id="reset"),
]


@pytest.fixture
def oauth() -> Iterator[FakeOAuthDrift]:
    with FakeOAuthDrift() as server:
        yield server


@pytest.fixture
def settings(oauth: FakeOAuthDrift) -> dict[str, Any]:
    return oauth.settings()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryTokenStore:
    """The store of `authenticator`, and of runs in this process."""
    store = MemoryTokenStore()
    monkeypatch.setattr(TapDrift, "token_store", store)
    return store


@pytest.fixture
def authenticator(settings: dict[str, Any], store: MemoryTokenStore) -> OAuthToken:
    config = settings | {"request_timeout": 5, "user_agent": "acme"}
    return OAuthToken(config, DriftSession(), store, CircuitBreaker())


def build_request() -> requests.PreparedRequest:
    return requests.Request("GET", "http://drift.test/?page_token=").prepare()


def authorization(request: requests.PreparedRequest) -> str:
    return str(request.headers["Authorization"])


# Static token


def test_static_token_is_added_and_the_url_unchanged() -> None:
    request = StaticToken(" abc\n")(build_request())
    assert authorization(request) == "Bearer abc"
    assert request.url == "http://drift.test/?page_token="


def test_static_token_cannot_be_refreshed() -> None:
    authenticator = StaticToken("abc")
    assert not authenticator.refresh(authenticator(build_request()))


# Choice of the authenticator


def test_access_token_takes_precedence_over_oauth(
    oauth: FakeOAuthDrift, settings: dict[str, Any]
) -> None:
    sync(settings | {"access_token": oauth.token})
    assert oauth.forms == []


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "refresh_token"])
def test_incomplete_oauth_settings_are_not_used(settings: dict[str, Any], missing: str) -> None:
    config = {name: value for name, value in settings.items() if name != missing}
    authenticator = create_authenticator(
        config, DriftSession(), MemoryTokenStore(), CircuitBreaker()
    )
    assert isinstance(authenticator, StaticToken)


def test_all_streams_share_one_authenticator(settings: dict[str, Any]) -> None:
    tap = TapDrift(config=settings)
    shared = {id(stream.authenticator) for stream in tap.drift_streams}
    assert shared == {id(tap.client.authenticator)}


# The request for a token


def test_discovery_requests_no_token(oauth: FakeOAuthDrift, settings: dict[str, Any]) -> None:
    assert TapDrift(config=settings).catalog_dict["streams"]
    assert oauth.forms == []


@pytest.mark.usefixtures("store")
def test_token_request_has_the_documented_form(
    oauth: FakeOAuthDrift, settings: dict[str, Any]
) -> None:
    used = oauth.refresh_token
    sync(settings | {"client_secret": f" {CLIENT_SECRET}\n"})
    assert oauth.forms == [
        {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "grant_type": "refresh_token",
            "refresh_token": used,
        }
    ]


@pytest.mark.usefixtures("store")
def test_run_with_oauth_requests_one_token(oauth: FakeOAuthDrift, settings: dict[str, Any]) -> None:
    assert sync(settings).record_ids() == oauth.conversation_ids()
    assert len(oauth.forms) == 1


# Refresh before the token expires


def test_token_is_refreshed_before_it_expires(
    oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    first = authenticator.token()
    clock.now += LIFETIME - MARGIN - 1
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() == oauth.issued != first


@pytest.mark.parametrize("expires_in", [None, 0, -1, "soon", True])
def test_token_of_unknown_lifetime_lives_two_hours(
    expires_in: Any, oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_changes["expires_in"] = expires_in
    first = authenticator.token()
    clock.now += LIFETIME - MARGIN - 1
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() != first


def test_short_lifetime_is_used_to_nine_tenths(
    oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_changes["expires_in"] = 100
    first = authenticator.token()
    clock.now += 89
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() != first


# Refresh after a 401


@pytest.mark.usefixtures("store")
def test_token_refused_during_a_run_is_refreshed(
    oauth: FakeOAuthDrift, settings: dict[str, Any]
) -> None:
    def revoke(request: int) -> None:
        if request == 2:
            oauth.revoked.add(oauth.issued)

    oauth.on_request = revoke
    assert sync(settings).record_ids() == oauth.conversation_ids()
    assert len(oauth.forms) == 2
    assert len(oauth.requests) == 4


@pytest.mark.usefixtures("store")
def test_refreshed_token_that_is_refused_fails_the_stream(
    oauth: FakeOAuthDrift, settings: dict[str, Any], clock: FakeClock
) -> None:
    oauth.faults.extend([answer(401)] * 9)
    with pytest.raises(StreamsFailedError, match=r"`refresh_token` is a current token .*_read`"):
        sync(settings)
    assert len(oauth.requests) == 2
    assert len(oauth.forms) == 2
    assert not clock.slept


# Concurrent requests


def in_threads(call: Callable[[], str]) -> list[str]:
    """Call in all threads at the same moment; return results, or the texts of errors."""
    start = Barrier(THREADS)

    def run(_: int) -> str:
        start.wait()
        try:
            return call()
        except FatalAPIError as error:
            return str(error)

    with ThreadPoolExecutor(THREADS) as executor:
        return list(executor.map(run, range(THREADS)))


def test_threads_refresh_an_expired_token_once(
    oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    authenticator.token()
    clock.now += LIFETIME
    assert in_threads(authenticator.token) == [oauth.issued] * THREADS
    assert len(oauth.forms) == 2


def test_threads_refresh_a_refused_token_once(
    oauth: FakeOAuthDrift, authenticator: OAuthToken
) -> None:
    refused = authorization(authenticator(build_request()))

    def refresh() -> str:
        request = build_request()
        request.headers["Authorization"] = refused
        assert authenticator.refresh(request)
        return authorization(request)

    assert in_threads(refresh) == [f"Bearer {oauth.issued}"] * THREADS
    assert len(oauth.forms) == 2


def test_failed_refresh_is_not_repeated_by_each_thread(
    oauth: FakeOAuthDrift, authenticator: OAuthToken
) -> None:
    oauth.tokens.refresh_token = "another"
    [error] = set(in_threads(authenticator.token))
    assert "authorize the app again" in error
    assert len(oauth.forms) == 1


# The new refresh token


def test_every_new_refresh_token_is_saved(
    oauth: FakeOAuthDrift,
    authenticator: OAuthToken,
    clock: FakeClock,
    store: MemoryTokenStore,
) -> None:
    first = oauth.refresh_token
    authenticator.token()
    second = oauth.refresh_token
    clock.now += LIFETIME
    authenticator.token()
    assert store.saved == [(first, second), (second, oauth.refresh_token)]


@pytest.mark.parametrize("new", [None, "", "the same"])
def test_refresh_token_that_is_not_rotated_is_reused(
    new: str | None,
    oauth: FakeOAuthDrift,
    authenticator: OAuthToken,
    clock: FakeClock,
    store: MemoryTokenStore,
) -> None:
    used = oauth.refresh_token
    oauth.token_changes["refresh_token"] = used if new else new
    authenticator.token()
    clock.now += LIFETIME
    oauth.tokens.refresh_token = used
    authenticator.token()
    assert [form["refresh_token"] for form in oauth.forms] == [used, used]
    assert store.saved == []


def test_refresh_token_is_saved_before_the_first_request(
    oauth: FakeOAuthDrift, settings: dict[str, Any], tmp_path: Path, invoke_tap: InvokeTap
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    in_file = []
    oauth.on_request = lambda _: in_file.append(json.loads(file.read_text())["refresh_token"])
    assert invoke_tap("--config", str(file)).returncode == 0
    assert in_file == [oauth.refresh_token] * 3


def test_next_command_uses_the_saved_refresh_token(
    oauth: FakeOAuthDrift, settings: dict[str, Any], tmp_path: Path, invoke_tap: InvokeTap
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    assert invoke_tap("--config", str(file)).returncode == 0
    second = oauth.refresh_token
    assert invoke_tap("--config", str(file), "--test").returncode == 0
    used = [form["refresh_token"] for form in oauth.forms]
    assert used == [settings["refresh_token"], second]


# Failures


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_failure_of_a_refresh_is_retried(
    fault: Fault, oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.extend([fault] * 3)
    assert authenticator.token() == oauth.issued
    assert len(clock.slept) == 3


@pytest.mark.parametrize("fault", TRANSIENT)
def test_persistent_failure_of_a_refresh_is_an_error(
    fault: Fault, oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.extend([fault] * 100)
    with pytest.raises(FatalAPIError, match=r"/oauth2/token failed for \d minutes"):
        authenticator.token()
    assert clock.slept


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_refresh_names_settings_and_remedy(
    status: int, oauth: FakeOAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.append(answer(status, {"error": {"type": "x", "message": "off"}}))
    with pytest.raises(TokenRefusedError) as error:
        authenticator.token()
    assert f"({status} on /oauth2/token: x: off)" in str(error.value)
    assert "`client_id`, `client_secret` and `refresh_token`" in str(error.value)
    assert "have been used: authorize the app again" in str(error.value)
    assert not clock.slept


@pytest.mark.parametrize("status", [302, 404, 405])
def test_any_other_status_of_a_refresh_points_to_api_url(
    status: int, oauth: FakeOAuthDrift, authenticator: OAuthToken
) -> None:
    oauth.token_faults.append(answer(status, Location=f"{oauth.url}/elsewhere"))
    with pytest.raises(FatalAPIError, match="check `api_url`"):
        authenticator.token()
    assert len(oauth.forms) == 1
    assert oauth.requests == []


# Logs


@pytest.mark.usefixtures("store")
def test_secrets_are_not_logged_at_any_level(
    oauth: FakeOAuthDrift,
    settings: dict[str, Any],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    echo = {"error": {"type": "x", "message": f"{CLIENT_SECRET} {oauth.refresh_token}"}}
    oauth.token_faults.extend([answer(500, echo), answer_normally, answer_normally])
    oauth.token_faults.append(answer(400, echo))
    oauth.faults.append(answer(401))
    with caplog.at_level(logging.DEBUG):
        sync(settings)
        # The refresh token is used up by now, and the response repeats it.
        with pytest.raises(StreamsFailedError) as error:
            sync(settings)
    assert "500 on /oauth2/token: x: *** ***" in caplog.text
    assert not [secret for secret in SECRETS if secret in f"{caplog.text} {error.value}"]
    assert clock.slept


def test_secrets_are_not_printed_by_the_command_at_debug(
    oauth: FakeOAuthDrift, settings: dict[str, Any], tmp_path: Path, invoke_tap: InvokeTap
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    oauth.faults.extend([answer(401), answer(400)])
    run = invoke_tap("--config", str(file), TAP_DRIFT_LOGLEVEL="DEBUG")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert not [secret for secret in SECRETS if secret in run.stdout + run.stderr]
