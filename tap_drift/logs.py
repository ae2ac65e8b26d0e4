"""Text for the log, and a filter for SDK lines that repeat what is said elsewhere."""

from __future__ import annotations

import logging

from typing_extensions import override

NOISE_PREFIXES = (
    "Added '%s' as child stream",
    "An unhandled error occurred",
    "Beginning sync of",
    "Skipping deselected stream",
    "Skipping parse of env var settings",
    "Starting incremental sync of",
)
"""Prefixes of the SDK's message formats; tests/test_logs.py fails if the SDK changes them."""


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, such as `1 conversation` or `1,000 conversations`.

    Args:
        count: The number.
        noun: What is counted, in the plural with an s.
    """
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun}"


class SdkNoiseFilter(logging.Filter):
    """Drops the SDK's log records that start with one of `NOISE_PREFIXES`."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(NOISE_PREFIXES)
