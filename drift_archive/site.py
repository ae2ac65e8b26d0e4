"""Writes the pages: those of changed conversations, the list, the search index, the charts."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from drift_archive.attachments import Attachments
from drift_archive.charts import draw_charts
from drift_archive.conversations import Conversation, ConversationReader, Person
from drift_archive.search_index import build_index
from drift_archive.text import sanitize, visible
from drift_archive.views import create_views

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from drift_archive.database import Database

logger = logging.getLogger("target-drift-archive")

MAX_SHARD = 4_000
"""Conversations of a month above which its part of the list is split into days."""

PROGRESS_SECONDS = 10.0
UNDATED = "undated"

_PACKAGE = Path(__file__).parent
_ASSETS = ("archive.css", "archive.js", "minisearch.js", "minisearch-LICENSE.txt")

_FIRST_PROPERTIES = ("name", "email", "phone", "company", "title", "href", "referrer", "ip")

# A page of a conversation that is known only from its messages has the time of the first one.
_DATE_PAGES = """
UPDATE archive_pages SET createdAt = coalesce(
    (SELECT createdAt FROM page_conversations WHERE id = conversationId),
    (SELECT createdAt FROM page_conversation_details WHERE id = conversationId),
    (SELECT min(createdAt) FROM page_messages AS message
        WHERE message.conversationId = archive_pages.conversationId),
    (SELECT updatedAt FROM page_conversations WHERE id = conversationId)
) WHERE isChanged
"""
_ASSIGN_SHARDS = """
UPDATE archive_pages SET shard = assigned.shard FROM (
    SELECT conversationId, CASE
        WHEN createdAt IS NULL OR createdAt NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
            THEN '{undated}'
        WHEN count(*) OVER (PARTITION BY substr(createdAt, 1, 7)) > {maximum}
            THEN substr(createdAt, 1, 10)
        ELSE substr(createdAt, 1, 7) END AS shard
    FROM archive_pages
) AS assigned
WHERE assigned.conversationId = archive_pages.conversationId
    AND assigned.shard IS NOT archive_pages.shard
"""
_MARK_SHARDS = """
INSERT OR REPLACE INTO archive_shards SELECT DISTINCT shard, 1 FROM archive_pages WHERE isChanged
"""
_CHANGED_SHARDS = """
SELECT shard FROM archive_shards WHERE isChanged ORDER BY shard = ?, shard DESC
"""
_CHANGED_PAGES = """
SELECT conversationId FROM archive_pages WHERE isChanged AND shard = ? ORDER BY createdAt DESC
"""
_COUNT_CHANGED = "SELECT count(*) FROM archive_pages WHERE isChanged"
_SAVE_PAGE = """
UPDATE archive_pages SET isChanged = 0, status = ?, inboxId = ?, messageCount = ?,
    firstResponseSeconds = ?, entry = ? WHERE conversationId = ?
"""
_COUNT_SHARDS = """
SELECT shard, count(*) AS conversations FROM archive_pages
WHERE entry IS NOT NULL GROUP BY 1 ORDER BY shard = '{undated}', shard DESC
"""
_COUNT_TAGS = """
SELECT tag.value AS name, count(*) AS conversations
FROM archive_pages, json_each(entry, '$.tags') AS tag GROUP BY 1 ORDER BY 2 DESC, 1
"""
_COUNT_AGENTS = """
SELECT agent.value AS id, count(*) AS conversations
FROM archive_pages, json_each(entry, '$.agents') AS agent GROUP BY 1 ORDER BY 2 DESC, 1
"""


class Site:
    """The pages of an archive.

    Args:
        database: The database.
        folder: The folder of the archive.
        attachments: The folder of the saved attachments.
        title: Title of all pages.
    """

    def __init__(self, database: Database, folder: Path, attachments: str, title: str) -> None:
        self._database = database
        self._folder = folder
        self._attachments = Attachments(attachments, folder / "conversations" / "000")
        self._location = attachments
        self._title = title
        self._reported_at = time.monotonic()

    def write(self, *, everything: bool = False) -> int:
        """Write the pages that changed since they were last written, and what lists them.

        The pages are written from the newest to the oldest, and listed after each part, so that
        an interrupted run leaves a list of the pages that are there.

        Args:
            everything: Whether to write all pages again.

        Returns:
            The number of pages of conversations that were written.
        """
        self._copy_assets()
        with self._database.connect() as connection:
            create_views(connection)
            self._mark_changes(connection, everything=everything)
            connection.commit()
            self._write_start_page(connection)
            written = self._write_shards(connection)
            self._write_start_page(connection)
            self._write_charts(connection)
        return written

    def _write_shards(self, connection: sa.Connection) -> int:
        """Write the parts of the list that changed; commit after each."""
        shards = connection.exec_driver_sql(_CHANGED_SHARDS, (UNDATED,)).scalars().all()
        total = connection.exec_driver_sql(_COUNT_CHANGED).scalar_one()
        written = 0
        for shard in shards:
            written += self._write_shard(connection, shard)
            connection.commit()
            if time.monotonic() - self._reported_at > PROGRESS_SECONDS:
                logger.info("%s of %s pages written", f"{written:,}", f"{total:,}")
                self._write_start_page(connection)
                self._reported_at = time.monotonic()
        return written

    def _mark_changes(self, connection: sa.Connection, *, everything: bool) -> None:
        if everything or self._form_changed(connection):
            connection.exec_driver_sql("UPDATE archive_pages SET isChanged = 1")
        connection.exec_driver_sql(_DATE_PAGES)
        connection.exec_driver_sql(_ASSIGN_SHARDS.format(undated=UNDATED, maximum=MAX_SHARD))
        connection.exec_driver_sql(_MARK_SHARDS)

    def _form_changed(self, connection: sa.Connection) -> bool:
        """Whether the pages were written by another version or with other settings."""
        # What a version of nh3 let through, its next one may remove.
        form = (self._title, self._location, version("nh3"))
        digest = hashlib.sha256(repr(form).encode())
        for path in sorted(each for each in _PACKAGE.rglob("*") if each.suffix in {".py", ".html"}):
            digest.update(path.read_bytes())
        before = connection.exec_driver_sql(
            "SELECT value FROM archive_info WHERE name = 'form'"
        ).scalar()
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO archive_info VALUES ('form', ?)", (digest.hexdigest(),)
        )
        return before != digest.hexdigest()

    def _copy_assets(self) -> None:
        folder = self._folder / "assets"
        folder.mkdir(exist_ok=True)
        for name in _ASSETS:
            shutil.copyfile(_PACKAGE / "assets" / name, folder / name)

    def _write_shard(self, connection: sa.Connection, shard: str) -> int:
        """Write the changed pages of a part of the list, then that part."""
        reader = ConversationReader(connection)
        changed = connection.exec_driver_sql(_CHANGED_PAGES, (shard,)).scalars().all()
        for conversation_id in changed:
            self._write_conversation(connection, reader.read(conversation_id))
        self._write_list(connection, shard)
        connection.exec_driver_sql(
            "UPDATE archive_shards SET isChanged = 0 WHERE shard = ?", (shard,)
        )
        return len(changed)

    def _write_conversation(self, connection: sa.Connection, conversation: Conversation) -> None:
        page = self._render("conversation.html", conversation=conversation, root="../../")
        self._write_file(page_path(conversation.id), page)
        connection.exec_driver_sql(
            _SAVE_PAGE,
            (
                conversation.status,
                conversation.inbox,
                len(conversation.messages),
                conversation.first_response_seconds,
                _encode(_entry(conversation)),
                conversation.id,
            ),
        )
        connection.exec_driver_sql(
            "DELETE FROM archive_people WHERE conversationId = ?", (conversation.id,)
        )
        if conversation.people:
            connection.exec_driver_sql(
                "INSERT INTO archive_people VALUES (?, ?, ?)",
                [(*person, conversation.id) for person in conversation.people],
            )

    def _write_list(self, connection: sa.Connection, shard: str) -> None:
        """Write the rows of a part of the list, and its search index; delete them without rows."""
        files = (f"list/{shard}.js", f"search/{shard}.js")
        rows = connection.exec_driver_sql(
            "SELECT conversationId, entry FROM archive_pages WHERE shard = ? "
            "ORDER BY createdAt DESC, conversationId DESC",
            (shard,),
        ).all()
        if not rows:
            for file in files:
                (self._folder / file).unlink(missing_ok=True)
            connection.exec_driver_sql("DELETE FROM archive_shards WHERE shard = ?", (shard,))
            return
        entries = [msgspec.json.decode(entry) for _, entry in rows]
        texts = _search_texts(connection, [identifier for identifier, _ in rows], entries)
        # Browsers read JSON in a string in less time than an object.
        index = _script_string(_encode(build_index(texts)))
        self._write_file(files[0], f"archive.addList({_encode(shard)},{_encode(entries)})\n")
        self._write_file(files[1], f"archive.addSearch({_encode(shard)},JSON.parse({index}))\n")

    def _write_start_page(self, connection: sa.Connection) -> None:
        summary = _encode(self._summary(connection))
        self._write_file("list/summary.js", f"archive.setSummary({summary})\n")
        manifest = (self._folder / "manifest.json").is_file()
        self._write_file("index.html", self._render("index.html", root="", manifest=manifest))

    def _summary(self, connection: sa.Connection) -> dict[str, Any]:
        def counted(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]

        reader = ConversationReader(connection)
        agents = [
            row | {"name": visible(reader.user(int(row["id"])).name)}
            for row in counted(_COUNT_AGENTS)
        ]
        return {
            "shards": counted(_COUNT_SHARDS.format(undated=UNDATED)),
            "statuses": counted(_count_column("status")),
            "inboxes": counted(_count_column("CAST(inboxId AS TEXT)")),
            "agents": agents,
            "tags": counted(_COUNT_TAGS),
        }

    def _write_charts(self, connection: sa.Connection) -> None:
        charts = draw_charts(connection)
        for chart in charts:
            self._write_file(f"charts/{chart.name}.svg", chart.svg())
        self._write_file("charts.html", self._render("charts.html", root="", charts=charts))

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(title=self._title, **values)

    @cached_property
    def _templates(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("drift_archive"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["written_at"] = f"{datetime.now(UTC):%Y-%m-%d}"
        environment.globals["version"] = version("tap-drift")
        environment.globals["link"] = self._attachments.link
        environment.filters |= {
            "body": _body,
            "person": _person,
            "time": _time,
            "visible": lambda value: visible(str(value)),
            "duration": format_duration,
            "figure": lambda value: f"{value:,.0f}" if isinstance(value, int | float) else value,
            "scalars": _scalars,
        }
        environment.tests["color"] = _is_color
        return environment

    def _write_file(self, name: str, content: str) -> None:
        """Write a file whole: a reader sees the previous version or this one."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(content, encoding="utf-8", errors="replace")
        temporary.replace(path)


def page_path(conversation_id: int) -> str:
    """Return the path of a conversation's page; `assets/archive.js` has the same rule."""
    return f"conversations/{str(conversation_id)[-3:].zfill(3)}/{conversation_id}.html"


def format_moment(moment: str | None) -> str:
    """Return a date-time in UTC as a person reads it, to the second."""
    try:
        parsed = datetime.fromisoformat(moment or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return moment or "unknown"
    return f"{parsed:%Y-%m-%d %H:%M:%S}"


def format_duration(seconds: int) -> str:
    """Return a duration in its two largest units."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d", f"{hours} h", f"{minutes} min", f"{rest} s"]
    first = next((place for place, part in enumerate(parts) if part[0] != "0"), 3)
    return " ".join(parts[first : first + 2])


def _is_color(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9A-Fa-f]{6}", value))


def _entry(conversation: Conversation) -> dict[str, Any]:
    """Return the conversation's row of the list. Ids are text: JavaScript's numbers are floats."""
    contact = conversation.contact
    return {
        "id": str(conversation.id),
        "at": format_moment(conversation.created)[:16],
        "status": conversation.status,
        "inbox": None if conversation.inbox is None else str(conversation.inbox),
        "agents": [str(agent.id) for agent in conversation.agents],
        "tags": [str(tag["name"]) for tag in conversation.tags if tag.get("name")],
        "contact": visible(contact.name) if contact else "",
        "email": visible(contact.email) if contact else "",
        "text": visible(conversation.preview),
        "messages": len(conversation.messages),
        "files": sum(len(message.attachments) for message in conversation.messages),
    }


def _search_texts(
    connection: sa.Connection, identifiers: list[int], entries: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the text of each conversation's messages, and the people, tags and ids."""
    for identifier, entry in zip(identifiers, entries, strict=True):
        texts = connection.exec_driver_sql(
            "SELECT text FROM page_messages JOIN messages_search ON messages_search.rowid = id "
            "WHERE conversationId = ?",
            (identifier,),
        ).scalars()
        yield (
            "\n".join(texts),
            " ".join([entry["id"], entry["contact"], entry["email"], *entry["tags"]]),
        )


def _count_column(column: str) -> str:
    return (
        f"SELECT {column} AS name, count(*) AS conversations FROM archive_pages "  # noqa: S608 - constants
        f"WHERE entry IS NOT NULL AND {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    )


def _scalars(values: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the properties of an object that are no objects or lists, the usual ones first."""
    shown = [
        (name, value)
        for name, value in values.items()
        if value != "" and isinstance(value, str | int | float)
    ]
    known = {name: place for place, name in enumerate(_FIRST_PROPERTIES)}
    return sorted(shown, key=lambda pair: known.get(pair[0], len(known)))


def _body(text: str | None) -> Markup:
    clean = sanitize(text) if text else None
    return Markup(f'<div class="body" dir="auto">{clean}</div>' if clean else "")  # noqa: S704 - sanitized


def _person(person: Person) -> Markup:
    return Markup(f"<bdi>{escape(visible(person.name))}</bdi>")  # noqa: S704 - escaped


def _time(moment: str | None) -> Markup:
    shown = escape(format_moment(moment))
    return Markup(f'<time datetime="{escape(moment or "")}">{shown}</time>')  # noqa: S704 - escaped


def _script_string(text: str) -> str:
    """Return a text without line breaks as a string in JavaScript."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
