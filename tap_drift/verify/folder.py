"""Reads the files that a target has written into a folder: JSON Lines or Parquet."""

from __future__ import annotations

import gzip
import importlib
import re
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.exceptions import FatalSyncError

from tap_drift.verify.columns import TableLoader, simplified
from tap_drift.verify.extraction import Extraction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from tap_drift.verify.fields import Shape
    from tap_drift.verify.store import Store

_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = ".parquet"

_DECODER = msgspec.json.Decoder(dict[str, Any])


def read_folder(
    folder: Path, store: Store, lookback: timedelta, on_progress: Callable[[int], None]
) -> Extraction:
    """Store all records of the files that are named after streams.

    A name is that of the stream, or of its folder, and may continue after a separator:
    `messages.jsonl`, `messages-20260102T030405.jsonl`, `messages/1.parquet`. Of several versions of
    a record, the last one of the last file by name counts.

    Raises:
        FatalSyncError: If a file cannot be read, or no file is named after a stream.
    """
    extraction = Extraction(is_loaded=True)
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith((*_JSON_LINES, _PARQUET)):
            stream = _stream_of(path.relative_to(folder), store.primary_keys)
            if stream:
                files.setdefault(stream, []).append(path)
            else:
                extraction.other_files.append(str(path.relative_to(folder)))
    if not files:
        raise FatalSyncError(
            f"No file in {folder} is named after a stream of tap-drift, such as "
            "`conversations.jsonl` or `conversations.parquet`."
        )
    for stream, paths in files.items():
        loader = TableLoader(store, extraction, stream, lookback)
        is_parquet = {path.name.lower().endswith(_PARQUET) for path in paths}
        if len(is_parquet) > 1:
            raise FatalSyncError(f"{folder} has JSON Lines and Parquet files of `{stream}`.")
        rows = _read_parquet if is_parquet == {True} else _read_json_lines
        for _ in rows(paths, loader):
            on_progress(extraction.record_count)
    return extraction


def _stream_of(path: Path, streams: Iterable[str]) -> str | None:
    """Return the stream that a file or its folder is named after: the one with the longest name."""
    words = [re.split(r"[^A-Za-z0-9_]", part)[0] for part in path.parts]
    names = {simplified(word) for word in words}
    starts = tuple(word.lower() for word in words)
    found = [
        stream
        for stream in streams
        if simplified(stream) in names or any(re.match(rf"{stream}_?\d", each) for each in starts)
    ]
    return max(found, key=len, default=None)


def _read_json_lines(paths: list[Path], loader: TableLoader) -> Iterator[None]:
    names: dict[str, None] = {}
    for path in paths:
        for record in _decode_lines(path):
            names.update(dict.fromkeys(record))
    if names:
        columns = loader.prepare(names, has_others=True)
    for path in paths:
        for record in _decode_lines(path):
            loader.add(columns, record)
            yield


def _decode_lines(path: Path) -> Iterator[dict[str, Any]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield _DECODER.decode(line)
            except ValueError:
                raise FatalSyncError(f"Line {number:,} of {path} is not a JSON object.") from None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _read_parquet(paths: list[Path], loader: TableLoader) -> Iterator[None]:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise FatalSyncError(
            "Parquet files need the package `pyarrow`: pip install 'tap-drift[verify]'."
        ) from None
    try:
        schemas = [parquet.read_schema(path) for path in paths]
        shared = pyarrow.unify_schemas(schemas, promote_options="permissive")
        members = {field.name: _members(field.type) for field in shared}
        columns = loader.prepare(members, members)
        for path in paths:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1000):
                    for row in _without_nanoseconds(batch, pyarrow).to_pylist():
                        loader.add(columns, row)
                        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise FatalSyncError(f"Could not read the Parquet files: {error}") from None


def _members(kind: Any) -> Shape:  # noqa: ANN401 - pyarrow has no type hints
    """Return the members that values of an Arrow type can have."""
    if hasattr(kind, "value_type") and not hasattr(kind, "key_type"):
        return _members(kind.value_type)
    if hasattr(kind, "field") and hasattr(kind, "num_fields") and kind.num_fields:
        return {field.name: _members(field.type) for field in kind}
    return None


def _without_nanoseconds(batch: Any, pyarrow: Any) -> Any:  # noqa: ANN401 - no type hints
    """Convert times with nanoseconds, which Python's do not have, to microseconds."""
    fields = [
        field.with_type(pyarrow.timestamp("us", field.type.tz))
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    return batch.cast(pyarrow.schema(fields), safe=False)
