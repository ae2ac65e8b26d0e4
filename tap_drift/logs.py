"""Which of the SDK's log lines are news to a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

# Said at INFO or ERROR; our own lines, the catalog and the error itself say them better.
_SAID_ALREADY = (
    "Added '%s' as child stream",
    "An unhandled error occurred",
    "Beginning sync of",
    "Skipping deselected stream",
    "Skipping parse of env var settings",
    "Starting incremental sync of",
)


def is_news(record: logging.LogRecord) -> bool:
    """Tell news from the rest; a filter for loggers.

    Args:
        record: What is to be logged.

    Returns:
        Whether to log it.
    """
    return not str(record.msg).startswith(_SAID_ALREADY)
