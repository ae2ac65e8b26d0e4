"""The token that each request carries, and its renewal."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Barrier
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import requests
from fake_drift import FakeDrift, FakeDriftHandler
from faults import answer, reset, truncated
from runs import sync
from singer_sdk.exceptions import FatalAPIError

from tap_drift.api.auth import OAuthToken, StaticToken
from tap_drift.api.client import DriftSession
from tap_drift.exceptions import StreamsFailedError
from tap_drift.sandbox.auth import CLIENT_ID, CLIENT_SECRET
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_clock import FakeClock
    from faults import Fault
    from runs import RunTap

    from tap_drift.sandbox.server import Answer, SandboxHandler

THREADS = 16
SECRETS = ("sandbox-secret", "sandbox-access", "sandbox-refresh")


class OAuthHandler(FakeDriftHandler):
    """Notes every request for a token; meets it with the next fault, if there is one."""

    server: OAuthDrift

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        drift = self.server
        if self.path != "/oauth2/token":
            super().do_POST()
            return
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        drift.forms.append(dict(parse_qsl(self.body.decode())))
        if drift.token_faults:
            drift.token_faults.popleft()(self)
        else:
            exchanged(self)

    def answer(self) -> Answer:
        """Change, if told to, what is said of a new token."""
        answered, drift = super().answer(), self.server
        if self.path == "/oauth2/token" and answered.status == HTTPStatus.OK:
            drift.given = answered.body["access_token"]
            answered.body.update(drift.changes)
        return answered


def exchanged(handler: SandboxHandler) -> None:
    """No fault: give a token, if the refresh token is the right one."""
    handler.send(handler.answer())


class OAuthDrift(FakeDrift):
    """A sandbox whose tokens come from OAuth."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = OAuthHandler
        self.forms: list[dict[str, str]] = []
        self.token_faults: deque[Fault] = deque()
        self.changes: dict[str, Any] = {}
        self.given = ""
        """The access token that was given last."""

    @property
    def refresh_token(self) -> str:
        """The one that is good now."""
        return self.tokens.refresh_token


@pytest.fixture
def oauth() -> Iterator[OAuthDrift]:
    with OAuthDrift() as server:
        yield server


@pytest.fixture
def settings(oauth: OAuthDrift) -> dict[str, Any]:
    return {
        "client_id": CLIENT_ID,
        "client_secret": f" {CLIENT_SECRET}\n",
        "refresh_token": oauth.refresh_token,
        "api_url": oauth.url,
    }


def kept_by(saved: list[str]) -> Callable[[str, str], None]:
    return lambda _used, new: saved.append(new)


@pytest.fixture
def saved() -> list[str]:
    """The refresh tokens that were kept."""
    return []


@pytest.fixture
def authenticator(settings: dict[str, Any], saved: list[str]) -> OAuthToken:
    config = settings | {"request_timeout": 5, "user_agent": "acme"}
    return OAuthToken(config, DriftSession(), kept_by(saved))


def request() -> requests.PreparedRequest:
    return requests.Request("GET", "http://drift.test/?page_token=").prepare()


def carried(request: requests.PreparedRequest) -> str:
    return str(request.headers["Authorization"])


def test_a_fixed_token_has_no_successor() -> None:
    asked = StaticToken(" abc\n")(request())
    assert carried(asked) == "Bearer abc"
    assert asked.url == "http://drift.test/?page_token="
    assert not StaticToken("abc").refresh(asked)


def test_the_request_for_a_token_is_the_documented_one(
    oauth: OAuthDrift, settings: dict[str, Any]
) -> None:
    used = oauth.refresh_token
    assert sync(settings).record_ids() == oauth.conversation_ids()
    assert oauth.forms == [
        {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "grant_type": "refresh_token",
            "refresh_token": used,
        }
    ]


def test_an_access_token_wins(oauth: OAuthDrift, settings: dict[str, Any]) -> None:
    sync(settings | {"access_token": oauth.token})
    assert oauth.forms == []


def test_nobody_asks_for_a_token_before_it_is_needed(
    oauth: OAuthDrift, settings: dict[str, Any]
) -> None:
    assert TapDrift(config=settings).catalog_dict["streams"]
    assert oauth.forms == []


def test_all_streams_share_one_authenticator(settings: dict[str, Any]) -> None:
    tap = TapDrift(config=settings)
    assert {id(stream.authenticator) for stream in tap.discover_streams()} == {  # type: ignore[attr-defined]  # they are DriftStreams
        id(tap.client.authenticator)
    }


def test_a_token_is_renewed_a_little_before_it_expires(
    oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    first = authenticator.token()
    clock.now += 7200 - 301
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() == oauth.given != first


@pytest.mark.parametrize("told", [None, 0, -1, "soon", True])
def test_a_token_of_unknown_life_lives_two_hours(
    told: Any, oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.changes["expires_in"] = told
    first = authenticator.token()
    clock.now += 7200 - 301
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() != first


def test_a_short_life_is_used_to_nine_tenths(
    oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.changes["expires_in"] = 100
    first = authenticator.token()
    clock.now += 89
    assert authenticator.token() == first
    clock.now += 2
    assert authenticator.token() != first


def in_threads(job: Callable[[], Any]) -> list[Any]:
    """Do something in many threads at the same moment; what raises gives its words."""
    start = Barrier(THREADS)

    def together(_: int) -> Any:
        start.wait()
        try:
            return job()
        except FatalAPIError as error:
            return str(error)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(together, range(THREADS)))


def test_many_threads_renew_an_expired_token_once(
    oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    authenticator.token()
    clock.now += 7200
    assert in_threads(authenticator.token) == [oauth.given] * THREADS
    assert len(oauth.forms) == 2


def test_many_threads_renew_a_refused_token_once(
    oauth: OAuthDrift, authenticator: OAuthToken
) -> None:
    refused = carried(authenticator(request()))

    def renewed() -> str:
        mine = request()
        mine.headers["Authorization"] = refused
        assert authenticator.refresh(mine)
        return carried(mine)

    assert in_threads(renewed) == [f"Bearer {oauth.given}"] * THREADS
    assert len(oauth.forms) == 2


def test_many_threads_learn_of_one_refusal(oauth: OAuthDrift, authenticator: OAuthToken) -> None:
    oauth.tokens.refresh_token = "another"
    [said] = set(in_threads(authenticator.token))
    assert "authorize the app again" in said
    assert len(oauth.forms) == 1


def test_a_token_that_is_refused_in_the_middle_is_renewed(
    oauth: OAuthDrift, settings: dict[str, Any], clock: FakeClock
) -> None:
    oauth.tokens.lifetime = 10
    oauth.changes["expires_in"] = 7200

    def pause(number: int) -> None:
        if number == 2:
            clock.now += 11

    oauth.on_request = pause
    assert sync(settings).record_ids() == oauth.conversation_ids()
    assert len(oauth.forms) == 2
    assert len(oauth.requests) == 4


def test_a_renewed_token_that_is_refused_too_is_an_error(
    oauth: OAuthDrift, settings: dict[str, Any], clock: FakeClock
) -> None:
    oauth.faults.extend([answer(401)] * 9)
    with pytest.raises(StreamsFailedError, match=r"`refresh_token` is a current token .*_read`"):
        sync(settings)
    assert len(oauth.requests) == 2
    assert len(oauth.forms) == 2
    assert not clock.slept


def test_a_refresh_token_is_kept_before_the_access_token_is_used(
    oauth: OAuthDrift, settings: dict[str, Any], tmp_path: Path, run_tap: RunTap
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    kept = []
    oauth.on_request = lambda _: kept.append(json.loads(file.read_text())["refresh_token"])
    assert run_tap("--config", str(file)).returncode == 0
    assert kept == [oauth.refresh_token] * 3
    assert run_tap("--config", str(file), "--test").returncode == 0
    assert [form["refresh_token"] for form in oauth.forms] == [settings["refresh_token"], kept[0]]


def test_without_a_file_to_keep_it_in_a_run_goes_well_and_warns(
    oauth: OAuthDrift, settings: dict[str, Any], run_tap: RunTap
) -> None:
    environment = {f"TAP_DRIFT_{name.upper()}": value for name, value in settings.items()}
    run = run_tap("--config=ENV", **environment | {"TAP_DRIFT_ACCESS_TOKEN": ""})
    assert run.returncode == 0
    assert len(oauth.forms) == 1
    assert run.stderr.count("cannot be saved: one --config file") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_does_not_come_between_an_answer_and_its_keeping(
    number: signal.Signals, oauth: OAuthDrift, settings: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tap_drift", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:

        def interrupted(handler: SandboxHandler) -> None:
            run.send_signal(number)
            exchanged(handler)

        oauth.token_faults.append(interrupted)
    assert run.returncode == 128 + number
    assert json.loads(file.read_text())["refresh_token"] == oauth.refresh_token
    assert oauth.requests == []


@pytest.mark.parametrize("told", [None, "", "the same"])
def test_a_refresh_token_that_does_not_change_is_used_again(
    told: str | None,
    oauth: OAuthDrift,
    authenticator: OAuthToken,
    clock: FakeClock,
    saved: list[str],
) -> None:
    used = oauth.refresh_token
    oauth.changes["refresh_token"] = used if told else told
    authenticator.token()
    clock.now += 7200
    oauth.tokens.refresh_token = used
    authenticator.token()
    assert [form["refresh_token"] for form in oauth.forms] == [used, used]
    assert saved == []


def test_every_refresh_token_is_kept(
    oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock, saved: list[str]
) -> None:
    authenticator.token()
    first = oauth.refresh_token
    clock.now += 7200
    authenticator.token()
    assert saved == [first, oauth.refresh_token]


TRANSIENT = [
    pytest.param(answer(500), id="500"),
    pytest.param(answer(429), id="429"),
    pytest.param(answer(200, "<html>"), id="not JSON"),
    pytest.param(answer(200, "[" * 100_000), id="too deep"),
    pytest.param(answer(200, {"access_token": None}), id="no token"),
    pytest.param(answer(200, {"access_token": "two words"}), id="no token for a header"),
    pytest.param(truncated, id="truncated"),
    pytest.param(reset, id="reset"),
]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_may_pass_is_tried_again(
    fault: Fault, oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.extend([fault] * 3)
    assert authenticator.token() == oauth.given
    assert len(clock.slept) == 3


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_does_not_pass_is_an_error(
    fault: Fault, oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.extend([fault] * 100)
    with pytest.raises(FatalAPIError, match=r"/oauth2/token failed for \d minutes"):
        authenticator.token()
    assert clock.slept


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_names_the_settings_and_what_to_do(
    status: int, oauth: OAuthDrift, authenticator: OAuthToken, clock: FakeClock
) -> None:
    oauth.token_faults.append(answer(status, {"error": {"type": "x", "message": "off"}}))
    with pytest.raises(FatalAPIError) as error:
        authenticator.token()
    assert f"({status} on /oauth2/token: x: off)" in str(error.value)
    assert "`client_id`, `client_secret` and `refresh_token`" in str(error.value)
    assert "have been used: authorize the app again" in str(error.value)
    assert not clock.slept


@pytest.mark.parametrize("status", [302, 404, 405])
def test_any_other_answer_points_to_api_url(
    status: int, oauth: OAuthDrift, authenticator: OAuthToken
) -> None:
    oauth.token_faults.append(answer(status, Location=f"{oauth.url}/elsewhere"))
    with pytest.raises(FatalAPIError, match="check `api_url`"):
        authenticator.token()
    assert len(oauth.forms) == 1
    assert oauth.requests == []


def test_no_secret_is_logged_at_any_level(
    oauth: OAuthDrift, settings: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    echo = {"error": {"type": "x", "message": f"{CLIENT_SECRET} {oauth.refresh_token}"}}
    oauth.token_faults.extend([answer(500, echo), exchanged, exchanged])
    oauth.token_faults.append(answer(400, echo))
    oauth.faults.append(answer(401))
    with caplog.at_level(logging.DEBUG):
        sync(settings)
        with pytest.raises(StreamsFailedError) as error:
            sync(settings)  # with the refresh token that is used up; the answer repeats it
    assert "500 on /oauth2/token: x: *** ***" in caplog.text
    assert "cannot be saved" in caplog.text
    assert not [secret for secret in SECRETS if secret in f"{caplog.text} {error.value}"]
    assert clock.slept


def test_no_secret_is_on_the_terminal_at_debug(
    oauth: OAuthDrift, settings: dict[str, Any], tmp_path: Path, run_tap: RunTap
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    oauth.faults.extend([answer(401), answer(400)])
    run = run_tap("--config", str(file), TAP_DRIFT_LOGLEVEL="DEBUG")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert not [secret for secret in SECRETS if secret in run.stdout + run.stderr]
