"""`drift-verify` finds in real targets what was lost, deleted and changed there."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import psycopg
import pytest
from click.testing import CliRunner
from fake_drift import FakeDrift
from runs import as_lines, catalog, sync

from tap_drift.sandbox.data.account import Account
from tap_drift.verify.command import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runs import RunPipe

STREAMS = ("conversations", "messages", "transcripts", "contacts", "teams", "accounts")


class Result(NamedTuple):
    """Output of `drift-verify`."""

    exit_code: int
    report: str

    def rows(self) -> dict[str, list[int]]:
        """Return missing, stale and different, by stream."""
        lines = [line.split() for line in self.report.partition("\n\n")[0].splitlines()[1:]]
        return {line[0]: [int(each) for each in line[3:6]] for line in lines if line[0] in STREAMS}


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    with FakeDrift(Account.from_seed(40, seed=3)) as server:
        yield server


@pytest.fixture
def verify(drift: FakeDrift, tmp_path: Path) -> Callable[..., Result]:
    def run(*options: str) -> Result:
        settings = tmp_path / "verify.json"
        settings.write_text(json.dumps({"access_token": drift.token, "api_url": drift.url}))
        result = CliRunner().invoke(main, ["--config", str(settings), *options])
        return Result(result.exit_code, result.stdout)

    return run


NOTHING = {stream: [0, 0, 0] for stream in STREAMS}


def test_postgres_rows_deleted_and_changed_are_found(
    pipe: RunPipe, postgres: str, verify: Callable[..., Result]
) -> None:
    target: dict[str, Any] = {
        "sqlalchemy_url": postgres.replace("postgresql://", "postgresql+psycopg://"),
        "default_target_schema": "verified",
        "load_method": "upsert",
    }
    pipe("target-postgres", target, streams=STREAMS)
    loaded = verify("--database", postgres, "--schema", "verified")
    assert loaded.exit_code == 0, loaded.report
    assert loaded.rows() == NOTHING
    with psycopg.connect(postgres) as connection:
        connection.execute("DELETE FROM verified.teams WHERE main")
        connection.execute("UPDATE verified.messages SET body = body || '.' WHERE body IS NOT NULL")
        connection.execute("UPDATE verified.accounts SET \"customProperties\" = '{}'")
    result = verify("--database", postgres, "--schema", "verified")
    assert result.exit_code == 1
    assert result.rows()["teams"] == [1, 0, 0]
    assert result.rows()["messages"][2] > 300
    assert "messages: different in body (" in result.report
    assert "accounts: different in customProperties (" in result.report


def test_duckdb_is_complete_until_a_table_loses_rows(
    pipe: RunPipe, tmp_path: Path, verify: Callable[..., Result]
) -> None:
    path = str(tmp_path / "account.duckdb")
    target = {"filepath": path, "default_target_schema": "drift", "add_metadata_columns": True}
    pipe("target-duckdb", target, streams=STREAMS)
    options = ("--database", f"duckdb:///{path}", "--schema", "drift")
    loaded = verify(*options)
    assert loaded.exit_code == 0, loaded.report
    assert loaded.rows() == NOTHING
    with duckdb.connect(path) as database:
        database.execute("DELETE FROM drift.transcripts WHERE rowid < 4")
    assert verify(*options).rows() == NOTHING | {"transcripts": [4, 0, 0]}


def test_rows_lost_by_target_duckdb_are_found(
    pipe: RunPipe, tmp_path: Path, verify: Callable[..., Result]
) -> None:
    """With DuckDB 1.3 or later, it drops the first record of every batch, and exits with 0."""
    path = str(tmp_path / "account.duckdb")
    target = {"filepath": path, "default_target_schema": "drift"}
    pip_url = "target-duckdb~=0.8.0 duckdb>=1.3,<1.5"
    pipe("target-duckdb", target, streams=STREAMS, pip_url=pip_url)
    result = verify("--database", f"duckdb:///{path}", "--schema", "drift")
    assert result.exit_code == 1
    assert result.rows() == {stream: [1, 0, 0] for stream in STREAMS} | {"transcripts": [0, 0, 0]}


def test_jsonl_with_two_runs_is_complete(
    drift: FakeDrift, pipe: RunPipe, tmp_path: Path, verify: Callable[..., Result]
) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    target = {"destination_path": str(folder), "do_timestamp_file": False}
    state = pipe("target-jsonl", target, streams=STREAMS)
    drift.add_message(drift.conversation_ids()[-1], 1_788_000_000_000)
    pipe("target-jsonl", target, state, streams=STREAMS)
    result = verify("--folder", str(folder))
    assert result.exit_code == 0, result.report
    assert result.rows() == NOTHING
    lines = (folder / "messages.jsonl").read_text()
    (folder / "messages.jsonl").write_text(lines.replace("<p>And?</p>", "<p>And!</p>"))
    assert verify("--folder", str(folder)).rows() == NOTHING | {"messages": [0, 0, 1]}


def test_archive_is_verified_with_its_files(
    drift: FakeDrift, tmp_path: Path, verify: Callable[..., Result]
) -> None:
    files, manifest = tmp_path / "files", tmp_path / "manifest.json"
    settings = {"access_token": drift.token, "api_url": drift.url, "attachments_path": str(files)}
    messages = sync(settings, None, catalog(*STREAMS, "attachments")).all
    (tmp_path / "target.json").write_text(json.dumps({"archive_path": str(tmp_path / "archive")}))
    command = [sys.executable, "-m", "drift_archive", "--config", str(tmp_path / "target.json")]
    subprocess.run(command, input=as_lines(messages), check=True)
    options = ("--database", f"sqlite:///{tmp_path}/archive/drift.sqlite")
    loaded = verify(*options, "--attachments", str(files), "--manifest", str(manifest))
    assert loaded.exit_code == 0, loaded.report
    with closing(sqlite3.connect(tmp_path / "archive/drift.sqlite")) as database, database:
        database.execute(
            "UPDATE messages SET body = body || '.' "
            "WHERE id = (SELECT min(id) FROM messages WHERE body <> '')"
        )
    result = CliRunner().invoke(main, ["--against", str(manifest), *options])
    assert result.exit_code == 1
    assert "CHANGED: records that differ from the manifest: 1." in result.stdout
