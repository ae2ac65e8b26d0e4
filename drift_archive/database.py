"""The SQLite database: a table for each stream, upserts, full-text search of messages."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from drift_archive import pages_table
from drift_archive.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.engine.interfaces import DBAPIConnection

ADDITIONAL = "_additional"
"""Column for the fields of a record that its schema does not name, as a JSON object."""

MAX_INTEGER = 2**63

_SEARCH = "CREATE VIRTUAL TABLE IF NOT EXISTS messages_search USING fts5(text)"
_INDEX_TEXT = "INSERT OR REPLACE INTO messages_search (rowid, text) VALUES (?, ?)"


class Database:
    """The database of an archive.

    Args:
        path: The file. It and its folder are created.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        url = sa.URL.create("sqlite", database=str(path))
        # Another process may write at the same time.
        self._engine = sa.create_engine(url, connect_args={"timeout": 600})
        sa.event.listen(self._engine, "connect", _set_pragmas)
        with self.transaction() as connection:
            connection.exec_driver_sql(_SEARCH)
            pages_table.create(connection)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction; commit it at the end, or roll it back after an error."""
        with self._engine.begin() as connection:
            yield connection

    def connect(self) -> sa.Connection:
        """Open a connection, for several transactions."""
        return self._engine.connect()

    def table(self, stream: str, schema: Mapping[str, Any], keys: Sequence[str]) -> StreamTable:
        """Create the table of a stream, or add the columns that it lacks."""
        columns = _columns(schema["properties"])
        with self.transaction() as connection:
            if sa.inspect(connection).has_table(stream):
                existing = _add_columns(connection, stream, columns)
                if ADDITIONAL in existing:
                    columns[ADDITIONAL] = sa.Text()
            else:
                _create_table(connection, stream, columns, keys)
            pages_table.create_triggers(connection, stream, set(columns))
        return StreamTable(self, stream, list(columns), keys)

    def close(self) -> None:
        """Close the database, and leave a single file that can be opened where it is read-only.

        If another process has the database open, its log remains until that process closes it.
        """
        with self._engine.connect() as connection, suppress(sa.exc.OperationalError):
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        self._engine.dispose()


class StreamTable:
    """The table of a stream.

    Args:
        database: The database.
        stream: Name of the stream and of the table.
        columns: Names of the schema's fields, and of `ADDITIONAL` if the table has it.
        keys: Names of the key properties; without any, every record is a new row.
    """

    def __init__(
        self, database: Database, stream: str, columns: list[str], keys: Sequence[str]
    ) -> None:
        self._database = database
        self._stream = stream
        self._columns = columns
        self._keys = keys
        self._is_searchable = stream == "messages" and {"id", "body"} <= {*columns}
        self._upsert = _upsert_statement(stream, columns, keys)

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Insert or update rows in a transaction. A row that is the same is not updated."""
        completed = [self._with_additional(record) for record in records]
        with self._database.transaction() as connection:
            if ADDITIONAL not in self._columns and any(ADDITIONAL in each for each in completed):
                self._add_additional(connection)
            rows = [tuple(_stored(each.get(name)) for name in self._columns) for each in completed]
            connection.exec_driver_sql(self._upsert, rows)
            if self._is_searchable:
                self._index_texts(connection, rows)

    def _with_additional(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        others = record.keys() - self._columns
        return {**record, ADDITIONAL: {name: record[name] for name in others}} if others else record

    def _add_additional(self, connection: sa.Connection) -> None:
        _add_columns(connection, self._stream, {ADDITIONAL: sa.Text()})
        self._columns.append(ADDITIONAL)
        self._upsert = _upsert_statement(self._stream, self._columns, self._keys)

    def _index_texts(self, connection: sa.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        identifier, body = map(self._columns.index, ("id", "body"))
        # A body that is now null replaces its earlier text.
        texts = [(row[identifier], plain_text(str(row[body] or ""))) for row in rows]
        connection.exec_driver_sql(_INDEX_TEXT, texts)


def _set_pragmas(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # A STATE message follows a commit, so the commit must survive a power failure.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _columns(properties: Mapping[str, Any]) -> dict[str, sa.types.TypeEngine[Any]]:
    """Return the name and type of each column.

    SQLite ignores case in names: of fields that differ only in case, the first one has a column.
    """
    columns: dict[str, sa.types.TypeEngine[Any]] = {}
    taken = set()
    for name, definition in properties.items():
        if name.lower() not in taken:
            columns[name] = _column_type(definition)
            taken.add(name.lower())
    return columns


def _column_type(definition: Mapping[str, Any]) -> sa.types.TypeEngine[Any]:
    """Return the type of a column. Times, and JSON, are text."""
    types = definition.get("type")
    kinds = {types} if isinstance(types, str) else {*(types or [])}
    plain: dict[frozenset[str], sa.types.TypeEngine[Any]] = {
        frozenset({"integer"}): sa.Integer(),
        frozenset({"number"}): sa.REAL(),
        frozenset({"boolean"}): sa.Boolean(),
    }
    return plain.get(frozenset(kinds - {"null"}), sa.Text())


def _create_table(
    connection: sa.Connection,
    stream: str,
    columns: Mapping[str, sa.types.TypeEngine[Any]],
    keys: Sequence[str],
) -> None:
    table = sa.Table(
        stream,
        sa.MetaData(),
        *(sa.Column(name, kind, primary_key=name in keys) for name, kind in columns.items()),
    )
    connection.execute(sa.schema.CreateTable(table))


def _add_columns(
    connection: sa.Connection, stream: str, columns: Mapping[str, sa.types.TypeEngine[Any]]
) -> set[str]:
    """Add the columns that the table lacks; return those that it had, in lower case."""
    existing = {column["name"].lower() for column in sa.inspect(connection).get_columns(stream)}
    quote = connection.dialect.identifier_preparer.quote
    for name in [name for name in columns if name.lower() not in existing]:
        kind = columns[name].compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {quote(stream)} ADD COLUMN {quote(name)} {kind}")
    return existing


def _upsert_statement(stream: str, columns: Sequence[str], keys: Sequence[str]) -> str:
    """Return an INSERT with a parameter for each column."""
    table = sa.table(stream, *map(sa.column, columns))
    insert = sqlite.insert(table).values(
        {name: sa.bindparam(f"value_{index}") for index, name in enumerate(columns)}
    )
    values = [name for name in columns if name not in keys]
    if keys and values:
        insert = insert.on_conflict_do_update(
            index_elements=keys,
            set_={name: insert.excluded[name] for name in values},
            # Without a change, the row's conversation page is not written again.
            where=sa.or_(
                *(table.c[name].is_distinct_from(insert.excluded[name]) for name in values)
            ),
        )
    elif keys:
        insert = insert.on_conflict_do_nothing()
    return str(insert.compile(dialect=sqlite.dialect()))


def _stored(value: object) -> object:
    """Return a value as it is stored: objects and arrays as JSON."""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        return str(value)
    return value
