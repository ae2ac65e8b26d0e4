"""The tap as a Singer tap: the SDK's own tests, discovery, and the words about it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift
from runs import catalog
from singer_sdk.testing import get_tap_test_class

from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK's tests take their settings when this file is imported: the port is open from then on.
DRIFT = FakeDrift()
CONFIG = {"access_token": DRIFT.token, "api_url": DRIFT.url}
StandardTests: Any = get_tap_test_class(
    TapDrift, config=CONFIG, parse_env_config=False, catalog=catalog()
)


class TestTapDrift(StandardTests):  # type: ignore[misc]  # the SDK makes the class at run time
    """The SDK's standard tests for taps."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _drift_answers(cls) -> Iterator[None]:
        with DRIFT:
            yield


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with no configuration at all."""
    return subprocess.run(
        [sys.executable, "-m", "tap_drift", *arguments],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )


def test_discovery_needs_no_configuration_and_complains_of_nothing() -> None:
    run = command("--discover")
    streams = {entry["tap_stream_id"]: entry for entry in json.loads(run.stdout)["streams"]}
    stream = streams["conversations"]
    assert stream["key_properties"] == ["id"]
    assert stream["replication_key"] == "updatedAt"
    assert stream["replication_method"] == "INCREMENTAL"
    assert "onfig" not in run.stderr


def test_about_needs_no_configuration_and_hides_the_secrets() -> None:
    about = json.loads(command("--about", "--format=json").stdout)
    settings = about["settings"]["properties"]
    secrets = {name for name, setting in settings.items() if setting.get("writeOnly")}
    assert secrets == {"access_token", "client_secret", "refresh_token"}
    assert all(settings[name]["title"] and settings[name]["description"] for name in settings)


def test_discovery_does_not_mind_settings_that_are_wrong() -> None:
    settings = {"concurrency": "many", "request_timeout": None, "page_size": 0}
    streams = TapDrift(config=settings, validate_config=False).catalog_dict["streams"]
    assert len(streams) == 13
