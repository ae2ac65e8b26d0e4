"""The views of `views/` over a loaded account, in DuckDB and PostgreSQL."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from fake_drift import FakeDrift

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runs import RunPipe

Row = tuple[Any, ...]

ROOT = Path(__file__).parents[2]
STREAMS = ("conversations", "conversation_details", "messages", "users", "contacts")


def script(*names: str) -> list[str]:
    return [(ROOT / "views" / name).read_text() for name in names]


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    """The account of the examples: `drift-sandbox --conversations 200`."""
    with FakeDrift(Account.from_seed(200, seed=1)) as server:
        yield server


@pytest.fixture(params=["duckdb", "postgres"])
def query(
    request: pytest.FixtureRequest, pipe: RunPipe, tmp_path: Path
) -> Iterator[Callable[[str], list[Row]]]:
    """Load the account, create the views and return a function that runs SQL."""
    if request.param == "duckdb":
        path = str(tmp_path / "views.duckdb")
        target = {"filepath": path, "default_target_schema": "drift", "add_metadata_columns": True}
        pipe("target-duckdb", target, streams=STREAMS)
        with duckdb.connect(path) as database:
            database.execute("USE drift")
            for text in script("tags.duckdb.sql", "views.sql"):
                database.execute(text)
            yield lambda sql: database.execute(sql).fetchall()
    else:
        url = request.getfixturevalue("postgres")
        target = {
            "sqlalchemy_url": url.replace("postgresql://", "postgresql+psycopg://"),
            "default_target_schema": "views",
            "load_method": "upsert",
        }
        pipe("target-postgres", target, streams=STREAMS)
        with psycopg.connect(url, options="-c search_path=views", autocommit=True) as connection:
            for text in script("tags.postgres.sql", "views.sql"):
                connection.execute(text)
            yield lambda sql: connection.execute(sql).fetchall()


def date_time(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).replace(tzinfo=None)


def current_messages(drift: FakeDrift, conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a conversation after its edits, without the deleted ones."""
    messages = {m["id"]: {**m} for m in drift.account.messages(conversation)}
    edits = [m for m in messages.values() if m["type"] == "edit"]
    for edit in edits:
        edited = messages[edit["editedMessageId"]]
        if edit["editType"] == "delete":
            edited["deleted"] = True
        else:
            edited["body"] = edit["body"]
    return [m for m in messages.values() if m["type"] != "edit" and "deleted" not in m]


def role(message: dict[str, Any]) -> str:
    author = message["author"]
    return "contact" if author["type"] == "contact" else "bot" if author["bot"] else "agent"


def first_response(chats: list[dict[str, Any]]) -> tuple[float, int] | None:
    """Return the seconds until the first response of an agent, and the agent's id."""
    asked = next((m["createdAt"] for m in chats if role(m) == "contact"), None)
    for message in chats:
        if asked is not None and role(message) == "agent" and message["createdAt"] >= asked:
            return (message["createdAt"] - asked) / 1000, message["author"]["id"]
    return None


def expected_summary(drift: FakeDrift, conversation: dict[str, Any]) -> Row:
    messages = current_messages(drift, conversation)
    chats = [m for m in messages if m["type"] == "chat"]
    roles = Counter(map(role, chats))
    times = [m["createdAt"] for m in chats]
    tags = drift.account.details(conversation).get("conversationTags") or []
    return (
        conversation["id"],
        ", ".join(sorted(tag["name"] for tag in tags)) or None,
        roles["contact"],
        roles["agent"],
        roles["bot"],
        len(messages) - len(chats),
        sum(len(m.get("attachments") or []) for m in chats),
        (max(times) - min(times)) / 1000 if times else None,
        *(first_response(chats) or (None, None)),
    )


def expected_days(drift: FakeDrift) -> dict[tuple[Any, int], Row]:
    """Return conversations, messages and private notes by day and agent."""
    conversations, kinds = defaultdict(set), Counter[tuple[Any, str]]()
    for conversation in drift.account.conversations:
        for message in current_messages(drift, conversation):
            if role(message) == "agent":
                key = date_time(message["createdAt"]).date(), message["author"]["id"]
                conversations[key].add(conversation["id"])
                kinds[key, message["type"]] += 1
    return {
        key: (len(ids), kinds[key, "chat"], kinds[key, "private_note"])
        for key, ids in conversations.items()
    }


def documented_queries() -> list[tuple[str, str]]:
    """Return the queries of data-model.md, each with the table that follows it."""
    page = (ROOT / "docs" / "data-model.md").read_text()
    return re.findall(r"```sql\n([^`]*)```\n\n((?:\|.*\n)+)", page)


def cells(table: str) -> list[list[str]]:
    """Return the rows of a Markdown table, without its two header lines."""
    return [line.strip("|\n").split("|") for line in table.splitlines()[2:]]


def test_views_match_the_account(query: Callable[[str], list[Row]], drift: FakeDrift) -> None:
    conversations = drift.account.conversations
    summary = query(
        "SELECT conversation_id, tags, contact_messages, agent_messages, bot_messages, "
        "private_notes, attachments, duration_seconds, first_response_seconds, "
        "first_response_agent_id FROM conversation_summary"
    )
    assert sorted(summary) == sorted(expected_summary(drift, c) for c in conversations)

    current = {m["id"]: m for c in conversations for m in current_messages(drift, c)}
    names = {user["id"]: user["name"] for user in drift.account.users}
    enriched = query(
        "SELECT message_id, body_html, author_name FROM messages_enriched "
        "WHERE NOT is_deleted AND author_type = 'user'"
    )
    assert sorted(enriched) == sorted(
        (number, message.get("body"), names[message["author"]["id"]])
        for number, message in current.items()
        if message["author"]["type"] == "user"
    )

    days = query('SELECT "day", agent_id, conversations, messages, private_notes FROM agent_daily')
    assert {(day, agent): tuple(rest) for day, agent, *rest in days} == expected_days(drift)

    texts = {body for (body,) in query("SELECT DISTINCT body_text FROM messages_enriched")}
    assert (
        "Thanks, that helps & is quick \N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}" in texts
    )
    assert "Is there a trial?\nWe would begin in May." in texts

    queries = documented_queries()
    assert len(queries) == 5
    for sql, table in queries:
        found = [[f" {value} " for value in row] for row in query(sql)]
        assert found == cells(table), sql
