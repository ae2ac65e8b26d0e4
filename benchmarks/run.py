"""Compare the cost of a run with other programs: `uv run benchmarks/run.py`.

All programs read the same listing from the same server on loopback. Each run is a separate process,
the programs take turns, and the figures are medians: CPU is user plus system time, memory is the
peak resident set size. The other libraries are installed into temporary environments.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BENCHMARKS = Path(__file__).parent
REQUIREMENTS = {
    "dlt_source": ["dlt~=1.31.0"],
    "airbyte_source": ["airbyte-cdk~=7.39.1"],
}
"""Packages of the programs that need a separate environment."""

LABELS = {
    "tap": "tap-drift",
    "sdk_defaults": "(a) the same stream on the SDK's defaults",
    "plain_loop": "(b) requests and json, a loop, rows printed",
    "bare_limit": "(c) urllib3 and msgspec, a loop, rows printed",
    "dlt_source": "(d) dlt `rest_api`, extracting only",
    "airbyte_source": "(e) airbyte-cdk, declarative",
    "threads_loop": "(f) requests in threads, a loop, rows printed",
}


_PYTHON_SETTINGS = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
"""Variables that change the cost of a program: development containers often set them."""

LISTING_PAGES, LISTING_LATENCY = 200, 0.05  # seconds


class Cost(NamedTuple):
    """The resources that a run used: CPU seconds, wall seconds, peak memory in MiB."""

    cpu: float
    wall: float
    peak: float


@contextmanager
def listing_server(conversations: int, latency: float = 0.0) -> Iterator[str]:
    """Start a listing server with a latency in seconds; yields its URL."""
    script = str(BENCHMARKS / "listing_server.py")
    command = [sys.executable, script, str(conversations), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        server.kill()


def build_commands(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the command of each program; creates the environments in `folder`."""
    commands = {}
    for name in names:
        python = sys.executable
        if name in REQUIREMENTS:
            python = create_environment(folder / name, REQUIREMENTS[name])
        commands[name] = [python, str(BENCHMARKS / f"{name}.py")]
        if name == "tap":
            commands[name] = [python, "-m", "tap_drift", "--config=ENV"]
    return commands


def create_environment(path: Path, requirements: list[str]) -> str:
    """Create a virtual environment; returns the path of its Python."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    python = str(path / "bin" / "python")
    install = [uv, "pip", "install", "-q", "--compile-bytecode", "-p", python]
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, path], check=True)
    subprocess.run([*install, *requirements], check=True)
    return python


def _environment(url: str, **settings: str) -> dict[str, str]:
    """Return the environment of a program, which buffers its output and compiles its modules."""
    inherited = {name: value for name, value in os.environ.items() if name not in _PYTHON_SETTINGS}
    server = {"TAP_DRIFT_API_URL": url, "TAP_DRIFT_ACCESS_TOKEN": "token"}
    return inherited | server | settings


def measure(command: list[str], url: str, **settings: str) -> Cost:
    """Run a program once; exits if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=_environment(url, **settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{command} failed")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def print_comparison(commands: dict[str, list[str]], conversations: int, rounds: int) -> None:
    """Print the median cost of each program."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    with listing_server(100) as url:
        for command in commands.values():
            measure(command, url)  # compiles its modules
    with listing_server(conversations) as url:
        for _ in range(rounds):
            for name, command in commands.items():
                costs[name].append(measure(command, url))
    medians = {
        name: Cost(*(statistics.median(figures) for figures in zip(*runs, strict=True)))
        for name, runs in costs.items()
    }
    tap = medians["tap"]
    print(f"\n{conversations:,} conversations, no latency, medians of {rounds}\n")
    print("| | CPU s | tap-drift ÷ this | wall s | peak MiB |")
    print("|---|---:|---:|---:|---:|")
    for name, cost in medians.items():
        print(
            f"| {LABELS[name]} | {cost.cpu:.2f} | {tap.cpu / cost.cpu:.2f} "
            f"| {cost.wall:.2f} | {cost.peak:.1f} |"
        )


def print_memory(tap: list[str]) -> None:
    """Print the peak memory for a small and a large account."""
    peaks = {}
    for conversations in (10_000, 1_000_000):
        with listing_server(conversations) as url:
            peaks[conversations] = measure(tap, url).peak
    small, large = peaks.values()
    print(f"\nPeak memory: {small:.1f} MiB at 10,000, {large:.1f} MiB at 1,000,000")


def print_startup_time(tap: list[str]) -> None:
    """Print the time to the first record, and the time of `--version`."""
    with listing_server(100) as url:
        first_record = statistics.median(_time_to_first_record(tap, url) for _ in range(5))
    version = statistics.median(_time_of_version(tap) for _ in range(5))
    print(f"\nFrom start to first RECORD {first_record:.2f} s; `--version` {version:.2f} s")


def _time_to_first_record(tap: list[str], url: str) -> float:
    start = time.perf_counter()
    with subprocess.Popen(
        tap,
        env=_environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        next(line for line in process.stdout if '"RECORD"' in line)
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def _time_of_version(tap: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([*tap[:3], "--version"], capture_output=True, check=True)
    return time.perf_counter() - start


def print_latency_overhead(tap: list[str], rounds: int = 3) -> None:
    """Print the wall time of a run, start-up included, compared with the latency of its pages."""
    with listing_server(100 * LISTING_PAGES, LISTING_LATENCY) as url:
        walls = [measure(tap, url).wall for _ in range(rounds)]
    median, ideal = statistics.median(walls), LISTING_PAGES * LISTING_LATENCY
    print(
        f"\n{LISTING_PAGES} pages at {1000 * LISTING_LATENCY:.0f} ms, {rounds} runs: "
        f"median {median:.2f} s, best {min(walls):.2f} s; pages x latency {ideal:.2f} s"
    )


def print_platform() -> None:
    """Print the date, the machine and the Python version."""
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def main() -> None:
    """Run all benchmarks and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="runs of each program with 100,000 conversations"
    )
    parser.add_argument(
        "--large-rounds",
        type=int,
        default=1,
        help="runs of each program with 1,000,000 conversations; 0 skips them",
    )
    options = parser.parse_args()
    print_platform()
    with tempfile.TemporaryDirectory() as folder:
        commands = build_commands(Path(folder), [each for each in LABELS if each != "threads_loop"])
        print_comparison(commands, 100_000, options.rounds)
        if options.large_rounds:
            print_comparison(commands, 1_000_000, options.large_rounds)
    print_memory(commands["tap"])
    print_startup_time(commands["tap"])
    print_latency_overhead(commands["tap"])


if __name__ == "__main__":
    main()
