"""Databases and folders, with names and types as targets change them."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tap_drift.schemas import SCHEMAS
from tap_drift.verify.columns import ColumnMap, stream_of
from tap_drift.verify.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_drift import FakeDrift
    from verify.conftest import Extract, Messages, VerifyLoaded

Row = dict[str, Any]
STREAMS = [*Store().primary_keys]


def rows_by_stream(messages: Messages) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {
        each["stream"]: [] for each in messages if each["type"] == "SCHEMA"
    }
    for each in messages:
        if each["type"] == "RECORD":
            row = {**each["record"], "_sdc_extracted_at": each["time_extracted"]}
            rows[each["stream"]].append(row)
    return rows


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def as_sqlite(value: object) -> object:
    """JSON as text; booleans become 0 and 1."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def load_sqlite(path: Path, rows: dict[str, list[Row]], rename: Callable[[str], str] = str) -> str:
    with closing(sqlite3.connect(path)) as database, database:
        for stream, records in rows.items():
            names = [*records[0]] if records else ["id"]
            columns = ", ".join(f'"{rename(name)}"' for name in names)
            database.execute(f'CREATE TABLE "{rename(stream)}" ({columns})')
            marks = ", ".join("?" * len(names))
            database.executemany(
                f'INSERT INTO "{rename(stream)}" VALUES ({marks})',  # noqa: S608 - of this test
                [[as_sqlite(record[name]) for name in names] for record in records],
            )
    return f"sqlite:///{path}"


@pytest.mark.parametrize("rename", [snake_case, str.upper])
def test_renamed_columns_are_matched(
    rename: Callable[[str], str], extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted())
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows, rename))
    assert result.exit_code == 0, result.report
    assert {*result.table} == {*STREAMS}
    assert all(row["in Drift"] == row["extracted"] > 0 for row in result.table.values())
    assert "not in the data" not in result.report


def test_rows_deleted_and_changed_in_a_table_are_found(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    url = load_sqlite(tmp_path / "x.db", rows_by_stream(extracted("conversations", "messages")))
    with closing(sqlite3.connect(tmp_path / "x.db")) as database, database:
        database.execute("DELETE FROM messages WHERE rowid = 5")
        database.execute("UPDATE messages SET author = json_set(author, '$.id', 6) WHERE rowid = 7")
        database.execute("UPDATE conversations SET status = 'open'")
    result = verify_loaded("--database", url)
    assert result.exit_code == 1
    assert result.differences("messages") == {"missing": 1, "different": 1}
    assert "\nmessages: different in author (1)\n" in result.report
    assert result.differences("conversations")["different"] > 0


def test_flattened_object_is_compared_by_its_columns(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("messages"))
    for row in rows["messages"]:
        author = row.pop("author")
        row |= {"author__type": author["type"], "author__id": author["id"]}
    rows["messages"][3]["author__id"] = 6
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.differences("messages") == {"different": 1}
    assert "messages: not in the data, so not compared: author.bot (" in result.report


def test_missing_and_added_columns_are_named(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations"))
    for row in rows["conversations"]:
        row["region"] = row.pop("inboxId")
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.exit_code == 0, result.report
    assert "\nconversations: not in the data, so not compared: inboxId (" in result.report
    assert "conversations: columns not compared, because Drift has no such fields: region" in (
        result.report
    )


def test_fields_beyond_the_schema_in_one_column_are_compared(
    drift: FakeDrift, extract: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    for conversation in drift.account.conversations:
        conversation["mood"] = "calm"
    rows = rows_by_stream(extract("conversations"))
    for number, row in enumerate(rows["conversations"]):
        others = {"mood": row.pop("mood")} if number else {"mood": row.pop("mood") + "er"}
        row["_additional"] = json.dumps(others)
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.differences("conversations") == {"different": 1}
    assert "different in other fields (1)" in result.report


def test_table_without_key_column_is_an_error(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations"))
    for row in rows["conversations"]:
        row["number"] = row.pop("id")
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.exit_code == 1
    assert "The data of `conversations` has no column for its key `id`." in result.log


def test_latest_version_of_a_row_counts(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations"))
    old = {"status": "old", "_sdc_extracted_at": "2020-01-01 00:00:00"}
    rows["conversations"] += [row | old for row in rows["conversations"][:9]]
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.exit_code == 0, result.report


def test_row_marked_as_deleted_is_missing(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("users"))
    for number, row in enumerate(rows["users"]):
        row["_sdc_deleted_at"] = None if number else "2026-01-01"
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.differences("users") == {"missing": 1}


def test_row_whose_latest_version_is_deleted_is_missing(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("users"))
    later = {"_sdc_extracted_at": "2999-01-01 00:00:00", "_sdc_deleted_at": "2999-01-01"}
    rows["users"] = [row | {"_sdc_deleted_at": None} for row in rows["users"]]
    rows["users"].append(rows["users"][0] | later)
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.differences("users") == {"missing": 1}


def test_time_of_extraction_that_is_none_is_an_error(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("users"))
    rows["users"][0]["_sdc_extracted_at"] = "yesterday"
    result = verify_loaded("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.exit_code == 1
    assert "`_sdc_extracted_at` of a row of `users` is not a time." in result.log


def test_columns_that_mean_one_field_are_an_error() -> None:
    with pytest.raises(Exception, match="`contact_id` and `contactId` of `conversations` can both"):
        ColumnMap("conversations", ["contactId", "contact_id"])


def test_no_two_names_of_a_schema_are_taken_for_each_other() -> None:
    for stream in STREAMS:
        names = SCHEMAS.fetch_schema(stream)["properties"]
        ColumnMap(stream, [*names])
        assert stream_of(snake_case(stream).upper(), STREAMS) == stream


def test_duckdb_with_native_types_is_complete(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    """Structs, lists, times with a zone, and no column that says when it was extracted."""
    for stream, records in rows_by_stream(extracted("conversations", "messages", "teams")).items():
        for record in records:
            del record["_sdc_extracted_at"]
            record.pop("attributes", None)  # names of a struct are case-insensitive
        lines = tmp_path / f"{stream}.jsonl"
        lines.write_text("".join(json.dumps(record) + "\n" for record in records))
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE SCHEMA drift")
        for stream in ("conversations", "messages", "teams"):
            database.execute(
                f"CREATE TABLE drift.{stream} AS "
                f"FROM read_json('{tmp_path}/{stream}.jsonl', map_inference_threshold = -1)"
            )
    result = verify_loaded("--database", f"duckdb:///{path}", "--schema", "drift")
    assert result.exit_code == 0, result.report
    assert "The data does not say when it was extracted" in result.report


def test_other_schema_is_an_error(verify_loaded: VerifyLoaded, tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    result = verify_loaded("--database", f"duckdb:///{tmp_path}/x.duckdb")
    assert result.exit_code == 1
    assert "No table of the schema `main` is named after a stream" in result.log


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///absent.db", "There is no file absent.db."),
        ("duckdb:///absent.db", "There is no file absent.db."),
        ("absent.db", "--database must be a SQLAlchemy URL"),
        ("oracledb://u:secret@h/x", "SQLAlchemy has no dialect `oracledb`"),
        ("mysql://u:secret@h/x", "mysql needs the package `MySQLdb`"),
        ("postgresql://u:secret@127.0.0.1:1/x", "Could not read postgresql+psycopg://u:***@127"),
    ],
)
def test_unreadable_database_is_one_error(
    url: str, message: str, verify_loaded: VerifyLoaded
) -> None:
    result = verify_loaded("--database", url)
    assert result.exit_code == 1
    assert message in result.log
    assert "secret" not in result.log + result.report


# Folders


def test_last_line_of_the_last_file_counts(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations", "conversation_details"))
    for stream, records in rows.items():
        lines = [json.dumps(record | {"status": "old"}) + "\n" for record in records]
        (tmp_path / f"{stream}-20260101T000000.jsonl").write_text("".join(lines))
        lines = [json.dumps(record) + "\n" for record in records]
        second = tmp_path / f"{stream}-20260102T000000.jsonl.gz"
        second.write_bytes(gzip.compress("".join(lines).encode()))
    (tmp_path / "notes.jsonl").write_text("{}\n")
    result = verify_loaded("--folder", tmp_path)
    assert result.exit_code == 0, result.report
    assert {*result.table} == {"conversations", "conversation_details"}
    assert "not named after a stream, and not compared: notes.jsonl" in result.report


def test_changed_field_beyond_the_schema_in_a_file_is_found(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("users"))["users"]
    rows[2]["team"] = "added"
    (tmp_path / "users.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = verify_loaded("--folder", tmp_path)
    assert result.differences("users") == {"different": 1}


def test_line_that_is_no_object_is_an_error(verify_loaded: VerifyLoaded, tmp_path: Path) -> None:
    (tmp_path / "users.jsonl").write_text('{"id": 1}\nprivate text\n')
    result = verify_loaded("--folder", tmp_path)
    assert result.exit_code == 1
    assert "Line 2 of " in result.log
    assert "private" not in result.log


def test_folder_without_streams_is_an_error(verify_loaded: VerifyLoaded, tmp_path: Path) -> None:
    result = verify_loaded("--folder", tmp_path)
    assert result.exit_code == 1
    assert "is named after a stream of tap-drift" in result.log


def test_parquet_with_structs_and_lost_rows(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations", "messages"))
    for row in rows["messages"]:
        row["createdAt"] = datetime.fromisoformat(row["createdAt"])
        row["attributes"] = json.dumps(row["attributes"])
    rows["messages"][4]["body"] = "overwritten"
    messages = pa.Table.from_pylist(rows["messages"][:-1])
    times = messages.schema.get_field_index("createdAt")
    messages = messages.set_column(
        times, "createdAt", messages["createdAt"].cast(pa.timestamp("ns"))
    )
    (tmp_path / "messages").mkdir()
    pq.write_table(messages.slice(0, 100), tmp_path / "messages/1.parquet")
    pq.write_table(messages.slice(100), tmp_path / "messages/2.parquet")
    pq.write_table(pa.Table.from_pylist(rows["conversations"]), tmp_path / "conversations.parquet")
    result = verify_loaded("--folder", tmp_path)
    assert result.differences("conversations") == {}
    assert result.differences("messages") == {"missing": 1, "different": 1}
    assert "\nmessages: different in body (1)\n" in result.report


# The command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--database", "sqlite:///x", "--folder", "."], "--database and --folder exclude"),
        (["--database", "sqlite:///x", "run.jsonl"], "--database and MESSAGES exclude"),
        (["--schema", "drift"], "--schema needs --database"),
        (["--extracted-at", "yesterday"], "'yesterday' is not a time"),
    ],
)
def test_contradictory_options_are_a_usage_error(
    options: list[str], message: str, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    (tmp_path / "run.jsonl").touch()
    arguments = [tmp_path / each if each == "run.jsonl" else each for each in options]
    result = verify_loaded(*arguments)
    assert result.exit_code == 2
    assert message in result.log


def test_start_of_the_run_can_be_given(
    extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    rows = rows_by_stream(extracted("conversations"))
    lost = rows["conversations"].pop()
    url = load_sqlite(tmp_path / "x.db", rows)
    before = ["--extracted-at", lost["updatedAt"]]
    assert verify_loaded("--database", url).differences("conversations") == {"missing": 1}
    result = verify_loaded("--database", url, *before)
    assert result.exit_code == 0, result.report
    assert result.differences("conversations") == {"new": 1}
