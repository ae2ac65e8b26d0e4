"""Log filter for SDK lines that repeat what the tap, the catalog or an error already says."""

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


class SdkNoiseFilter(logging.Filter):
    """Drops the SDK's log records that start with one of `NOISE_PREFIXES`."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(NOISE_PREFIXES)
