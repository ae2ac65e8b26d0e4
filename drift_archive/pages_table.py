"""Tables beside those of the streams: which pages exist, and which have to be written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

# archive_pages: one row for each conversation that any stream names. `shard` is the part of the
# list that it is in, `entry` its row there, as JSON.
# archive_people: the contacts, users and playbooks whose names are on a page.
# archive_shards: the parts of the list, and which have to be written again.
_STATEMENTS = (
    """
    CREATE TABLE IF NOT EXISTS archive_pages (
        conversationId INTEGER PRIMARY KEY, isChanged INTEGER NOT NULL DEFAULT 1, shard TEXT,
        createdAt TEXT, status TEXT, inboxId INTEGER, messageCount INTEGER,
        firstResponseSeconds INTEGER, entry TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS archive_pages_by_shard ON archive_pages (shard, createdAt)",
    "CREATE INDEX IF NOT EXISTS archive_pages_changed ON archive_pages (shard) WHERE isChanged",
    """
    CREATE TABLE IF NOT EXISTS archive_people (
        stream TEXT, id INTEGER, conversationId INTEGER, PRIMARY KEY (stream, id, conversationId)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS archive_people_by_page ON archive_people (conversationId)",
    """
    CREATE TABLE IF NOT EXISTS archive_shards (
        shard TEXT PRIMARY KEY, isChanged INTEGER NOT NULL DEFAULT 1
    )
    """,
    """
    CREATE TRIGGER IF NOT EXISTS archive_pages_moved AFTER UPDATE OF shard ON archive_pages
    WHEN OLD.shard IS NOT NEW.shard BEGIN
        INSERT OR REPLACE INTO archive_shards
        SELECT shard, 1 FROM (SELECT OLD.shard AS shard UNION SELECT NEW.shard)
        WHERE shard IS NOT NULL;
    END
    """,
    "CREATE TABLE IF NOT EXISTS archive_info (name TEXT PRIMARY KEY, value TEXT)",
)

_CONVERSATION_ID = {
    "conversations": "id",
    "conversation_details": "id",
    "messages": "conversationId",
    "transcripts": "conversationId",
    "attachments": "conversationId",
    "failed_items": "id",
}
"""Streams whose rows are on the page of a conversation, and the column with its id."""

# The ids of failed items of other streams may not be those of conversations.
_FAILED_CONVERSATION = " AND NEW.\"stream\" IN ('conversation_details', 'messages', 'transcripts')"

_NAMED_ON_PAGES = ("contacts", "users", "playbooks")

_ADD_PAGE = """
INSERT INTO archive_pages (conversationId) SELECT NEW."{column}"
WHERE typeof(NEW."{column}") = 'integer'{condition}
ON CONFLICT DO UPDATE SET isChanged = 1
"""
_MARK_PAGE = 'UPDATE archive_pages SET isChanged = 1 WHERE conversationId = NEW."conversationId"'
_MARK_PAGES_THAT_NAME = """
UPDATE archive_pages SET isChanged = 1 WHERE conversationId IN (
    SELECT conversationId FROM archive_people WHERE stream = '{stream}' AND id = NEW."id")
"""


_ROWS_MOVE = ("messages", "attachments", "meetings")
"""Streams whose key does not contain the conversation's id, so that it can change."""

_MARK_LEFT_PAGE = """
AFTER UPDATE ON {stream} WHEN OLD."conversationId" IS NOT NEW."conversationId" BEGIN
    UPDATE archive_pages SET isChanged = 1 WHERE conversationId = OLD."conversationId";
END
"""


def create(connection: sa.Connection) -> None:
    """Create the tables."""
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)


def create_triggers(connection: sa.Connection, stream: str, columns: set[str]) -> None:
    """Mark a page as changed whenever a row changes that is shown on it."""
    action = _action(stream, columns)
    if not action:
        return
    for event in ("INSERT", "UPDATE"):
        trigger = f"AFTER {event} ON {stream} BEGIN {action}; END"
        _create_trigger(connection, f"archive_{stream}_{event.lower()}", trigger)
    if stream in _ROWS_MOVE:
        trigger = _MARK_LEFT_PAGE.format(stream=stream)
        _create_trigger(connection, f"archive_{stream}_moved", trigger)


def _create_trigger(connection: sa.Connection, name: str, definition: str) -> None:
    """Create a trigger, also in place of the one that another version created."""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE TRIGGER {name} {definition}")


def _action(stream: str, columns: set[str]) -> str | None:
    column = _CONVERSATION_ID.get(stream)
    if column in columns:
        condition = _FAILED_CONVERSATION if stream == "failed_items" else ""
        return _ADD_PAGE.format(column=column, condition=condition)
    if stream == "meetings" and "conversationId" in columns:
        return _MARK_PAGE
    if stream in _NAMED_ON_PAGES and "id" in columns:
        return _MARK_PAGES_THAT_NAME.format(stream=stream)
    return None
