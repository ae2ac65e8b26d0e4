"""The tap's messages, translated into Airbyte's on their way out."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from copy import deepcopy
from dataclasses import asdict
from datetime import datetime, timezone
from threading import RLock
from typing import TYPE_CHECKING, Any, BinaryIO

from airbyte_protocol_dataclasses.models import (
    AirbyteControlConnectorConfigMessage,
    AirbyteControlMessage,
    AirbyteErrorTraceMessage,
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    AirbyteStreamStatusTraceMessage,
    AirbyteTraceMessage,
    Level,
    OrchestratorType,
    StreamDescriptor,
    TraceType,
    Type,
)
from singer_sdk.singerlib.encoding.simple import (
    Message,
    RecordMessage,
    SchemaMessage,
    StateMessage,
    exclude_null_dict,
)
from typing_extensions import override

from tap_drift.airbyte.catalog import GENERATION
from tap_drift.logs import is_news
from tap_drift.sync.writer import ENCODER, MessageWriter

if TYPE_CHECKING:
    from airbyte_protocol_dataclasses.models import FailureType
    from singer_sdk.helpers.types import Record

    from tap_drift.airbyte.catalog import Chosen

_NO_CURSOR = {"__ab_no_cursor_state_message": True}
"""What Airbyte's own sources say as the state of a stream that has none."""

_METRICS = "singer_sdk.metrics"
"""The logger of figures for machines, which Airbyte counts itself."""

_LEVELS = {
    logging.DEBUG: Level.DEBUG,
    logging.INFO: Level.INFO,
    logging.WARNING: Level.WARN,
    logging.ERROR: Level.ERROR,
    logging.CRITICAL: Level.FATAL,
}


class AirbyteWriter(MessageWriter):
    """Writes Airbyte's messages for Singer's.

    A stream is STARTED with its SCHEMA, and RUNNING with its first RECORD. A STATE becomes a state
    of each stream whose part of it is new, with how many records it stands for.
    """

    def __init__(self, output: BinaryIO | None = None) -> None:
        """Begin with nothing to say.

        Args:
            output: Where the lines go; standard output, if not given.
        """
        super().__init__(output)
        self._whole_lines = RLock()
        self._records: Counter[str] = Counter()
        self._uncounted: Counter[str] = Counter()
        self._states: dict[str, Any] = {}
        self._said: set[str] = set()
        self._open: list[str] = []
        self._generations: dict[str, int | None] = {}

    def expect(self, chosen: Chosen, state: dict[str, Any]) -> None:
        """Know which streams are read.

        Args:
            chosen: What Airbyte asks for.
            state: The Singer state that they go on from.
        """
        self._generations = chosen.streams
        self._states = deepcopy(state["bookmarks"])

    @property
    def open(self) -> list[str]:
        """The names of the streams that have started, and not ended."""
        return list(self._open)

    # Singer's messages

    @override
    def write_record(
        self, stream: str, record: Record, version: int | None, read_at: datetime | None
    ) -> None:
        if not self._records[stream]:
            self._status(stream, AirbyteStreamStatus.RUNNING)
        self._records[stream] += 1
        self._uncounted[stream] += 1
        moment = read_at or datetime.now(timezone.utc)
        content = {"stream": stream, "data": record, "emitted_at": int(moment.timestamp() * 1000)}
        # Not by the models, which take fifty times as long to be written.
        self.add(ENCODER.encode({"type": "RECORD", "record": content}) + b"\n")

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, RecordMessage):
            self.write_record(message.stream, message.record, None, message.time_extracted)
        elif isinstance(message, SchemaMessage):
            self._open.append(message.stream)
            self._status(message.stream, AirbyteStreamStatus.STARTED)
        elif isinstance(message, StateMessage):
            bookmarks = message.value.get("bookmarks", {})
            for stream in [name for name in bookmarks if name in self._generations]:
                if bookmarks[stream] != self._states.get(stream, {}):
                    self._states[stream] = deepcopy(bookmarks[stream])
                    self._state(stream)
            self.flush()

    @override
    def flush(self) -> None:
        with self._whole_lines:
            super().flush()

    def _state(self, stream: str) -> None:
        state = self._states.get(stream) or _NO_CURSOR
        generation = self._generations.get(stream)
        if generation is not None:
            state = {**state, GENERATION: generation}
        of_stream = AirbyteStreamState(StreamDescriptor(stream), state)
        content = AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=of_stream,
            sourceStats=AirbyteStateStats(recordCount=float(self._uncounted.pop(stream, 0))),
        )
        self._said.add(stream)
        self.add(_line(AirbyteMessage(Type.STATE, state=content)))

    # What Singer has no messages for

    def end(self, stream: str, *, is_complete: bool) -> None:
        """Say that a stream has ended.

        Args:
            stream: Its name.
            is_complete: Whether all of it was read; its last state then stands for all records.
        """
        self._open.remove(stream)
        if is_complete and (stream not in self._said or self._uncounted[stream]):
            self._state(stream)
        status = AirbyteStreamStatus.COMPLETE if is_complete else AirbyteStreamStatus.INCOMPLETE
        self._status(stream, status)

    def fail(self, sentence: str, kind: FailureType, stream: str | None = None) -> None:
        """Say what went wrong.

        Args:
            sentence: For the user.
            kind: Who can mend it.
            stream: The name of the stream that it ended, if it did not end all.
        """
        descriptor = StreamDescriptor(stream) if stream else None
        error = AirbyteErrorTraceMessage(
            message=sentence,
            internal_message=sentence,
            failure_type=kind,
            stream_descriptor=descriptor,
        )
        self.say(AirbyteMessage(Type.TRACE, trace=_trace(TraceType.ERROR, error=error)))

    def keep(self, config: dict[str, Any]) -> None:
        """Have Airbyte give other settings to the next sync.

        Args:
            config: All of them.
        """
        content = AirbyteControlMessage(
            OrchestratorType.CONNECTOR_CONFIG,
            emitted_at=_now(),
            connectorConfig=AirbyteControlConnectorConfigMessage(config),
        )
        self.say(AirbyteMessage(Type.CONTROL, control=content))

    def say(self, message: AirbyteMessage) -> None:
        """Write a message at once, from whichever thread: not in the middle of a line.

        Args:
            message: The message.
        """
        with self._whole_lines:
            output = self._output or sys.stdout.buffer
            output.write(_line(message))
            output.flush()

    def _status(self, stream: str, status: AirbyteStreamStatus) -> None:
        content = AirbyteStreamStatusTraceMessage(StreamDescriptor(stream), status)
        trace = _trace(TraceType.STREAM_STATUS, stream_status=content)
        self.add(_line(AirbyteMessage(Type.TRACE, trace=trace)))
        self.flush()


class AirbyteHandler(logging.Handler):
    """Puts what is logged into LOG messages."""

    def __init__(self, writer: AirbyteWriter) -> None:
        """Know where they go.

        Args:
            writer: What writes all messages.
        """
        super().__init__()
        self.addFilter(is_news)
        self._writer = writer

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _METRICS:
            return
        level = _LEVELS.get(record.levelno, Level.INFO)
        content = AirbyteLogMessage(level, f"{record.name}: {record.getMessage()}")
        self._writer.say(AirbyteMessage(Type.LOG, log=content))


def _trace(kind: TraceType, **content: Any) -> AirbyteTraceMessage:
    return AirbyteTraceMessage(kind, emitted_at=_now(), **content)


def _now() -> float:
    return time.time() * 1000


def _line(message: AirbyteMessage) -> bytes:
    return ENCODER.encode(asdict(message, dict_factory=exclude_null_dict)) + b"\n"
