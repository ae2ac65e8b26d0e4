"""Singer messages to standard output: whole lines, a page at a time."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from runs import CapturedMessages, sync
from singer_sdk.singerlib.encoding.simple import RecordMessage, StateMessage

from tap_drift.sync.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable


class Output(io.BytesIO):
    """Standard output; calls somebody in the middle of each write."""

    def __init__(self, interrupt: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.interrupt = interrupt
        self.handed_over = b""

    def flush(self) -> None:
        self.handed_over = self.getvalue()

    def write(self, data: Any, /) -> int:
        half = len(data) // 2
        super().write(data[:half])
        self.interrupt()
        return half + super().write(data[half:])


@pytest.fixture
def output() -> Output:
    return Output()


def lines(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.handed_over.splitlines()]


def record(**fields: Any) -> RecordMessage:
    return RecordMessage(stream="conversations", record=fields)


def test_records_wait_until_they_are_handed_over(output: Output) -> None:
    writer = MessageWriter(output)
    writer.write_message(record(id=1))
    writer.write_message(record(id=2))
    assert output.handed_over == b""
    writer.flush()
    assert [line["record"]["id"] for line in lines(output)] == [1, 2]


def test_a_state_goes_out_at_once_and_after_the_records_before_it(output: Output) -> None:
    writer = MessageWriter(output)
    writer.write_message(record(id=1))
    writer.write_message(StateMessage(value={}))
    assert [line["type"] for line in lines(output)] == ["RECORD", "STATE"]


def test_values_are_written_as_they_are(output: Output) -> None:
    writer = MessageWriter(output)
    moment = datetime(2024, 1, 31, 12, tzinfo=UTC)
    writer.write_message(
        record(big=2**70, fine=Decimal("0.10000000000000000001"), text="ü\u2028🎉")
    )
    writer.write_message(
        RecordMessage(stream="conversations", record={}, version=7, time_extracted=moment)
    )
    writer.flush()
    written = output.handed_over.decode()
    assert '"big":1180591620717411303424' in written
    assert '"fine":0.10000000000000000001' in written
    assert lines(output)[0]["record"]["text"] == "ü\u2028🎉"
    assert lines(output)[1]["version"] == 7
    assert datetime.fromisoformat(lines(output)[1]["time_extracted"]) == moment


def test_what_comes_in_the_middle_of_a_line_is_done_after_it(output: Output) -> None:
    writer = MessageWriter(output)

    def state() -> None:
        writer.write_message(StateMessage(value={"last": True}))

    def interrupt() -> None:
        output.interrupt = lambda: None
        writer.between_lines(state)
        writer.between_lines(state)

    output.interrupt = interrupt
    writer.write_message(record(id=1))
    writer.flush()
    assert [line["type"] for line in lines(output)] == ["RECORD", "STATE"]


def test_between_lines_it_is_done_at_once(output: Output) -> None:
    done: list[bool] = []
    MessageWriter(output).between_lines(lambda: done.append(True))
    assert done == [True]
    assert output.handed_over == b""


def test_a_streams_records_take_the_short_way(config: dict[str, Any]) -> None:
    class Counting(CapturedMessages):
        short = 0

        def write_record(self, *message: Any) -> None:
            self.short += 1
            super().write_record(*message)

    messages = Counting()
    sync(config, messages=messages)
    assert messages.short == len(messages.records()) == 250
