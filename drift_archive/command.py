"""The command line: errors as one message, without a traceback and without data."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from singer_sdk.exceptions import (
    ConfigValidationError,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)
from singer_sdk.singerlib.exceptions import InvalidInputLine
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from drift_archive.target import TargetDriftArchive

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(TargetDriftArchive.name)

NOISE_PREFIXES = ("Target sink for '%s' is full", "One or more records have exceeded the max age")
"""Prefixes of the SDK's messages about each batch, of which a large account has thousands."""

_DATABASE_ERROR = "The database drift.sqlite in the folder `archive_path` could not be written"

_LOG_LEVEL = "TARGET_DRIFT_ARCHIVE_LOGLEVEL"

_INPUT_ERRORS = (
    InvalidInputLine,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
    UnicodeDecodeError,
)


class _BatchNoiseFilter(logging.Filter):
    """Drops the SDK's log records that start with one of `NOISE_PREFIXES`."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(NOISE_PREFIXES)


def run() -> None:
    """Run the target, and exit with 0, or with 1 after an error."""
    logger.addFilter(_BatchNoiseFilter())
    try:
        command = TargetDriftArchive.cli
    except ValueError as error:  # the SDK sets up its logging
        sys.exit(f"{TargetDriftArchive.name}: {error}. Change {_LOG_LEVEL} or LOGLEVEL.")
    with errors_as_messages():
        command.main(prog_name=TargetDriftArchive.name)


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Log an error that a user can mend as a message, and exit with 1."""
    try:
        yield
    except ConfigValidationError as error:
        _fail(*(error.errors or [str(error)]))
    except SQLAlchemyError as error:
        # The text of SQLAlchemy's error contains the values of the rows.
        _fail(f"{_DATABASE_ERROR}: {getattr(error, 'orig', None) or type(error).__name__}")
    except OSError as error:
        is_named = error.filename and error.strerror
        _fail(f"{error.filename}: {error.strerror}" if is_named else str(error))
    except _INPUT_ERRORS as error:
        _fail(str(error))


def _fail(*messages: str) -> None:
    for message in messages:
        logger.error(message)
    sys.exit(1)
