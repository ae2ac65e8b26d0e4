"""MessageWriter: Singer messages as whole lines, buffered by the page."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from runs import CapturedMessages, sync
from singer_sdk.singerlib.encoding.simple import RecordMessage, StateMessage

from tap_drift.sync import writer as writer_module
from tap_drift.sync.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable


class Output(io.BytesIO):
    """Standard output in memory; calls `interrupt` in the middle of each write."""

    def __init__(self, interrupt: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.interrupt = interrupt
        self.flushed = b""

    def flush(self) -> None:
        self.flushed = self.getvalue()

    def write(self, data: Any, /) -> int:
        half = len(data) // 2
        super().write(data[:half])
        self.interrupt()
        return half + super().write(data[half:])


@pytest.fixture
def output() -> Output:
    return Output()


def flushed_messages(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.flushed.splitlines()]


def record(**fields: Any) -> RecordMessage:
    return RecordMessage(stream="conversations", record=fields)


class RawOutput(io.RawIOBase):
    """Raw standard output, as with PYTHONUNBUFFERED: takes 20 bytes, or nothing, at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._calls = 0

    def write(self, data: Any, /) -> int | None:
        self._calls += 1
        if self._calls % 2:
            return None
        self.written += data[:20]
        return len(data[:20])


def test_raw_output_gets_everything() -> None:
    output = RawOutput()
    writer = MessageWriter(output)  # type: ignore[arg-type]  # only `write` and `flush` are used
    writer.write_message(record(id=1))
    writer.write_message(record(id=2))
    writer.flush()
    assert [json.loads(line)["record"]["id"] for line in output.written.splitlines()] == [1, 2]


def test_records_are_buffered_until_flush(output: Output) -> None:
    writer = MessageWriter(output)
    writer.write_message(record(id=1))
    writer.write_message(record(id=2))
    assert output.flushed == b""
    writer.flush()
    assert [line["record"]["id"] for line in flushed_messages(output)] == [1, 2]


def test_large_buffer_is_written_in_whole_lines(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_BUFFER_BYTES", 200)
    writer = MessageWriter(output)
    for number in range(20):
        writer.write_message(record(id=number))
        written = [line["record"]["id"] for line in flushed_messages(output)]
        assert written == list(range(len(written)))
        assert number - 3 <= len(written) <= number + 1
    assert len(written) > 15


def test_state_is_flushed_at_once_after_earlier_records(output: Output) -> None:
    writer = MessageWriter(output)
    writer.write_message(record(id=1))
    writer.write_message(StateMessage(value={}))
    assert [line["type"] for line in flushed_messages(output)] == ["RECORD", "STATE"]


def test_values_keep_all_digits_and_characters(output: Output) -> None:
    writer = MessageWriter(output)
    moment = datetime(2024, 1, 31, 12, tzinfo=UTC)
    writer.write_message(
        record(big=2**70, fine=Decimal("0.10000000000000000001"), text="ü\u2028🎉")
    )
    writer.write_message(
        RecordMessage(stream="conversations", record={}, version=7, time_extracted=moment)
    )
    writer.flush()
    written = output.flushed.decode()
    assert '"big":1180591620717411303424' in written
    assert '"fine":0.10000000000000000001' in written
    assert flushed_messages(output)[0]["record"]["text"] == "ü\u2028🎉"
    assert flushed_messages(output)[1]["version"] == 7
    assert datetime.fromisoformat(flushed_messages(output)[1]["time_extracted"]) == moment


def test_action_during_a_write_runs_once_after_it(output: Output) -> None:
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
    assert [line["type"] for line in flushed_messages(output)] == ["RECORD", "STATE"]


def test_action_between_writes_runs_at_once(output: Output) -> None:
    calls: list[bool] = []
    MessageWriter(output).between_lines(lambda: calls.append(True))
    assert calls == [True]
    assert output.flushed == b""


def test_streams_write_records_without_message_objects(config: dict[str, Any]) -> None:
    class CountingMessages(CapturedMessages):
        count = 0

        def write_record(self, *message: Any) -> None:
            self.count += 1
            super().write_record(*message)

    messages = CountingMessages()
    sync(config, messages=messages)
    assert messages.count == len(messages.records()) == 250
