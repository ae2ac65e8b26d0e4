"""Reads the tables that a target has loaded into a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from singer_sdk.exceptions import FatalSyncError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tap_drift.verify.columns import EXTRACTED_AT, TableLoader, stream_of
from tap_drift.verify.extraction import Extraction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from sqlalchemy import Connection, Engine, TableClause
    from sqlalchemy.engine import URL, RowMapping

    from tap_drift.verify.store import Store

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""The driver that the extra `verify` installs, by the name in a URL without a driver."""

_ROWS_PER_FETCH = 1000


def read_database(
    url: str,
    schema: str | None,
    store: Store,
    lookback: timedelta,
    on_progress: Callable[[int], None],
) -> Extraction:
    """Store all rows of the tables that are named after streams.

    Args:
        url: SQLAlchemy URL of the database. It is opened to read only.
        schema: The schema with the tables; None for the database's default.
        store: Where to store the records.
        lookback: The longest delay with which a change appears in Drift's listings.
        on_progress: Called with the number of records so far.

    Raises:
        FatalSyncError: If the database cannot be read, or has no such table.
    """
    parsed = _parse(url)
    try:
        engine = _open(parsed)
        with engine.connect() as connection:
            return _read_tables(connection, schema, store, lookback, on_progress)
    except ModuleNotFoundError as error:
        raise FatalSyncError(
            f"{parsed.drivername} needs the package `{error.name}`. For PostgreSQL and DuckDB: "
            "pip install 'tap-drift[verify]'."
        ) from None
    except NoSuchModuleError:
        raise FatalSyncError(
            f"SQLAlchemy has no dialect `{parsed.drivername}`. For PostgreSQL and DuckDB: "
            "pip install 'tap-drift[verify]'."
        ) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise FatalSyncError(f"Could not read {_describe(parsed)}: {reason}") from None


def describe_url(url: str) -> str:
    """Return the URL without its password and parameters."""
    return _describe(_parse(url))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise FatalSyncError(
            "--database must be a SQLAlchemy URL, such as postgresql://user@host/name, "
            "duckdb:///file or sqlite:///file."
        ) from None
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _describe(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _open(url: URL) -> Engine:
    options: dict[str, Any] = {}
    backend = url.get_backend_name()
    if backend in {"sqlite", "duckdb"} and url.database and not Path(url.database).is_file():
        raise FatalSyncError(f"There is no file {url.database}.")
    if backend == "duckdb":
        options["connect_args"] = {"read_only": True}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **options)


def _read_tables(
    connection: Connection,
    schema: str | None,
    store: Store,
    lookback: timedelta,
    on_progress: Callable[[int], None],
) -> Extraction:
    inspector = sqlalchemy.inspect(connection)
    schema = schema or inspector.default_schema_name
    extraction = Extraction(is_loaded=True)
    for name in sorted(inspector.get_table_names(schema)):
        stream = stream_of(name, store.primary_keys)
        if stream in extraction.runs:
            raise FatalSyncError(f"Two tables of {schema} are named after the stream `{stream}`.")
        if stream:
            table = sqlalchemy.table(name, schema=schema)
            loader = TableLoader(store, extraction, stream, lookback)
            columns = loader.prepare(_columns(connection, table))
            for row in _rows(connection, table):
                loader.add(columns, {**row})
                on_progress(extraction.record_count)
    if not extraction.runs:
        raise FatalSyncError(
            f"No table of the schema `{schema}` is named after a stream of tap-drift: set --schema "
            "to the schema that the target loads into."
        )
    return extraction


def _columns(connection: Connection, table: TableClause) -> list[str]:
    # Not by reflection: dialects warn of types that they do not know.
    query = sqlalchemy.select(sqlalchemy.text("*")).select_from(table).limit(0)
    with connection.execute(query) as result:
        return [*result.keys()]


def _rows(connection: Connection, table: TableClause) -> Iterator[RowMapping]:
    """Yield all rows, the latest version of a record last."""
    query = sqlalchemy.select(sqlalchemy.text("*")).select_from(table)
    for column in _columns(connection, table):
        if column.lower() == EXTRACTED_AT:
            query = query.order_by(sqlalchemy.column(column))
    options = {"stream_results": True, "max_row_buffer": _ROWS_PER_FETCH}
    with connection.execute(query, execution_options=options) as result:
        for rows in result.mappings().partitions(_ROWS_PER_FETCH):
            yield from rows
