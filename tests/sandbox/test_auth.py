"""Access tokens, scopes and the rate limit."""

from __future__ import annotations

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

ENDPOINT_SCOPES = {
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


def get(drift: FakeDrift, path: str = "/users/list", token: str = TOKEN) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{drift.url}{path}", headers=headers, timeout=5)


def refresh(drift: FakeDrift, **fields: str) -> requests.Response:
    form = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": "sandbox-refresh-0",
    }
    return requests.post(f"{drift.url}/oauth2/token", form | fields, timeout=5)


def token_info(drift: FakeDrift, body: Any) -> requests.Response:
    return requests.post(f"{drift.url}/app/token_info", json=body, timeout=5)


@pytest.mark.parametrize(("path", "scope"), ENDPOINT_SCOPES.items())
def test_endpoint_requires_its_scope_only(path: str, scope: str) -> None:
    with FakeDrift(Account(), scopes=set(SCOPES) - {scope}) as drift:
        answer = get(drift, path)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "authentication_error"
    with FakeDrift(Account(), scopes=[scope]) as drift:
        assert get(drift, path).status_code != 403


@pytest.mark.parametrize("authorization", [None, TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer x"])
def test_invalid_authorization_header_gets_401(authorization: str | None, drift: FakeDrift) -> None:
    headers = {"Authorization": authorization}
    answer = requests.get(f"{drift.url}/users/list", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("field", "status"),
    [("client_id", 401), ("client_secret", 401), ("refresh_token", 401), ("grant_type", 400)],
)
def test_refresh_with_a_wrong_field_is_rejected(field: str, status: int, drift: FakeDrift) -> None:
    assert refresh(drift, **{field: "wrong"}).status_code == status
    assert refresh(drift).status_code == 200


def test_refresh_token_works_once(drift: FakeDrift) -> None:
    tokens = refresh(drift).json()
    assert tokens.keys() == {"access_token", "refresh_token", "expires_in", "orgId"}
    assert refresh(drift).status_code == 401
    assert refresh(drift, refresh_token=tokens["refresh_token"]).status_code == 200


def test_refreshed_token_expires_and_static_token_does_not(clock: FakeClock) -> None:
    with FakeDrift(token_life=60) as drift:
        token = refresh(drift).json()["access_token"]
        clock.sleep(59)
        assert get(drift, token=token).status_code == 200
        clock.sleep(1)
        assert get(drift, token=token).status_code == 401
        assert get(drift).status_code == 200


def test_token_info_returns_scopes_user_and_expiry(clock: FakeClock) -> None:
    with FakeDrift(scopes=["user_read", "contact_read"]) as drift:
        static = token_info(drift, {"access_token": TOKEN}).json()
        token = refresh(drift).json()["access_token"]
        clock.sleep(200)
        refreshed = token_info(drift, {"access_token": token}).json()
    assert static["scope"] == refreshed["scope"] == "user_read contact_read"
    assert static["authenticated_userid"] == drift.account.users[0]["id"]
    assert (static["expires_in"], refreshed["expires_in"]) == (0, 7000)


@pytest.mark.parametrize(
    ("body", "status"), [({"access_token": "x"}, 401), ({}, 400), ([], 400), (None, 400)]
)
def test_token_info_rejects_an_invalid_token(body: Any, status: int, drift: FakeDrift) -> None:
    assert token_info(drift, body).status_code == status


def test_rejected_post_body_is_not_parsed_as_a_request(drift: FakeDrift) -> None:
    with requests.Session() as session:
        url = f"{drift.url}/nothing"
        assert session.post(url, data="GET /users/list HTTP/1.1", timeout=5).status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = session.get(f"{drift.url}/users/list", headers=headers, timeout=5)
    assert answer.status_code == 200


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("retry_after", "header"), [(False, None), (True, "1")])
def test_request_above_the_rate_limit_gets_429(*, retry_after: bool, header: str | None) -> None:
    with FakeDrift(rate_limit=2, retry_after=retry_after) as drift:
        answers = [get(drift) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["type"] == "rate_limit"
    assert answers[2].headers.get("Retry-After") == header


def test_rate_limit_refills_up_to_one_second(clock: FakeClock) -> None:
    limit = RateLimit(10, retry_after=False)

    def accepts(_: int) -> bool:
        try:
            limit.check()
        except DriftError:
            return False
        return True

    def accepted() -> int:
        with ThreadPoolExecutor(8) as threads:
            return sum(threads.map(accepts, range(100)))

    assert accepted() == 10
    clock.sleep(0.5)
    assert accepted() == 5
    clock.sleep(3600)
    assert accepted() == 10
