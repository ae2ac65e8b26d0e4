"""Input of `drift-verify`."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from verify.conftest import Extract, Verify


def test_truncated_input_is_incomplete(extracted: Extract, verify: Verify) -> None:
    lines = [json.dumps(message) for message in extracted("users")]
    result = verify("\n".join([*lines, '{"type": "RECO']).encode())
    assert result.exit_code == 1
    assert "ends in the middle of a line" in result.report


def test_empty_input_is_incomplete(verify: Verify) -> None:
    result = verify(b"")
    assert result.exit_code == 1
    assert "The input has no messages of tap-drift." in result.report


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"Traceback: private text\n", "Line 1 of the input is not a Singer message."),
        (b'{"type": "RECORD", "stream": "users"}\n', "Line 1 of the input is not"),
        (b'{"type": "RECORD", "stream": "users", "record": {}}\n', "Line 1 of the input is not"),
        (b'{"type": "BATCH", "stream": "users"}\n', "BATCH messages"),
    ],
)
def test_invalid_line_is_one_error_without_its_text(
    line: bytes, error: str, verify: Verify, caplog: pytest.LogCaptureFixture
) -> None:
    assert verify(line).exit_code == 1
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert error in record.getMessage()
    assert "private" not in caplog.text


def test_stream_of_another_tap_is_not_compared(extracted: Extract, verify: Verify) -> None:
    other = {"type": "RECORD", "stream": "pets", "record": {"id": 1}}
    result = verify([*extracted("users"), other])
    assert result.exit_code == 0
    assert "Not compared, because tap-drift has no such streams: pets." in result.report
