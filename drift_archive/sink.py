"""The sink: writes batches of records into the table of their stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.sinks import BatchSink
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from drift_archive.target import TargetDriftArchive


class ArchiveSink(BatchSink):
    """Writes the records of a stream."""

    # Transcripts are large: this many may be in memory.
    MAX_SIZE_DEFAULT = 1000

    def __init__(
        self,
        target: TargetDriftArchive,
        stream_name: str,
        schema: dict[str, Any],
        key_properties: Sequence[str] | None,
    ) -> None:
        super().__init__(target, stream_name, schema, key_properties)
        self._table = target.database.table(stream_name, schema, self.key_properties)
        # The SDK parses fields with a format; the archive keeps the text of times.
        self.schema = schema | {
            "properties": {
                name: {key: value for key, value in definition.items() if key != "format"}
                for name, definition in schema["properties"].items()
            }
        }

    @override
    def get_validator(self) -> BaseJSONSchemaValidator | None:
        # The archive keeps what came, also a value of another type than its schema's.
        return None

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        self._table.write(context["records"])
