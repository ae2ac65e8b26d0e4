"""The tap with short waits, for soak.py: the same code, with constants of seconds and minutes cut.

Replaces the constants below in the modules that use them, then runs `tap_drift.__main__.main`.
Nothing else is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tap_drift.tap
from tap_drift.__main__ import main
from tap_drift.api import rate_limit, retry
from tap_drift.streams import per_conversation
from tap_drift.streams.base import DriftStream

if TYPE_CHECKING:
    from types import ModuleType

READ_TIMEOUT = 0.5
"""In place of the setting `request_timeout`, whose smallest value is one second."""

CONSTANTS: list[tuple[ModuleType | type, str, object]] = [
    (DriftStream, "timeout", READ_TIMEOUT),
    (retry, "MAX_RETRY_SECONDS", 3.0),
    (retry, "MAX_RETRY_AFTER", 1.5),
    (retry, "MAX_RETRY_AFTER_TOTAL", 10.0),
    (retry, "ITEM_RETRIES", 2),
    (retry, "ITEM_SECONDS", 2.0),
    (retry, "BACKOFF_SECONDS", (0.02, 0.05, 0.1, 0.2, 0.2, 0.3, 0.3)),
    (rate_limit, "FIRST_PAUSE", 0.02),
    (rate_limit, "MAX_PAUSE", 0.5),
    (rate_limit, "_SHORT_TRIAL", 0.1),
    (rate_limit, "_LONG_TRIAL", 0.5),
    (rate_limit, "_PROBE_INTERVAL", 0.5),
    (per_conversation, "_MAX_PAGES", 50),
    (tap_drift.tap, "EXIT_SECONDS", 1.0),
]
"""Module or class, constant, and its value in the soak; times in seconds."""


def shorten_waits() -> None:
    """Replace the constants."""
    for owner, name, value in CONSTANTS:
        assert hasattr(owner, name), name
        setattr(owner, name, value)


if __name__ == "__main__":
    shorten_waits()
    main()
