"""Tests of the log filter for lines of the SDK that the tap repeats."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import singer_sdk
from singer_sdk.logging import StructuredFormatter
from singer_sdk.metrics import Metric, Point

from tap_drift.logs import NOISE_PREFIXES, SdkNoiseFilter, StreamMetricFormatter

if TYPE_CHECKING:
    from runs import InvokeTap


def is_logged(message: object, *args: object) -> bool:
    record = logging.LogRecord("tap-drift", logging.INFO, __file__, 1, message, args, None)
    return bool(SdkNoiseFilter().filter(record))


@pytest.fixture(scope="module")
def sdk_source() -> str:
    """The text of all modules of the installed SDK."""
    files = Path(singer_sdk.__file__).parent.rglob("*.py")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_six_texts_of_the_sdk_are_dropped() -> None:
    assert NOISE_PREFIXES == (
        "Added '%s' as child stream",
        "An unhandled error occurred",
        "Beginning sync of",
        "Skipping deselected stream",
        "Skipping parse of env var settings",
        "Starting incremental sync of",
    )


@pytest.mark.parametrize("prefix", NOISE_PREFIXES)
def test_installed_sdk_still_logs_the_text(prefix: str, sdk_source: str) -> None:
    assert f'"{prefix}' in sdk_source, f"the SDK no longer logs {prefix!r}"


@pytest.mark.parametrize("prefix", NOISE_PREFIXES)
def test_line_that_starts_with_a_noise_prefix_is_dropped(prefix: str) -> None:
    assert not is_logged(f"{prefix} '%s'", "users")


@pytest.mark.parametrize(
    "message",
    ["Reading users", "users failed: An unhandled error occurred", "", 5, ValueError("failed")],
)
def test_any_other_line_is_logged(message: object) -> None:
    assert is_logged(message)


def test_command_logs_none_of_the_texts(invoke_tap: InvokeTap) -> None:
    run = invoke_tap("--config=ENV")
    starts = [prefix.partition("%s")[0] for prefix in NOISE_PREFIXES]
    assert "Reading conversations" in run.stderr
    assert not [start for start in starts if start in run.stderr]


def structured(message: str, *args: object) -> dict[str, Any]:
    """Return the line of a log record under Meltano."""
    record = logging.LogRecord("metrics", logging.INFO, __file__, 1, message, args, None)
    line: dict[str, Any] = json.loads(StreamMetricFormatter(StructuredFormatter()).format(record))
    return line


def test_structured_metric_names_its_stream() -> None:
    point = Point("counter", Metric.RECORD_COUNT, 5, {"stream": "messages"})
    line = structured("METRIC: %s", point)
    assert line["message"] == "METRIC of messages"
    assert line["stream_name"] == "messages"
    assert line["extra"] == {"metric_info": point.to_dict()}


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("METRIC: %s", (Point("timer", Metric.JOB_DURATION, 1.5),), "METRIC"),
        ("Reading %s", ("users",), "Reading users"),
        ("100%", (), "100%"),
    ],
)
def test_other_structured_lines_are_unchanged(
    message: str, args: tuple[object, ...], expected: str
) -> None:
    assert structured(message, *args)["message"] == expected


def test_command_names_the_streams_of_structured_metrics(
    invoke_tap: InvokeTap, tmp_path: Path
) -> None:
    """With the log configuration that Meltano writes."""
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    handler = {"class": "logging.StreamHandler", "formatter": "structured"}
    configuration = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"console": handler},
        "root": {"handlers": ["console"], "level": "INFO"},
    }
    path = tmp_path / "logging.json"
    path.write_text(json.dumps(configuration))
    run = invoke_tap("--config=ENV", SINGER_SDK_LOG_CONFIG=str(path))
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    metrics = [line for line in lines if "metric_info" in line["extra"]]
    assert {line["message"] for line in metrics} == {"METRIC of conversations"}
    assert [line for line in lines if line["message"] == "METRIC"] == []
