"""What is wrong with a configuration, said before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN
from runs import sync
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.settings import schema
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from fake_drift import FakeDrift

GOOD = {"access_token": TOKEN}
OAUTH = {"client_id": "id", "client_secret": TOKEN, "refresh_token": TOKEN}


def complaints(config: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(ConfigValidationError) as error:
        TapDrift(config=config, **options)
    return error.value.errors


@pytest.mark.parametrize(
    ("setting", "value", "accepted"),
    [
        ("access_token", " ", "a Drift token by itself"),
        ("access_token", "Bearer abc", "a Drift token by itself"),
        ("access_token", "abc\ndef", "a Drift token by itself"),
        ("access_token", "tökén", "a Drift token by itself"),
        ("access_token", 12345, "a Drift token by itself"),
        ("start_date", "yesterday", "a date or date-time"),
        ("start_date", "2024-13-01", "a date or date-time"),
        ("start_date", 1686303381300, "a date or date-time"),
        ("statuses", "open", "a list of open, closed, pending"),
        ("statuses", ["open", "bulk_sent"], "a list of open, closed, pending"),
        ("statuses", [1], "a list of open, closed, pending"),
        ("page_size", 0, "an integer from 1 to 100"),
        ("page_size", 101, "an integer from 1 to 100"),
        ("page_size", "abc", "an integer from 1 to 100"),
        ("page_size", 1.5, "an integer from 1 to 100"),
        ("lookback_seconds", -1, "an integer of at least 0"),
        ("concurrency", 0, "an integer from 1 to 32"),
        ("concurrency", 33, "an integer from 1 to 32"),
        ("request_timeout", 0, "an integer of at least 1"),
        ("request_timeout", "60", "an integer of at least 1"),
        ("api_url", "api.drift.com", "an http:// or https:// URL"),
        ("api_url", "ftp://api.drift.com", "an http:// or https:// URL"),
        ("api_url", "https://user:pw@api.drift.com", "an http:// or https:// URL"),
        ("api_url", "https://api.drift.com?x=1", "an http:// or https:// URL"),
        ("api_url", "https://api.drift.com/{access_token}", "an http:// or https:// URL"),
        ("api_url", "https://api.drift.com:abc", "an http:// or https:// URL"),
        ("api_url", "https://api..drift.com", "an http:// or https:// URL"),
        ("api_url", "https://api.drift.com\n", "an http:// or https:// URL"),
        ("user_agent", "acme\r\nX-Evil: 1", "a line of printable ASCII text"),
        ("client_id", "an id", "an id by itself"),
        ("client_secret", "a secret", "a secret by itself"),
        ("refresh_token", "Bearer abc", "a Drift token by itself"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_accepts(
    setting: str, value: Any, accepted: str
) -> None:
    [complaint] = complaints(GOOD | {setting: value})
    assert complaint.startswith(f"`{setting}` must be {accepted}")


@pytest.mark.parametrize("setting", list(schema()["properties"]))
def test_a_token_in_the_wrong_place_is_not_repeated(setting: str) -> None:
    assert TOKEN not in str(complaints(GOOD | {setting: f" {TOKEN} {TOKEN}"}))


def test_a_missing_token_is_named_with_the_ways_to_give_it() -> None:
    [complaint] = complaints({})
    assert complaint.startswith("`access_token` is missing")
    assert "TAP_DRIFT_ACCESS_TOKEN" in complaint


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["client_id", "client_secret"], "`refresh_token` is missing"),
        (["refresh_token"], "`client_id` and `client_secret` are missing"),
    ],
)
def test_what_an_oauth_app_lacks_is_named(given: list[str], complaint: str) -> None:
    [said] = complaints({name: OAUTH[name] for name in given})
    assert said.startswith(complaint)
    assert TOKEN not in said


def test_an_oauth_app_is_enough() -> None:
    assert TapDrift(config=dict(OAUTH))


def test_each_fault_is_said_once() -> None:
    wrong = {"page_size": 0, "statuses": ["x", "y"], "api_url": "?"}
    assert [said.split("`")[1] for said in complaints(wrong)] == [
        "access_token",
        "statuses",
        "page_size",
        "api_url",
    ]


def test_a_setting_of_the_sdks_is_named_too() -> None:
    [complaint] = complaints(GOOD | {"flattening_max_depth": "deep"})
    assert complaint.startswith("`flattening_max_depth` must have type")


@pytest.mark.parametrize(
    "value", ["2024-01-31", "2024-01-31T09:00:00Z", "2024-01-31 09:00:00+02:00"]
)
def test_dates_may_be_spelled_in_many_ways(value: str) -> None:
    assert TapDrift(config=GOOD | {"start_date": value})


@pytest.mark.parametrize("blank", [None, ""])
def test_null_and_blank_are_the_same_as_not_given(blank: str | None, drift: FakeDrift) -> None:
    nothing = dict.fromkeys(["start_date", "statuses", "page_size", "user_agent", *OAUTH], blank)
    config = {"access_token": drift.token, "api_url": drift.url}
    assert sync(config | nothing).record_ids() == drift.conversation_ids()
    assert complaints({"access_token": blank})[0].startswith("`access_token` is missing")
    assert complaints(OAUTH | {"refresh_token": blank})[0].startswith("`refresh_token` is missing")


def test_a_blank_in_the_environment_does_not_hide_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_TOKEN", "PAGE_SIZE", "REFRESH_TOKEN"):
        monkeypatch.setenv(f"TAP_DRIFT_{name}", "")
    config = OAUTH | {"page_size": 50}
    tap = TapDrift(config=dict(config), parse_env_config=True)
    assert {name: tap.config[name] for name in config} == config


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "TAP_DRIFT_ACCESS_TOKEN": TOKEN,
        "TAP_DRIFT_START_DATE": "2024-01-31",
        "TAP_DRIFT_STATUSES": '["open", "closed"]',
        "TAP_DRIFT_PAGE_SIZE": "50",
        "TAP_DRIFT_LOOKBACK_SECONDS": "0",
        "TAP_DRIFT_CONCURRENCY": "4",
        "TAP_DRIFT_SHARD_COUNT": "4",
        "TAP_DRIFT_SHARD_INDEX": "3",
        "TAP_DRIFT_REQUEST_TIMEOUT": "5",
        "TAP_DRIFT_API_URL": "http://127.0.0.1:1",
        "TAP_DRIFT_USER_AGENT": "acme",
        "TAP_DRIFT_CLIENT_ID": "id",
        "TAP_DRIFT_CLIENT_SECRET": "secret",
        "TAP_DRIFT_REFRESH_TOKEN": "refresh",
        "TAP_DRIFT_FLATTENING_ENABLED": "true",
        "TAP_DRIFT_FLATTENING_MAX_DEPTH": "2",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert dict(TapDrift(parse_env_config=True).config) == {
        "access_token": TOKEN,
        "start_date": "2024-01-31",
        "statuses": ["open", "closed"],
        "page_size": 50,
        "lookback_seconds": 0,
        "concurrency": 4,
        "shard_count": 4,
        "shard_index": 3,
        "request_timeout": 5,
        "api_url": "http://127.0.0.1:1",
        "user_agent": "acme",
        "client_id": "id",
        "client_secret": "secret",
        "refresh_token": "refresh",
        "flattening_enabled": True,
        "flattening_max_depth": 2,
    }


@pytest.mark.parametrize("setting", ["PAGE_SIZE", "FLATTENING_MAX_DEPTH", "STREAM_MAPS"])
def test_what_cannot_be_read_from_the_environment_is_named(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_DRIFT_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv(f"TAP_DRIFT_{setting}", "abc")
    [complaint] = complaints({}, parse_env_config=True)
    assert complaint.startswith(f"`{setting.lower()}` must")
