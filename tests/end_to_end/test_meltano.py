"""Meltano's commands in a copy of the Meltano project, with real loaders."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sqlite3
import threading
from contextlib import closing
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from fake_drift import FakeDrift
from fake_target import WALK_STREAMS
from generate_settings import sdk_settings
from meltano_project import ROOT, Meltano

from tap_drift.sandbox.data.account import Account
from tap_drift.sandbox.data.contacts import CONTACT_ATTRIBUTES
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = {"messages": {"body": "md5(body) if body else None"}}


@pytest.fixture
def account() -> Account:
    return Account.from_seed(30, seed=7)


@pytest.fixture
def meltano(installed: Meltano, drift: FakeDrift, tmp_path: Path) -> Meltano:
    """The project with its plugins installed, an empty database and no state."""
    (tmp_path / "state").mkdir()
    installed.environment |= {
        "MELTANO_ENVIRONMENT": "sandbox",
        "MELTANO_STATE_BACKEND_URI": f"file://{tmp_path}/state",
        "TAP_DRIFT_ACCESS_TOKEN": drift.token,
        "TAP_DRIFT_API_URL": drift.url,
        "TAP_DRIFT_PAGE_SIZE": "20",  # two pages
        "TAP_DRIFT__SELECT": '["conversations.*", "messages.*"]',
        "TARGET_DUCKDB_FILEPATH": str(tmp_path / "sandbox.duckdb"),
    }
    return installed


def expected(drift: FakeDrift) -> dict[str, int]:
    """Count the rows of each stream in the account."""
    account = drift.account
    return {
        "accounts": len(account.customer_accounts),
        "contact_attributes": len(CONTACT_ATTRIBUTES),
        "conversation_stats": 3,
        "landing_pages": len(account.landing_pages),
        "meetings": len(list(account.meetings(0, 2**63))),
        "playbooks": len(account.playbooks),
        "teams": len(account.teams),
        "users": len(account.users),
        **{stream: len(drift.source_rows(stream)) for stream in WALK_STREAMS},
    }


def test_second_meltano_run_loads_the_changes(drift: FakeDrift, meltano: Meltano) -> None:
    def run() -> None:
        select = '["*.*"]'
        finished = meltano("run", "tap-drift", "target-duckdb", TAP_DRIFT__SELECT=select)
        assert drift.token not in finished.stdout + finished.stderr

    def count(table: str) -> Any:
        return meltano.query(f"SELECT count(*) FROM drift.{table}")[0][0]  # noqa: S608 - a constant name

    def loaded() -> dict[str, int]:
        return {stream: count(stream) for stream in expected(drift)}

    run()
    assert loaded() == expected(drift)
    drift.add_message(drift.conversation_ids()[-1], 1_788_000_000_000)
    requests = len(drift.requests)
    run()
    assert loaded() == expected(drift)
    assert len(drift.requests) - requests < 30
    assert meltano.query(
        "SELECT DISTINCT createdat FROM drift.messages ORDER BY 1 DESC LIMIT 1"
    ) == [(datetime(2026, 8, 29, 10, 40),)]


def masked_bodies(drift: FakeDrift) -> set[str | None]:
    """Return the hashes of the bodies of all messages."""
    bodies = {message.get("body") for message in drift.source_rows("messages")}
    return {body and md5(body.encode(), usedforsecurity=False).hexdigest() for body in bodies}


def test_archive_of_a_meltano_run_has_masked_bodies(
    drift: FakeDrift, meltano: Meltano, tmp_path: Path
) -> None:
    """The stream map is in the environment; pages link to the attachments where they are saved."""
    archive = tmp_path / "archive"
    streams = ("conversations", "messages", "attachments")
    meltano(
        *("run", "tap-drift", "target-drift-archive"),
        TAP_DRIFT__SELECT=json.dumps([f"{stream}.*" for stream in streams]),
        TAP_DRIFT_ATTACHMENTS_PATH=str(archive / "attachments"),
        TAP_DRIFT_STREAM_MAPS=json.dumps(MASK),
        TARGET_DRIFT_ARCHIVE_ARCHIVE_PATH=str(archive),
    )
    with closing(sqlite3.connect(archive / "drift.sqlite")) as database:
        bodies = [body for (body,) in database.execute("SELECT body FROM messages")]
        [(files,)] = database.execute("SELECT count(path) FROM attachments")
    assert len(bodies) == len(drift.source_rows("messages"))
    assert {*bodies} == masked_bodies(drift)
    pages = [page.read_text() for page in archive.glob("conversations/*/*.html")]
    assert len(pages) == len(drift.conversation_ids())
    assert sum(page.count('href="../../attachments/') for page in pages) == files > 0


def test_stream_map_in_meltano_yml_masks_bodies(drift: FakeDrift, meltano: Meltano) -> None:
    """`meltano config set` writes the YAML."""
    meltano("config", "set", "tap-drift", "stream_maps", json.dumps(MASK))
    [_, sandbox] = yaml.safe_load((meltano.project / "meltano.yml").read_text())["environments"]
    assert sandbox["config"]["plugins"]["extractors"][0]["config"] == {"stream_maps": MASK}
    meltano("run", "tap-drift", "target-duckdb")
    loaded = {body for (body,) in meltano.query("SELECT body FROM drift.messages")}
    assert loaded == masked_bodies(drift)


def test_meltano_passes_sdk_settings_with_their_types(meltano: Meltano) -> None:
    variables = {
        "TAP_DRIFT_FLATTENING_ENABLED": "true",
        "TAP_DRIFT_FLATTENING_MAX_DEPTH": "1",
        "TAP_DRIFT_STREAM_MAP_CONFIG": '{"hash_seed": "salt"}',
        "TAP_DRIFT_FAKER_CONFIG_LOCALE": "de_DE",
        "TAP_DRIFT_BATCH_CONFIG_ENCODING_FORMAT": "jsonl",
        "TAP_DRIFT_BATCH_CONFIG_STORAGE_ROOT": "file:///tmp/drift",
    }
    printed = meltano("--log-level=error", "config", "--unsafe", "print", "tap-drift", **variables)
    config = TapDrift(config=json.loads(printed.stdout)).config
    assert {name: config[name] for name in sdk_settings() if name in config} == {
        "stream_map_config": {"hash_seed": "salt"},
        "faker_config": {"locale": "de_DE", "seed": None},
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "batch_config": {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp/drift"}},
    }


def test_four_shards_at_once_load_the_whole_account(drift: FakeDrift, meltano: Meltano) -> None:
    """The command in docs/scaling.md, with a loader that starts quickly."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    [command] = re.findall(r"```sh\n(export TAP_DRIFT_SHARD_COUNT.*?)```", page, re.DOTALL)
    output = meltano.project / "output" / "shards"
    output.mkdir()
    environment = {
        "TAP_DRIFT__SELECT": '["conversations.*"]',
        "TARGET_JSONL_DESTINATION_PATH": str(output),
    }
    meltano.shell(command.replace("target-postgres", "target-jsonl"), **environment)
    lines = [line for file in output.iterdir() for line in file.read_text().splitlines()]
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(drift.conversation_ids())
    states = Path(meltano.environment["MELTANO_STATE_BACKEND_URI"].removeprefix("file://"))
    assert sorted(path.name for path in states.iterdir()) == [
        f"prod:tap-drift-to-target-jsonl:shard-{index}-of-4" for index in range(4)
    ]


@pytest.fixture
def large_drift() -> Iterator[FakeDrift]:
    """Seven pages of conversations, with more messages than fit into a batch of the loader."""
    with FakeDrift(Account.from_seed(700, seed=7)) as server:
        yield server


def test_killed_meltano_run_resumes(large_drift: FakeDrift, meltano: Meltano) -> None:
    """The last page is withheld until Meltano has saved a state and is killed."""
    is_killed = threading.Event()

    def withhold(number: int) -> None:
        if number > 650:
            is_killed.wait(60)

    large_drift.on_request = withhold
    meltano.environment |= {"TAP_DRIFT_API_URL": large_drift.url, "TAP_DRIFT_PAGE_SIZE": "100"}
    # Meltano regards a run that was killed as running for five minutes.
    command = ("run", "--force", "tap-drift", "target-duckdb")
    with meltano.start(*command) as run:
        for line in run.stdout or ():
            if "Incremental state has been updated" in line:
                os.killpg(run.pid, signal.SIGKILL)
    is_killed.set()
    # The target is killed as well, and can take a moment to release its database.
    with Path(meltano.environment["TARGET_DUCKDB_FILEPATH"]).open() as database:
        fcntl.lockf(database, fcntl.LOCK_SH)
    messages = "SELECT count(*), count(DISTINCT id) FROM drift.messages"
    total = len(large_drift.source_rows("messages"))
    assert meltano.query(messages)[0][0] < total
    requests = len(large_drift.requests)
    meltano(*command)
    assert meltano.query(messages) == [(total, total)]
    assert meltano.query("SELECT count(*) FROM drift.conversations") == [(700,)]
    assert len(large_drift.requests) - requests < 300
