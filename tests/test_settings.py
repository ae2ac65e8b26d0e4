"""Settings: validation, environment variables, blank values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN
from runs import sync
from singer_sdk.exceptions import ConfigValidationError

from tap_drift.settings import schema, variable_warnings, warnings
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from fake_drift import FakeDrift

VALID = {"access_token": TOKEN}
OAUTH = {"client_id": "id", "client_secret": TOKEN, "refresh_token": TOKEN}


def errors(config: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(ConfigValidationError) as error:
        TapDrift(config=config, **options)
    return error.value.errors


def full_schema() -> dict[str, Any]:
    """Return the schema of the settings, the SDK's included."""
    return TapDrift(validate_config=False).config_jsonschema


def setting_warnings(config: dict[str, Any]) -> list[str]:
    return warnings(config, full_schema())


@pytest.mark.parametrize(
    ("setting", "value", "accepted"),
    [
        ("access_token", " ", "a Drift token, without spaces"),
        ("access_token", "Bearer abc", "a Drift token, without spaces"),
        ("access_token", "abc\ndef", "a Drift token, without spaces"),
        ("access_token", "tökén", "a Drift token, without spaces"),
        ("access_token", 12345, "a Drift token, without spaces"),
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
        ("max_failed_items", -1, "an integer of at least 0"),
        ("max_failed_items", "all", "an integer of at least 0"),
        ("attachments_path", "files ", "a folder or a URL"),
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
        ("client_id", "an id", "an id as Drift shows it"),
        ("client_secret", "a secret", "a secret as Drift shows it"),
        ("refresh_token", "Bearer abc", "a Drift token, without spaces"),
    ],
)
def test_invalid_setting_is_named_with_accepted_values(
    setting: str, value: Any, accepted: str
) -> None:
    [message] = errors(VALID | {setting: value})
    assert message.startswith(f"`{setting}` must be {accepted}")


@pytest.mark.parametrize("setting", list(schema()["properties"]))
def test_error_does_not_repeat_the_value(setting: str) -> None:
    assert TOKEN not in str(errors(VALID | {setting: f" {TOKEN} {TOKEN}"}))


def test_missing_token_error_names_setting_and_variable() -> None:
    [message] = errors({})
    assert message.startswith("`access_token` is missing")
    assert "TAP_DRIFT_ACCESS_TOKEN" in message


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["client_id", "client_secret"], "`refresh_token` is missing"),
        (["refresh_token"], "`client_id` and `client_secret` are missing"),
    ],
)
def test_incomplete_oauth_settings_are_named(names: list[str], expected: str) -> None:
    [message] = errors({name: OAUTH[name] for name in names})
    assert message.startswith(expected)
    assert TOKEN not in message


def test_oauth_settings_replace_the_token() -> None:
    assert TapDrift(config=dict(OAUTH))


def test_oauth_and_shards_exclude_each_other() -> None:
    shards = {"shard_count": 2, "shard_index": 1}
    [message] = errors(OAUTH | shards)
    assert message.startswith("An OAuth app cannot be used with `shard_count`")
    assert TapDrift(config=VALID | OAUTH | shards)
    assert TapDrift(config=OAUTH | {"shard_count": 1})


def test_each_error_is_reported_once() -> None:
    invalid = {"page_size": 0, "statuses": ["x", "y"], "api_url": "?"}
    assert [message.split("`")[1] for message in errors(invalid)] == [
        "access_token",
        "statuses",
        "page_size",
        "api_url",
    ]


def test_invalid_sdk_setting_is_named() -> None:
    [message] = errors(VALID | {"flattening_max_depth": "deep"})
    assert message.startswith("`flattening_max_depth` must have type")


# Warnings


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("start_dat", "start_date"),
        ("startDate", "start_date"),
        ("START_DATE", "start_date"),
        ("status", "statuses"),
        ("stream_map", "stream_maps"),
        ("token", None),
    ],
)
def test_unknown_setting_warns_with_the_nearest_name(name: str, nearest: str | None) -> None:
    end = f": did you mean `{nearest}`?" if nearest else ". `tap-drift --about` lists the settings."
    assert setting_warnings({name: TOKEN}) == [f"The unknown setting `{name}` is ignored{end}"]


@pytest.mark.parametrize(
    "name", list(TapDrift(validate_config=False).config_jsonschema["properties"])
)
def test_settings_of_tap_and_sdk_are_known(name: str) -> None:
    assert setting_warnings({name: "x"}) == []
    assert variable_warnings({f"TAP_DRIFT_{name.upper()}": "x"}, full_schema()) == []


def test_names_with_an_underscore_in_front_are_comments() -> None:
    assert setting_warnings({"_comment": "x"}) == []


@pytest.mark.parametrize(
    ("name", "nearest"), [("START_DAT", "START_DATE"), ("LOG_LEVEL", "LOGLEVEL")]
)
def test_unknown_variable_warns_with_the_nearest_name(name: str, nearest: str) -> None:
    [message] = variable_warnings({f"TAP_DRIFT_{name}": TOKEN}, full_schema())
    assert message == (
        f"The unknown environment variable TAP_DRIFT_{name} is ignored: did you mean "
        f"TAP_DRIFT_{nearest}?"
    )


@pytest.mark.parametrize(
    "name",
    [
        *("TAP_DRIFT__SELECT", "TAP_DRIFT_SOURCE", "TAP_DRIFT_LOGLEVEL", "TARGET_START_DAT"),
        *("TAP_DRIFT_STREAM_MAPS_USERS", "TAP_DRIFTER_START_DAT"),
    ],
)
def test_other_variables_do_not_warn(name: str) -> None:
    assert variable_warnings({name: "x"}, full_schema()) == []


def test_blank_variable_does_not_warn() -> None:
    assert variable_warnings({"TAP_DRIFT_START_DAT": ""}, full_schema()) == []


@pytest.mark.parametrize("environment", [None, "MELTANO_EXTRACTOR_NAME"])
def test_variables_are_checked_if_they_are_read(
    environment: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MELTANO_EXTRACTOR_NAME", raising=False)
    monkeypatch.setenv("TAP_DRIFT_START_DAT", "2024-01-31")
    TapDrift(config=dict(VALID))
    assert "START_DAT" not in caplog.text
    if environment:
        monkeypatch.setenv(environment, "tap-drift")
    TapDrift(config=dict(VALID), parse_env_config=not environment)
    assert caplog.text.count("TAP_DRIFT_START_DAT is ignored") == 1


def test_warning_precedes_the_error_of_a_setting(caplog: pytest.LogCaptureFixture) -> None:
    [message] = errors({"acces_token": TOKEN})
    assert message.startswith("`access_token` is missing")
    assert "did you mean `access_token`?" in caplog.text
    assert TOKEN not in caplog.text


def test_discovery_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    TapDrift(config={"start_dat": "2024-01-31"}, validate_config=False)
    assert "start_dat" not in caplog.text


def test_start_date_in_the_future_warns() -> None:
    [message] = setting_warnings({"start_date": "2099-01-01"})
    assert message.startswith("`start_date` is in the future")


@pytest.mark.parametrize("start_date", ["2024-01-31", "soon", 5])
def test_other_start_dates_do_not_warn(start_date: Any) -> None:
    assert setting_warnings({"start_date": start_date}) == []


@pytest.mark.parametrize(
    "value", ["2024-01-31", "2024-01-31T09:00:00Z", "2024-01-31 09:00:00+02:00"]
)
def test_start_date_accepts_dates_and_date_times(value: str) -> None:
    assert TapDrift(config=VALID | {"start_date": value})


@pytest.mark.parametrize("blank", [None, ""])
def test_null_and_blank_values_count_as_unset(blank: str | None, drift: FakeDrift) -> None:
    unset = dict.fromkeys(["start_date", "statuses", "page_size", "user_agent", *OAUTH], blank)
    config = {"access_token": drift.token, "api_url": drift.url}
    assert sync(config | unset).record_ids() == drift.conversation_ids()
    assert errors({"access_token": blank})[0].startswith("`access_token` is missing")
    assert errors(OAUTH | {"refresh_token": blank})[0].startswith("`refresh_token` is missing")


def test_blank_variable_does_not_override_config_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_TOKEN", "PAGE_SIZE", "REFRESH_TOKEN"):
        monkeypatch.setenv(f"TAP_DRIFT_{name}", "")
    config = OAUTH | {"page_size": 50}
    tap = TapDrift(config=dict(config), parse_env_config=True)
    assert {name: tap.config[name] for name in config} == config


def test_every_setting_can_be_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "TAP_DRIFT_ACCESS_TOKEN": TOKEN,
        "TAP_DRIFT_START_DATE": "2024-01-31",
        "TAP_DRIFT_STATUSES": '["open", "closed"]',
        "TAP_DRIFT_PAGE_SIZE": "50",
        "TAP_DRIFT_LOOKBACK_SECONDS": "0",
        "TAP_DRIFT_CONCURRENCY": "4",
        "TAP_DRIFT_SHARD_COUNT": "4",
        "TAP_DRIFT_SHARD_INDEX": "3",
        "TAP_DRIFT_MAX_FAILED_ITEMS": "5",
        "TAP_DRIFT_NESTED_AS_JSON": "true",
        "TAP_DRIFT_REQUEST_TIMEOUT": "5",
        "TAP_DRIFT_API_URL": "http://127.0.0.1:1",
        "TAP_DRIFT_USER_AGENT": "acme",
        "TAP_DRIFT_CLIENT_ID": "id",
        "TAP_DRIFT_CLIENT_SECRET": "secret",
        "TAP_DRIFT_REFRESH_TOKEN": "refresh",
        "TAP_DRIFT_FLATTENING_ENABLED": "true",
        "TAP_DRIFT_FLATTENING_MAX_DEPTH": "2",
    }
    for name, value in variables.items():
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
        "max_failed_items": 5,
        "nested_as_json": True,
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
def test_unreadable_variable_is_named_as_setting(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_DRIFT_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv(f"TAP_DRIFT_{setting}", "abc")
    [message] = errors({}, parse_env_config=True)
    assert message.startswith(f"`{setting.lower()}` must")
