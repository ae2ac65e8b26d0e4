"""The tap as a Singer tap: the SDK's standard tests, --discover and --about."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import FakeDrift
from faults import answer
from runs import catalog
from singer_sdk.testing import get_tap_test_class

from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK needs the settings when this module is imported, so the port is open from then on.
DRIFT = FakeDrift()
atexit.register(DRIFT.server_close)  # also if no test of the class runs
# The stream `failed_items` has a record.
DRIFT.faults_by_path[f"{DRIFT.conversation_ids()[5]}/messages"] = answer(400)
CONFIG = {"access_token": DRIFT.token, "api_url": DRIFT.url, "max_failed_items": 1}
StandardTests: Any = get_tap_test_class(
    TapDrift, config=CONFIG, parse_env_config=False, catalog=catalog()
)


class TestTapDrift(StandardTests):  # type: ignore[misc]  # the SDK makes the class at run time
    """The SDK's standard tests for taps."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _running_server(cls) -> Iterator[None]:
        with DRIFT:
            yield


def run_without_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an empty environment."""
    return subprocess.run(
        [sys.executable, "-m", "tap_drift", *arguments],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )


def test_discover_needs_no_configuration() -> None:
    run = run_without_config("--discover")
    streams = {entry["tap_stream_id"]: entry for entry in json.loads(run.stdout)["streams"]}
    stream = streams["conversations"]
    assert stream["key_properties"] == ["id"]
    assert stream["replication_key"] == "updatedAt"
    assert stream["replication_method"] == "INCREMENTAL"
    assert "onfig" not in run.stderr


def test_discover_ignores_invalid_settings() -> None:
    settings = {"concurrency": "many", "request_timeout": None, "page_size": 0}
    streams = TapDrift(config=settings, validate_config=False).catalog_dict["streams"]
    assert len(streams) == 15


def test_about_needs_no_configuration_and_marks_secrets() -> None:
    about = json.loads(run_without_config("--about", "--format=json").stdout)
    settings = about["settings"]["properties"]
    secrets = {name for name, setting in settings.items() if setting.get("writeOnly")}
    assert secrets == {"access_token", "client_secret", "refresh_token"}
    assert all(settings[name]["title"] and settings[name]["description"] for name in settings)
