"""Tests of the log filter for lines of the SDK that the tap repeats."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import singer_sdk

from tap_drift.logs import NOISE_PREFIXES, SdkNoiseFilter

if TYPE_CHECKING:
    from runs import RunTap


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


def test_command_logs_none_of_the_texts(run_tap: RunTap) -> None:
    run = run_tap("--config=ENV")
    starts = [prefix.partition("%s")[0] for prefix in NOISE_PREFIXES]
    assert "Reading conversations" in run.stderr
    assert not [start for start in starts if start in run.stderr]
