"""Real targets load every conversation exactly, and a second run its updates."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

if TYPE_CHECKING:
    from pathlib import Path

    from fake_drift import FakeDrift
    from runs import RunPipe

Row = tuple[Any, ...]


def expected(drift: FakeDrift) -> list[Row]:
    """Return the rows of the account sorted by id, with times in UTC without a zone."""

    def date_time(epoch_ms: int) -> datetime:
        return datetime(1970, 1, 1) + timedelta(milliseconds=epoch_ms)

    return sorted(
        (
            conversation["id"],
            conversation.get("contactId"),
            conversation["inboxId"],
            conversation["status"],
            date_time(conversation["createdAt"]),
            date_time(conversation["updatedAt"]),
        )
        for conversation in drift.account.conversations
    )


def from_text(record: dict[str, Any]) -> Row:
    """Parse a record of a file. An empty CSV field is null."""

    def number(name: str) -> int | None:
        return int(record[name]) if record.get(name) else None

    return (
        number("id"),
        number("contactId"),
        number("inboxId"),
        record["status"],
        datetime.fromisoformat(record["createdAt"]).replace(tzinfo=None),
        datetime.fromisoformat(record["updatedAt"]).replace(tzinfo=None),
    )


def reopen_one(drift: FakeDrift) -> None:
    drift.update_conversation(drift.conversation_ids()[-1], 1_788_000_000_000, status="open")


def test_duckdb_upserts_updates(drift: FakeDrift, pipe: RunPipe, tmp_path: Path) -> None:
    config = {"filepath": str(tmp_path / "account.duckdb"), "default_target_schema": "drift"}

    def loaded() -> list[Row]:
        with duckdb.connect(config["filepath"], read_only=True) as database:
            return database.execute(
                "SELECT id, contactid, inboxid, status, createdat, updatedat "
                "FROM drift.conversations ORDER BY id"
            ).fetchall()

    state = pipe("target-duckdb", config)
    assert loaded() == expected(drift)
    reopen_one(drift)
    pipe("target-duckdb", config, state)
    assert loaded() == expected(drift)


def test_postgres_upserts_updates(drift: FakeDrift, pipe: RunPipe, postgres: str) -> None:
    config = {
        "sqlalchemy_url": postgres.replace("postgresql://", "postgresql+psycopg://"),
        "default_target_schema": "upserted",
        "load_method": "upsert",
    }

    def loaded() -> list[Row]:
        with psycopg.connect(postgres) as connection:
            return connection.execute(
                'SELECT id, "contactId", "inboxId", status, "createdAt", "updatedAt" '
                "FROM upserted.conversations ORDER BY id"
            ).fetchall()

    state = pipe("target-postgres", config)
    assert loaded() == expected(drift)
    reopen_one(drift)
    pipe("target-postgres", config, state)
    assert loaded() == expected(drift)


def test_postgres_marks_deleted_users(drift: FakeDrift, pipe: RunPipe, postgres: str) -> None:
    config = {
        "sqlalchemy_url": postgres.replace("postgresql://", "postgresql+psycopg://"),
        "default_target_schema": "retired",
        "load_method": "upsert",
    }

    def load() -> None:
        pipe("target-postgres", config, streams=("users",), emit_activate_version_messages=True)

    load()
    deleted = drift.account.users.pop()
    load()
    with psycopg.connect(postgres) as connection:
        rows = connection.execute("SELECT id, _sdc_deleted_at IS NULL FROM retired.users")
        assert dict(rows.fetchall()) == {user["id"]: True for user in drift.account.users} | {
            deleted["id"]: False
        }


def test_jsonl_appends_updates(drift: FakeDrift, pipe: RunPipe, tmp_path: Path) -> None:
    """The last line of an id is its current version."""
    config = {"destination_path": str(tmp_path), "do_timestamp_file": False}

    def loaded() -> list[Row]:
        lines = (tmp_path / "conversations.jsonl").read_text().splitlines()
        return [from_text(json.loads(line)) for line in lines]

    state = pipe("target-jsonl", config)
    assert sorted(loaded()) == expected(drift)
    reopen_one(drift)
    pipe("target-jsonl", config, state)
    assert len(loaded()) == len(drift.conversation_ids()) + 2
    assert sorted({row[0]: row for row in loaded()}.values()) == expected(drift)


def test_csv_writes_updates_to_a_second_file(
    drift: FakeDrift, pipe: RunPipe, tmp_path: Path
) -> None:
    """The target overwrites its file, so each run has its own."""
    first = {"output_path": str(tmp_path), "file_naming_scheme": "1.csv"}
    second = first | {"file_naming_scheme": "2.csv"}

    def loaded(file: str) -> list[Row]:
        with (tmp_path / file).open(newline="") as lines:
            return [from_text(record) for record in csv.DictReader(lines)]

    state = pipe("target-csv", first)
    assert sorted(loaded("1.csv")) == expected(drift)
    reopen_one(drift)
    pipe("target-csv", second, state)
    assert len(loaded("2.csv")) == 2
    latest = {row[0]: row for row in loaded("1.csv") + loaded("2.csv")}
    assert sorted(latest.values()) == expected(drift)


def test_csv_of_nested_as_json_can_be_parsed(
    drift: FakeDrift, pipe: RunPipe, tmp_path: Path
) -> None:
    """Without the setting, the target writes objects as Python prints them."""
    config = {"output_path": str(tmp_path), "file_naming_scheme": "accounts.csv"}
    pipe("target-csv", config, streams=("accounts",), nested_as_json=True)
    with (tmp_path / "accounts.csv").open(newline="") as lines:
        found = {
            row["accountId"]: json.loads(row["customProperties"]) for row in csv.DictReader(lines)
        }
    assert {key: [each["name"] for each in value] for key, value in found.items()} == {
        account["accountId"]: [each["name"] for each in account["customProperties"]]
        for account in drift.account.customer_accounts
    }


def test_csv_of_flattened_contacts_keeps_all_members(
    drift: FakeDrift, pipe: RunPipe, tmp_path: Path
) -> None:
    """The target fails on a column that the SCHEMA message does not have."""
    config = {"output_path": str(tmp_path), "file_naming_scheme": "contacts.csv"}
    pipe(
        "target-csv",
        config,
        streams=("contacts",),
        flattening_enabled=True,
        flattening_max_depth=3,
    )
    with (tmp_path / "contacts.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    for row in rows:
        contact = drift.account.contact(int(row["id"]))
        assert contact
        assert row["attributes__email"] == contact["attributes"].get("email", "")
        others = json.loads(row["attributes__otherMembers"])
        assert others["_END_USER_VERSION"] == contact["attributes"]["_END_USER_VERSION"]
