"""Text for the log, filters for the lines of libraries, and the names of streams in metrics."""

from __future__ import annotations

import logging
from copy import copy

from singer_sdk.logging import StructuredFormatter
from singer_sdk.metrics import Point, Tag
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


class StreamMetricFormatter(logging.Formatter):
    """Names the stream in the message of a metric, for another formatter.

    Meltano logs the message `METRIC`, the name and the value of a metric, but not its tags.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    @override
    def format(self, record: logging.LogRecord) -> str:
        point = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(point, Point) and Tag.STREAM in point.tags:
            stream = point.tags[Tag.STREAM]
            record = copy(record)
            record.msg, record.args = f"METRIC of {stream}", ()
            # The structured formatter adds attributes that it does not know to the line.
            vars(record).update(stream_name=stream, metric_info=point.to_dict())
        return self._formatter.format(record)


def omit_urls() -> None:
    """Omit urllib3's lines at DEBUG, which have the URL of each request.

    The query of a URL that a download is redirected to can be a signature. The tap logs a metric
    for each of its requests.
    """
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


def name_streams_of_metrics() -> None:
    """Name the stream in the metrics that the root logger writes in the structured form."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, StructuredFormatter):
            handler.setFormatter(StreamMetricFormatter(handler.formatter))
