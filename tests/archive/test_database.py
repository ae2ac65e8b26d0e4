"""Tables, upserts and full-text search of the archive's database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from archive_runs import conversation, message

if TYPE_CHECKING:
    from archive_runs import ArchiveRuns


def add(archive: ArchiveRuns, record: dict[str, Any], **properties: Any) -> None:
    """Add a record of a stream with a key and other properties."""
    schema = {"properties": {"id": {"type": "integer"}, **properties}, "additionalProperties": True}
    archive.add_messages(
        {"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": ["id"]},
        {"type": "RECORD", "stream": "things", "record": record},
    )


def test_columns_have_the_names_and_types_of_the_schema(archive: ArchiveRuns) -> None:
    add(
        archive,
        {
            "id": 1,
            "whole": 2**63 - 1,
            "part": 0.5,
            "yes": True,
            "at": "2026-01-01T00:00:00.300+00:00",
        },
        whole={"type": ["integer", "null"]},
        part={"type": "number"},
        yes={"type": ["boolean", "null"]},
        at={"type": "string", "format": "date-time"},
    )
    archive.run()
    columns = {name: kind for _, name, kind, *_ in archive.query("PRAGMA table_info(things)")}
    assert columns == {
        "id": "INTEGER",
        "whole": "INTEGER",
        "part": "REAL",
        "yes": "BOOLEAN",
        "at": "TEXT",
    }
    row = (1, 2**63 - 1, 0.5, 1, "2026-01-01T00:00:00.300+00:00")
    assert archive.query("SELECT * FROM things") == [row]


def test_objects_and_arrays_are_json(archive: ArchiveRuns) -> None:
    add(
        archive,
        {"id": 1, "a": {"ü": [1, None]}, "b": []},
        a={"type": "object"},
        b={"type": "array"},
    )
    archive.run()
    assert archive.query("SELECT a, b FROM things") == [('{"ü":[1,null]}', "[]")]


def test_fields_outside_the_schema_are_kept(archive: ArchiveRuns) -> None:
    add(archive, {"id": 1, "new": {"a": 1}, "other": "x"})
    archive.run()
    add(archive, {"id": 2})
    archive.run()
    [(additional,), (none,)] = archive.query("SELECT _additional FROM things")
    assert json.loads(additional) == {"new": {"a": 1}, "other": "x"}
    assert none is None


def test_field_that_comes_later_is_kept(archive: ArchiveRuns) -> None:
    add(archive, {"id": 1})
    archive.run()
    add(archive, {"id": 1, "new": 5})
    archive.run()
    assert archive.query("SELECT _additional FROM things") == [('{"new":5}',)]
    add(archive, {"id": 1})
    archive.run()
    assert archive.query("SELECT _additional FROM things") == [(None,)]


def test_value_of_another_type_is_kept(archive: ArchiveRuns) -> None:
    add(archive, {"id": 1, "a": "three", "b": 2**70}, a={"type": "integer"}, b={"type": "string"})
    archive.run()
    assert archive.query("SELECT a, b FROM things") == [("three", str(2**70))]


def test_names_that_differ_in_case_are_kept_both(archive: ArchiveRuns) -> None:
    text = {"type": "string"}
    add(archive, {"id": 1, "key": "a", "KEY": "b"}, key=text, KEY=text)
    archive.run()
    assert archive.query("SELECT key, _additional FROM things") == [("a", '{"KEY":"b"}')]


def test_later_record_replaces_the_row(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation(status="open"), conversation(2), conversation())
    archive.run()
    assert archive.query("SELECT id, status FROM conversations") == [(1, "closed"), (2, "closed")]


def test_later_schema_adds_its_columns(archive: ArchiveRuns) -> None:
    add(archive, {"id": 1, "a": "x"}, a={"type": "string"})
    archive.run()
    add(archive, {"id": 2, "b": "y"}, b={"type": "string"})
    archive.run()
    assert archive.query("SELECT id, a, b FROM things") == [(1, "x", None), (2, None, "y")]


def test_schema_that_changes_within_a_run_adds_its_columns(archive: ArchiveRuns) -> None:
    add(archive, {"id": 1, "a": "x"}, a={"type": "string"})
    add(archive, {"id": 2, "b": "y"}, b={"type": "string"})
    archive.run()
    assert archive.query("SELECT id, a, b FROM things") == [(1, "x", None), (2, None, "y")]


def test_last_record_wins_if_the_schema_changes_before_it(
    archive: ArchiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drift_archive.sink.ArchiveSink.MAX_SIZE_DEFAULT", 2)
    text = {"type": "string"}
    add(archive, {"id": 1, "a": "old"}, a=text)
    add(archive, {"id": 2, "a": "x"}, a=text, b=text)
    add(archive, {"id": 1, "a": "new"}, a=text, b=text)
    archive.run()
    assert archive.query("SELECT id, a FROM things") == [(1, "new"), (2, "x")]


def test_stream_without_a_key_keeps_every_record(archive: ArchiveRuns) -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    record = {"type": "RECORD", "stream": "log", "record": {"a": "x"}}
    archive.add_messages(
        {"type": "SCHEMA", "stream": "log", "schema": schema, "key_properties": []}, record, record
    )
    archive.run()
    assert archive.query("SELECT count(*) FROM log") == [(2,)]


def test_full_text_search_finds_the_text_of_messages(archive: ArchiveRuns) -> None:
    archive.add(
        "messages",
        message(10, "<p>Please <b>refund</b> me</p>"),
        message(11, '<a href="https://refund.example">Hello</a>'),
        message(12, None),
    )
    archive.run()
    found = archive.query(
        "SELECT messages.id FROM messages_search JOIN messages ON id = messages_search.rowid "
        "WHERE messages_search MATCH 'refund'"
    )
    assert found == [(10,)]


@pytest.mark.parametrize(("body", "count"), [("after", 1), (None, 0)])
def test_search_finds_the_new_text_of_a_message_only(
    archive: ArchiveRuns, body: str | None, count: int
) -> None:
    archive.add("messages", message(10, "before"), message(10, body))
    archive.run()
    found = "SELECT count(*) FROM messages_search WHERE messages_search MATCH "
    assert archive.query(f"{found}'before'") == [(0,)]
    assert archive.query(f"{found}'after'") == [(count,)]


def test_state_is_written_once_its_records_are_committed(
    archive: ArchiveRuns, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK writes a state only after it has drained the sinks: here it asks the database."""
    archive.add("conversations", conversation())
    archive.add_messages({"type": "STATE", "value": {"bookmarks": {"conversations": {}}}})
    seen = []
    monkeypatch.setattr(
        "drift_archive.target.TargetDriftArchive._write_state_message",
        lambda _self, state: seen.append((state, archive.query("SELECT id FROM conversations"))),
    )
    archive.run()
    assert seen == [({"bookmarks": {"conversations": {}}}, [(1,)])]
    assert capsys.readouterr().out == ""


def test_finished_run_leaves_one_database_file(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation())
    archive.run()
    assert [path.name for path in archive.folder.glob("drift.sqlite*")] == ["drift.sqlite"]
