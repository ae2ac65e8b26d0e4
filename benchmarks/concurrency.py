"""Compare concurrent requests with other programs: `uv run benchmarks/concurrency.py`.

All programs read conversations and the messages of each from a sandbox that answers after 50 ms, or
100 ms with a rate limit.
Each run has a new process and a new sandbox, whose links point to itself because the other programs
follow links. `ideal` is requests x latency / concurrency. `wall` includes the start of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from run import BENCHMARKS, LABELS, REQUIREMENTS, Cost, build_commands, measure, print_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("tap", "threads_loop", "dlt_source", "airbyte_source")
LATENCY, RATE_LIMITED_LATENCY = 0.05, 0.1  # seconds
RATE_LIMIT = 20  # requests per second
WARM_UP = 10  # seconds in which a program adapts to the rate limit; not counted


class SandboxUsage(NamedTuple):
    """Figures that a sandbox reports when it stops."""

    cpu: float
    """CPU seconds."""

    answered_at: tuple[float, ...]
    """Time of each answer in seconds, 429 included."""

    throttled: list[bool]
    """For each answer, whether its status was 429."""


@contextmanager
def sandbox(
    conversations: int, latency: float, *options: str
) -> Iterator[tuple[str, list[SandboxUsage]]]:
    """Start a sandbox; yields its URL and a list that gets its usage at the end."""
    script = str(BENCHMARKS / "sandbox_server.py")
    command = [sys.executable, script, str(conversations), str(latency), *options]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    usage: list[SandboxUsage] = []
    with subprocess.Popen(command, **pipes) as server:
        assert server.stdout
        yield server.stdout.readline().strip(), usage
        report = json.loads(server.communicate()[0])
    times, statuses = zip(*report["answers"], strict=True)
    throttled = [status == HTTPStatus.TOO_MANY_REQUESTS for status in statuses]
    usage.append(SandboxUsage(report["cpu"], times, throttled))


def run_once(
    command: list[str],
    concurrency: int,
    conversations: int,
    *sandbox_options: str,
    latency: float = LATENCY,
) -> tuple[Cost, SandboxUsage]:
    """Run a program once, with a new sandbox."""
    with sandbox(conversations, latency, *sandbox_options) as (url, usage):
        cost = measure(command, url, TAP_DRIFT_CONCURRENCY=str(concurrency))
    return cost, usage[0]


def print_unlimited(commands: dict[str, list[str]], conversations: int, rounds: int) -> None:
    """Print the wall time of each program compared with the ideal for its concurrency."""
    print(f"\n{conversations:,} conversations with messages, 50 ms, medians of {rounds}\n")
    print(
        "| | at once | requests | ideal s | wall s | wall ÷ ideal | CPU s | server's | peak MiB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for concurrency in (1, 4, 8, 32):
        for name, command in commands.items():
            if name in REQUIREMENTS and concurrency not in {8, 32}:
                continue
            runs = [run_once(command, concurrency, conversations) for _ in range(rounds)]
            cpu, wall, peak = map(statistics.median, zip(*(cost for cost, _ in runs), strict=True))
            server_cpu = statistics.median(usage.cpu for _, usage in runs)
            requests = len(runs[0][1].answered_at)
            ideal = requests * LATENCY / concurrency
            print(
                f"| {LABELS[name]} | {concurrency} | {requests:,} | {ideal:.2f} | {wall:.2f} "
                f"| {wall / ideal:.2f} | {cpu:.2f} | {server_cpu:.2f} | {peak:.1f} |",
                flush=True,
            )


def print_rate_limited(commands: dict[str, list[str]], conversations: int) -> None:
    """Print how much of an unannounced rate limit each program uses, and its share of 429s."""
    print(
        f"\n{conversations:,} conversations with messages, 100 ms, {RATE_LIMIT} requests a second "
        f"and 429 beyond; without the first {WARM_UP} seconds\n"
    )
    print("| | at once | `Retry-After` | accepted, of the rate | refused | wall s |")
    print("|---|---:|---|---:|---:|---:|")
    for concurrency, retry_after in product((8, 16), (False, True)):
        sandbox_options = ["--rate-limit", str(RATE_LIMIT)]
        if retry_after:
            sandbox_options.append("--retry-after")
        for name, command in commands.items():
            if name == "threads_loop":
                continue  # it does not retry
            row = f"| {LABELS[name]} | {concurrency} | {'yes' if retry_after else 'no'} |"
            try:
                cost, usage = run_once(
                    command,
                    concurrency,
                    conversations,
                    *sandbox_options,
                    latency=RATE_LIMITED_LATENCY,
                )
            except SystemExit:
                print(f"{row} gave up | | |")
                continue
            accepted, refused = _rates_after_warm_up(usage)
            print(f"{row} {accepted:.1%} | {refused:.1%} | {cost.wall:.1f} |", flush=True)


def _rates_after_warm_up(usage: SandboxUsage) -> tuple[float, float]:
    """Return the accepted rate as a share of RATE_LIMIT, and the share of answers with 429."""
    begin, end = usage.answered_at[0] + WARM_UP, usage.answered_at[-1]
    answers = zip(usage.answered_at, usage.throttled, strict=True)
    throttled = [is_throttled for time, is_throttled in answers if time >= begin]
    accepted = throttled.count(False) / (end - begin) / RATE_LIMIT
    return accepted, sum(throttled) / len(throttled)


def write_catalog(tap: list[str], path: Path) -> None:
    """Write a Singer catalog that selects conversations and messages."""
    environment = os.environ | {"TAP_DRIFT_ACCESS_TOKEN": "token"}
    discovery = subprocess.run(
        [*tap, "--discover"], env=environment, capture_output=True, check=True
    )
    streams: list[dict[str, Any]] = json.loads(discovery.stdout)["streams"]
    for stream in streams:
        root = next(entry for entry in stream["metadata"] if not entry["breadcrumb"])
        root["metadata"]["selected"] = stream["stream"] in {"conversations", "messages"}
    path.write_text(json.dumps({"streams": streams}))


def main() -> None:
    """Run all benchmarks and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument(
        "--conversations",
        type=int,
        default=2000,
        help="conversations without a rate limit; 0 skips these runs",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs of each program without a rate limit"
    )
    parser.add_argument(
        "--limited",
        type=int,
        default=1500,
        help="conversations with a rate limit; 0 skips these runs",
    )
    options = parser.parse_args()
    print_platform()
    with tempfile.TemporaryDirectory() as folder:
        commands = build_commands(Path(folder), options.programs)
        if "tap" in commands:
            catalog = Path(folder, "catalog.json")
            write_catalog(commands["tap"], catalog)
            commands["tap"] += ["--catalog", str(catalog)]
        if options.conversations:
            print_unlimited(commands, options.conversations, options.rounds)
        if options.limited:
            print_rate_limited(commands, options.limited)


if __name__ == "__main__":
    main()
