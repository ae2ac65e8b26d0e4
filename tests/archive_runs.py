"""Runs of target-drift-archive with messages made by the tests."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drift_archive.target import TargetDriftArchive

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMAS = Path(__file__).parents[1] / "schemas"
KEYS = {
    "attachments": ["messageId", "id"],
    "transcripts": ["conversationId"],
    "failed_items": ["stream", "id"],
    "meetings": ["slug"],
}
AT = "2026-02-28T10:00:00.000+00:00"


class ArchiveRuns:
    """Writes messages into an archive, and reads what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def add(self, stream: str, *records: Mapping[str, Any]) -> None:
        """Add the SCHEMA message of the tap for a stream, and records."""
        schema = json.loads((SCHEMAS / f"{stream}.json").read_text())
        self.add_messages(
            {
                "type": "SCHEMA",
                "stream": stream,
                "schema": schema,
                "key_properties": KEYS.get(stream, ["id"]),
            },
            *({"type": "RECORD", "stream": stream, "record": record} for record in records),
        )

    def add_messages(self, *messages: Mapping[str, Any]) -> None:
        self.lines += [json.dumps(message) for message in messages]

    def run(self, **settings: object) -> None:
        """Run the target with the added messages."""
        lines, self.lines = self.lines, []
        target = TargetDriftArchive(config={"archive_path": str(self.folder), **settings})
        target.listen(io.StringIO("\n".join(lines)))

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "drift.sqlite")) as database:
            return database.execute(sql).fetchall()

    def page(self, conversation_id: int = 1) -> str:
        folder = str(conversation_id)[-3:].zfill(3)
        return self.text(f"conversations/{folder}/{conversation_id}.html")

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def json(self, name: str) -> Any:
        """Return the last argument of the call in a script of the list."""
        call = self.text(name)
        return json.loads(f"[{call[call.index('(') + 1 : call.rindex(')')]}]")[-1]


def conversation(identifier: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "status": "closed",
        "contactId": 7,
        "inboxId": 3,
        "createdAt": AT,
        "updatedAt": AT,
        **fields,
    }


def message(
    identifier: int = 10, body: str | None = "<p>Hello</p>", **fields: Any
) -> dict[str, Any]:
    return {
        "id": identifier,
        "conversationId": 1,
        "type": "chat",
        "body": body,
        "author": {"type": "contact", "id": 7, "bot": False},
        "createdAt": f"2026-02-28T10:00:{identifier % 60:02}.000+00:00",
        **fields,
    }


AGENT = {"type": "user", "id": 5, "bot": False}
