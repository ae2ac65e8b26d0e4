"""Compare whole pipelines into DuckDB: `uv run benchmarks/pipelines.py`.

Each loads the conversations of the same server into a new database, upserting by id. The pipelines
take turns, and the figures are medians; CPU is that of all their processes. The number of rows in
the database is checked. Other programs are installed into temporary environments.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import yaml
from run import BENCHMARKS, create_environment, listing_server, measure, print_platform

ROOT = BENCHMARKS.parent
SOURCE = Path(sys.executable).with_name("source-drift")
LOADER: dict[str, Any] = next(
    loader
    for loader in yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["loaders"]
    if loader["name"] == "target-duckdb"
)
DLT = ["dlt[duckdb,parquet]~=1.31.0"]
PYAIRBYTE = ["airbyte~=0.71.3"]


class Pipeline(NamedTuple):
    """A pipeline: what it installs, and how it is run."""

    requirements: list[str]
    program: str
    """Program in `benchmarks/`; empty for the tap."""

    option: Any
    """Its last argument; for the tap, settings of target-duckdb beside those of meltano.yml."""


PIPELINES = {
    **{
        f"tap-drift and target-duckdb, batches of {size:,}": Pipeline(
            LOADER["pip_url"].split(), "", {"batch_size_rows": size}
        )
        for size in (5_000, 100_000)
    },
    "dlt `rest_api`, loading Parquet": Pipeline(DLT, "dlt_pipeline", "parquet"),
    "dlt `rest_api`, default": Pipeline(DLT, "dlt_pipeline", "default"),
    "PyAirbyte and source-drift": Pipeline(PYAIRBYTE, "pyairbyte_pipeline", ""),
}


def command(pipeline: Pipeline, python: str, folder: Path) -> list[str]:
    """Return the command that loads into a database in a folder."""
    database = str(folder / "account.duckdb")
    if pipeline.program == "dlt_pipeline":
        return [python, str(BENCHMARKS / "dlt_pipeline.py"), database, pipeline.option]
    if pipeline.program:
        return [python, str(BENCHMARKS / f"{pipeline.program}.py"), str(SOURCE), str(folder)]
    config = folder / "target.json"
    config.write_text(json.dumps(LOADER["config"] | pipeline.option | {"filepath": database}))
    tap = shlex.join([sys.executable, "-m", "tap_drift", "--config=ENV"])
    target = shlex.join([str(Path(python).with_name("target-duckdb")), "--config", str(config)])
    return ["bash", "-o", "pipefail", "-c", f"{tap} | {target}"]


def count_rows(folder: Path) -> int:
    """Return the number of conversations in the database in a folder."""
    [path] = folder.rglob("*.duckdb")
    with duckdb.connect(str(path), read_only=True) as database:
        tables = database.execute(
            "SELECT schema_name FROM duckdb_tables() WHERE table_name = 'conversations' "
            "AND schema_name NOT LIKE '%staging'"
        )
        [(schema,)] = tables.fetchall()
        found = database.execute(f'SELECT count(*) FROM "{schema}".conversations')  # noqa: S608 - read from the database
        [(count,)] = found.fetchall()
    return int(count)


def main() -> None:
    """Run the pipelines in turns, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument(
        "--only", default="", help="parts of the names of pipelines, separated by commas"
    )
    options = parser.parse_args()
    only = options.only.split(",")
    pipelines = {name: each for name, each in PIPELINES.items() if any(p in name for p in only)}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in pipelines}
    print_platform()
    with (
        tempfile.TemporaryDirectory() as environments,
        listing_server(options.conversations) as url,
    ):
        pythons = {
            name: create_environment(Path(environments, str(number)), pipeline.requirements)
            for number, (name, pipeline) in enumerate(pipelines.items())
        }
        for _ in range(options.rounds):
            for name, pipeline in pipelines.items():
                with tempfile.TemporaryDirectory() as folder:
                    line = command(pipeline, pythons[name], Path(folder))
                    # PyAirbyte requests no registry and sends no telemetry.
                    cost = measure(line, url, AIRBYTE_OFFLINE_MODE="1", AIRBYTE_LOGGING_ROOT=folder)
                    assert count_rows(Path(folder)) == options.conversations
                costs[name].append((cost.wall, cost.cpu))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"load average at the end: {load}\n")
    print("| | wall s | CPU s |\n|---|---:|---:|")
    for name, runs in costs.items():
        wall, cpu = (statistics.median(figures) for figures in zip(*runs, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
