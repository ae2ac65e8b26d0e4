"""Who may ask the sandbox, for what, and how often."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_drift import TOKEN, FakeDrift

from tap_drift.sandbox.auth import CLIENT_ID, CLIENT_SECRET, SCOPES, RateLimit
from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.errors import DriftError

if TYPE_CHECKING:
    from fake_clock import FakeClock

FORM = {
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
    "grant_type": "refresh_token",
    "refresh_token": "sandbox-refresh-0",
}
NEEDED = {
    "/conversations/list": "conversation_read",
    "/conversations/stats": "conversation_read",
    "/conversations/1": "conversation_read",
    "/conversations/1/messages": "conversation_read",
    "/conversations/1/transcript": "conversation_read",
    "/contacts/1": "contact_read",
    "/contacts/attributes": "all_contact_read",
    "/accounts": "account_read",
    "/users/list": "user_read",
    "/teams/org": "user_read",
    "/users/meetings/org": "user_read",
    "/playbooks/list": "playbook_read",
    "/playbooks/clp": "playbook_read",
}


def ask(drift: FakeDrift, path: str = "/users/list", token: str = TOKEN) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{drift.url}{path}", headers=headers, timeout=5)


def refresh(drift: FakeDrift, **fields: str) -> requests.Response:
    return requests.post(f"{drift.url}/oauth2/token", FORM | fields, timeout=5)


def info(drift: FakeDrift, body: Any) -> requests.Response:
    return requests.post(f"{drift.url}/app/token_info", json=body, timeout=5)


@pytest.mark.parametrize("path", NEEDED)
def test_each_endpoint_needs_its_scope_and_no_other(path: str) -> None:
    others = [scope for scope in SCOPES if scope != NEEDED[path]]
    with FakeDrift(Account(), scopes=others) as drift:
        answer = ask(drift, path)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "authentication_error"
    with FakeDrift(Account(), scopes=[NEEDED[path]]) as drift:
        assert ask(drift, path).status_code != 403


@pytest.mark.parametrize("authorization", [None, TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer x"])
def test_only_a_bearer_token_that_is_good_opens(
    authorization: str | None, drift: FakeDrift
) -> None:
    headers = {"Authorization": authorization}
    answer = requests.get(f"{drift.url}/users/list", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The access token is invalid or has expired"


def test_a_refresh_token_gets_an_access_token(drift: FakeDrift) -> None:
    answer = refresh(drift).json()
    assert answer.keys() == {"access_token", "refresh_token", "expires_in", "orgId"}
    assert answer["expires_in"] == 7200
    assert ask(drift, token=answer["access_token"]).status_code == 200


def test_the_refresh_token_rotates(drift: FakeDrift) -> None:
    rotated = refresh(drift).json()["refresh_token"]
    assert refresh(drift).status_code == 401
    assert refresh(drift, refresh_token=rotated).status_code == 200


def test_one_of_many_refreshes_at_once_succeeds(drift: FakeDrift) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: refresh(drift).status_code, range(8)))
    assert sorted(answers) == [200] + [401] * 7


@pytest.mark.parametrize(
    ("field", "status"),
    [("client_id", 401), ("client_secret", 401), ("refresh_token", 401), ("grant_type", 400)],
)
def test_a_wrong_field_gets_no_token(field: str, status: int, drift: FakeDrift) -> None:
    assert refresh(drift, **{field: "wrong"}).status_code == status
    assert refresh(drift).status_code == 200


def test_a_refreshed_token_expires_and_the_fixed_one_does_not(clock: FakeClock) -> None:
    with FakeDrift(token_life=60) as drift:
        token = refresh(drift).json()["access_token"]
        clock.sleep(59)
        assert ask(drift, token=token).status_code == 200
        clock.sleep(1)
        assert ask(drift, token=token).status_code == 401
        assert ask(drift).status_code == 200


def test_a_token_can_be_asked_about_by_anybody(clock: FakeClock) -> None:
    with FakeDrift(scopes=["user_read", "contact_read"]) as drift:
        fixed = info(drift, {"access_token": TOKEN}).json()
        token = refresh(drift).json()["access_token"]
        clock.sleep(200)
        refreshed = info(drift, {"access_token": token}).json()
        assert fixed.keys() == {"scope", "authenticated_userid", "expires_in", "created_at"}
        assert fixed["scope"] == "user_read contact_read"
        assert fixed["authenticated_userid"] == drift.account.users[0]["id"]
        assert (fixed["expires_in"], refreshed["expires_in"]) == (0, 7000)


@pytest.mark.parametrize(
    ("body", "status"), [({"access_token": "x"}, 401), ({}, 400), ([], 400), (None, 400)]
)
def test_nothing_is_known_of_other_tokens(body: Any, status: int, drift: FakeDrift) -> None:
    assert info(drift, body).status_code == status


def test_what_a_refused_post_brought_is_not_the_next_request(drift: FakeDrift) -> None:
    with requests.Session() as connection:
        url = f"{drift.url}/nothing"
        assert connection.post(url, data="GET /users/list HTTP/1.1", timeout=5).status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = connection.get(f"{drift.url}/users/list", headers=headers, timeout=5)
        assert answer.status_code == 200


@pytest.mark.usefixtures("clock")
def test_one_request_too_many_is_refused() -> None:
    with FakeDrift(rate_limit=3) as drift:
        answers = [ask(drift) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["error"]["type"] == "rate_limit"
    assert "Retry-After" not in answers[3].headers


@pytest.mark.usefixtures("clock")
def test_a_refusal_can_say_when_to_ask_again() -> None:
    with FakeDrift(rate_limit=1, retry_after=True) as drift:
        ask(drift)
        assert ask(drift).headers["Retry-After"] == "1"


def passed(limit: RateLimit, requests: int) -> int:
    """How many of so many requests pass."""

    def passes(_: int) -> bool:
        try:
            limit.check()
        except DriftError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(passes, range(requests)))


def test_time_lets_requests_pass_again_but_saves_no_more_than_a_second(clock: FakeClock) -> None:
    limit = RateLimit(10, retry_after=False)
    assert passed(limit, 100) == 10
    clock.sleep(0.5)
    assert passed(limit, 100) == 5
    clock.sleep(3600)
    assert passed(limit, 100) == 10


@pytest.mark.usefixtures("clock")
def test_without_a_limit_everything_passes() -> None:
    assert passed(RateLimit(0, retry_after=False), 1000) == 1000


def test_a_limit_holds_on_a_clock_that_is_patched_later(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = RateLimit(2, retry_after=False)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    assert passed(limit, 10) == 2
