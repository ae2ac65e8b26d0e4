"""What a run costs, beside what others cost: `uv run benchmarks/run.py`.

Every program reads the same listing from the same server on loopback, each in a process of its own,
in turns; the figures are medians. CPU is user and system time; memory is the peak of the process.
The rivals get environments of their own, in a temporary folder.
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
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
ENVIRONMENTS = {
    "dlt_source": ["dlt~=1.31.0"],
    "airbyte_source": ["airbyte-cdk~=7.39.1"],
}
NAMES = {
    "tap": "tap-drift",
    "sdk_defaults": "(a) the same stream on the SDK's defaults",
    "plain_loop": "(b) requests and json, a loop, rows printed",
    "bare_limit": "(c) urllib3 and msgspec, a loop, rows printed",
    "dlt_source": "(d) dlt `rest_api`, extracting only",
    "airbyte_source": "(e) airbyte-cdk, declarative",
}


class Cost(NamedTuple):
    """What one run of a program cost."""

    cpu: float
    wall: float
    peak: float


@contextmanager
def listing(conversations: int, latency: float = 0.0) -> Iterator[str]:
    """A server with so many conversations, that takes so many seconds to answer; its URL."""
    command = [sys.executable, str(HERE / "server.py"), str(conversations), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        server.kill()


def commands(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """The command of each program, to be given the URL; makes the environments they need."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    made = {}
    for name in names:
        python = sys.executable
        if name in ENVIRONMENTS:
            subprocess.run([uv, "venv", "-q", "-p", sys.executable, folder / name], check=True)
            python = str(folder / name / "bin" / "python")
            install = [uv, "pip", "install", "-q", "--compile-bytecode", "-p", python]
            subprocess.run([*install, *ENVIRONMENTS[name]], check=True)
        made[name] = [python, str(HERE / f"{name}.py")]
        if name == "tap":
            made[name] = [python, "-m", "tap_drift", "--config=ENV"]
    return made


def measure(command: list[str], url: str, **settings: str) -> Cost:
    """Run a program once."""
    environment = os.environ | {"TAP_DRIFT_API_URL": url, "TAP_DRIFT_ACCESS_TOKEN": "token"}
    environment |= settings
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"{command} failed")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def compare(programs: dict[str, list[str]], conversations: int, rounds: int) -> None:
    """Print what each program costs for so many conversations."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    with listing(conversations) as url:
        for _ in range(rounds):
            for name, command in programs.items():
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
            f"| {NAMES[name]} | {cost.cpu:.2f} | {tap.cpu / cost.cpu:.2f} "
            f"| {cost.wall:.2f} | {cost.peak:.1f} |"
        )


def memory(tap: list[str]) -> None:
    """Print how the peak grows with the account."""
    peaks = {}
    for conversations in (10_000, 1_000_000):
        with listing(conversations) as url:
            peaks[conversations] = measure(tap, url).peak
    small, large = peaks.values()
    print(f"\nPeak memory: {small:.1f} MiB at 10,000, {large:.1f} MiB at 1,000,000")


def first_record(tap: list[str]) -> None:
    """Print how long the first record takes, beside `--version`."""
    first, version = [], []
    with listing(100) as url:
        environment = os.environ | {"TAP_DRIFT_API_URL": url, "TAP_DRIFT_ACCESS_TOKEN": "token"}
        for _ in range(5):
            began = time.perf_counter()
            with subprocess.Popen(
                tap, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                assert process.stdout
                next(line for line in process.stdout if '"RECORD"' in line)
                first.append(time.perf_counter() - began)
                process.stdout.read()
            began = time.perf_counter()
            subprocess.run([*tap[:3], "--version"], capture_output=True, check=True)
            version.append(time.perf_counter() - began)
    print(
        f"\nFrom start to first RECORD {statistics.median(first):.2f} s; "
        f"`--version` {statistics.median(version):.2f} s"
    )


def latency(tap: list[str], pages: int) -> None:
    """Print how much a run adds to the time that its pages take."""
    with listing(100 * pages, latency=0.1) as url:
        wall = measure(tap, url).wall
    added = wall / (0.1 * pages) - 1
    print(f"\n{pages} pages at 100 ms: {wall:.1f} s, {added:.1%} more than pages x latency")


def main() -> None:
    """Run all of it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of 100,000 conversations")
    parser.add_argument("--large-rounds", type=int, default=1, help="of 1,000,000 conversations")
    options = parser.parse_args()
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        programs = commands(Path(folder), NAMES)
        compare(programs, 100_000, options.rounds)
        if options.large_rounds:
            compare(programs, 1_000_000, options.large_rounds)
    memory(programs["tap"])
    first_record(programs["tap"])
    latency(programs["tap"], pages=300)


if __name__ == "__main__":
    main()
