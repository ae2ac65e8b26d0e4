"""What the pages show, in temporary views with the same columns whatever was extracted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS: dict[str, Sequence[str]] = {
    "attachments": (
        *("id", "conversationId", "messageId", "fileName", "mimeType", "url", "size", "sha256"),
        "path",
    ),
    "contacts": ("id", "createdAt", "attributes"),
    "conversation_details": (
        *("id", "status", "contactId", "inboxId", "participants", "relatedPlaybookId"),
        *("conversationTags", "createdAt", "updatedAt"),
    ),
    "conversations": ("id", "status", "contactId", "inboxId", "createdAt", "updatedAt"),
    "failed_items": ("stream", "id", "reason", "resolvedAt"),
    "meetings": ("conversationId", "agentId", "status", "meetingType", "slotStart", "slotEnd"),
    "messages": (
        *("id", "conversationId", "type", "body", "author", "createdAt", "buttons", "context"),
        *("attachments", "editedMessageId", "editType"),
    ),
    "playbooks": ("id", "name"),
    "transcripts": ("conversationId", "transcript"),
    "users": ("id", "name", "alias", "email", "bot"),
}
"""The columns that the pages show, by stream."""

_INDEXES = {
    "attachments": ("conversationId",),
    "failed_items": ("id",),
    "meetings": ("conversationId",),
    "messages": ("conversationId", "createdAt", "id"),
}


def create_views(connection: sa.Connection) -> None:
    """Create a view `page_STREAM` for each stream; without its table, the view is empty."""
    inspector = sa.inspect(connection)
    for stream, columns in COLUMNS.items():
        existing = (
            {column["name"] for column in inspector.get_columns(stream)}
            if inspector.has_table(stream)
            else set()
        )
        selected = ", ".join(
            f'"{name}"' if name in existing else f'NULL AS "{name}"' for name in columns
        )
        source = f"FROM {stream}" if existing else "WHERE 0"
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS temp.page_{stream}")
        connection.exec_driver_sql(f"CREATE TEMP VIEW page_{stream} AS SELECT {selected} {source}")
        for statement in _index(stream, existing):
            connection.exec_driver_sql(statement)


def _index(stream: str, existing: set[str]) -> Iterator[str]:
    columns = _INDEXES.get(stream)
    if columns and existing.issuperset(columns):
        listed = ", ".join(f'"{name}"' for name in columns)
        yield f"CREATE INDEX IF NOT EXISTS archive_{stream} ON {stream} ({listed})"
