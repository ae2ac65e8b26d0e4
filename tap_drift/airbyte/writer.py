"""Message writer and log handler for Airbyte's protocol."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict
from datetime import UTC, datetime
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

from tap_drift.airbyte.catalog import GENERATION_ID
from tap_drift.logs import SdkNoiseFilter
from tap_drift.sync.writer import ENCODER, MessageWriter

if TYPE_CHECKING:
    from airbyte_protocol_dataclasses.models import FailureType
    from singer_sdk.helpers.types import Record

    from tap_drift.airbyte.catalog import ConfiguredStreams

_NO_CURSOR = {"__ab_no_cursor_state_message": True}
"""State of a stream without state, as Airbyte's own sources emit it."""

_METRICS = "singer_sdk.metrics"
"""The SDK's metrics logger. Its lines are not written: Airbyte counts records itself."""

_LEVELS = {
    logging.DEBUG: Level.DEBUG,
    logging.INFO: Level.INFO,
    logging.WARNING: Level.WARN,
    logging.ERROR: Level.ERROR,
    logging.CRITICAL: Level.FATAL,
}


class AirbyteWriter(MessageWriter):
    """Writes Singer messages as Airbyte messages.

    - SCHEMA: the stream status STARTED.
    - RECORD: a RECORD, and before a stream's first one the status RUNNING.
    - STATE: a STATE for each stream whose state has changed, with the number of records since its
      previous STATE.
    """

    def __init__(self, output: BinaryIO | None = None) -> None:
        super().__init__(output)
        # Worker threads log with write(), which must not split a line of flush().
        self._output_lock = threading.Lock()
        self._records: Counter[str] = Counter()
        self._records_since_state: Counter[str] = Counter()
        self._states: dict[str, Any] = {}
        self._streams_with_state: set[str] = set()
        self._started: list[str] = []
        self._generation_ids: dict[str, int | None] = {}

    def start_sync(self, configured: ConfiguredStreams, state: dict[str, Any]) -> None:
        """Set the streams of the sync and the Singer state that it starts from."""
        self._generation_ids = configured.generation_ids
        self._states = deepcopy(state["bookmarks"])

    @property
    def started_streams(self) -> list[str]:
        """Names of the streams that have started and have no final status yet."""
        return list(self._started)

    @override
    def write_record(
        self, stream: str, record: Record, version: int | None, read_at: datetime | None
    ) -> None:
        if not self._records[stream]:
            self._write_status(stream, AirbyteStreamStatus.RUNNING)
        self._records[stream] += 1
        self._records_since_state[stream] += 1
        emitted_at = read_at or datetime.now(UTC)
        content = {
            "stream": stream,
            "data": record,
            "emitted_at": int(emitted_at.timestamp() * 1000),
        }
        # Built without AirbyteRecordMessage: serializing the model takes 50 times as long.
        self.add(ENCODER.encode({"type": "RECORD", "record": content}) + b"\n")

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, RecordMessage):
            self.write_record(message.stream, message.record, None, message.time_extracted)
        elif isinstance(message, SchemaMessage):
            self._started.append(message.stream)
            self._write_status(message.stream, AirbyteStreamStatus.STARTED)
        elif isinstance(message, StateMessage):
            self._write_changed_states(message.value.get("bookmarks", {}))

    @override
    def write_bytes(self, data: bytearray) -> None:
        with self._output_lock:
            super().write_bytes(data)

    def write_final_status(self, stream: str, *, is_complete: bool) -> None:
        """Write the stream status COMPLETE or INCOMPLETE.

        A complete stream gets a last STATE first if records follow its previous one, or if it has
        had none: each record of a complete stream is counted in a STATE.
        """
        self._started.remove(stream)
        has_state = stream in self._streams_with_state
        if is_complete and (not has_state or self._records_since_state[stream]):
            self._write_state(stream)
        status = AirbyteStreamStatus.COMPLETE if is_complete else AirbyteStreamStatus.INCOMPLETE
        self._write_status(stream, status)

    def write_error(self, text: str, failure_type: FailureType, stream: str | None = None) -> None:
        """Write a TRACE message of type ERROR; without `stream`, for the whole sync."""
        error = AirbyteErrorTraceMessage(
            message=text,
            internal_message=text,
            failure_type=failure_type,
            stream_descriptor=StreamDescriptor(stream) if stream else None,
        )
        self.write(AirbyteMessage(Type.TRACE, trace=_trace(TraceType.ERROR, error=error)))

    def write_control(self, config: dict[str, Any]) -> None:
        """Write a CONTROL message: Airbyte saves `config` as the configuration of later syncs."""
        content = AirbyteControlMessage(
            OrchestratorType.CONNECTOR_CONFIG,
            emitted_at=_now_ms(),
            connectorConfig=AirbyteControlConnectorConfigMessage(config),
        )
        self.write(AirbyteMessage(Type.CONTROL, control=content))

    def write(self, message: AirbyteMessage) -> None:
        """Write a message immediately, before any buffered lines. Thread-safe."""
        # The signal handler runs in the main thread: it must not write into this line.
        is_main = threading.current_thread() is threading.main_thread()
        with self.writing() if is_main else nullcontext():
            self.write_bytes(bytearray(_line(message)))

    def _write_changed_states(self, bookmarks: dict[str, Any]) -> None:
        for stream, bookmark in bookmarks.items():
            is_configured = stream in self._generation_ids
            if is_configured and bookmark != self._states.get(stream, {}):
                self._states[stream] = deepcopy(bookmark)
                self._write_state(stream)
        self.flush()

    def _write_state(self, stream: str) -> None:
        state = self._states.get(stream) or _NO_CURSOR
        generation_id = self._generation_ids.get(stream)
        if generation_id is not None:
            state = {**state, GENERATION_ID: generation_id}
        record_count = float(self._records_since_state.pop(stream, 0))
        content = AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=AirbyteStreamState(StreamDescriptor(stream), state),
            sourceStats=AirbyteStateStats(recordCount=record_count),
        )
        self._streams_with_state.add(stream)
        self.add(_line(AirbyteMessage(Type.STATE, state=content)))

    def _write_status(self, stream: str, status: AirbyteStreamStatus) -> None:
        content = AirbyteStreamStatusTraceMessage(StreamDescriptor(stream), status)
        trace = _trace(TraceType.STREAM_STATUS, stream_status=content)
        self.add(_line(AirbyteMessage(Type.TRACE, trace=trace)))
        self.flush()


class AirbyteLogHandler(logging.Handler):
    """Logging handler that writes log records as Airbyte LOG messages."""

    def __init__(self, writer: AirbyteWriter) -> None:
        super().__init__()
        self.addFilter(SdkNoiseFilter())
        self._writer = writer

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _METRICS:
            return
        level = _LEVELS.get(record.levelno, Level.INFO)
        content = AirbyteLogMessage(level, f"{record.name}: {record.getMessage()}")
        self._writer.write(AirbyteMessage(Type.LOG, log=content))


def _trace(kind: TraceType, **content: Any) -> AirbyteTraceMessage:
    return AirbyteTraceMessage(kind, emitted_at=_now_ms(), **content)


def _now_ms() -> float:
    return time.time() * 1000


def _line(message: AirbyteMessage) -> bytes:
    return ENCODER.encode(asdict(message, dict_factory=exclude_null_dict)) + b"\n"
