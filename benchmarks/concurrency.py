"""Several requests at a time, beside others: `uv run benchmarks/concurrency.py`.

Every program reads conversations, and the messages of each, from a sandbox whose answers take
100 ms, in a process of its own; its links lead back to it, since the rivals follow them. `ideal` is
requests x latency / concurrency; the wall is that of the whole process, its start included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import datetime, timezone
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from run import HERE, NAMES, Cost, commands, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("tap", "dlt_source", "airbyte_source")
LATENCY = 0.1  # seconds
RATE = 20  # requests a second
LEARNING = 10  # seconds


class Usage(NamedTuple):
    """How the sandbox was used."""

    cpu: float
    times: tuple[float, ...]
    """When it answered; refusals included."""

    refused: list[bool]
    """Whether each of these answers was a 429."""


@contextmanager
def sandbox(conversations: int, *options: str) -> Iterator[tuple[str, list[Usage]]]:
    """A sandbox; its URL and, afterwards, how it was used."""
    command = [sys.executable, str(HERE / "sandbox_server.py"), str(conversations), str(LATENCY)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    usage: list[Usage] = []
    with subprocess.Popen([*command, *options], **pipes) as server:
        assert server.stdout
        yield server.stdout.readline().strip(), usage
        said = json.loads(server.communicate()[0])
    times, statuses = zip(*said["answers"], strict=True)
    refused = [status == HTTPStatus.TOO_MANY_REQUESTS for status in statuses]
    usage.append(Usage(said["cpu"], times, refused))


def run(
    command: list[str], concurrency: int, conversations: int, *options: str
) -> tuple[Cost, Usage]:
    """Run a program once, against a sandbox of its own."""
    with sandbox(conversations, *options) as (url, usage):
        cost = measure(command, url, TAP_DRIFT_CONCURRENCY=str(concurrency))
    return cost, usage[0]


def at_once(programs: dict[str, list[str]], conversations: int, rounds: int) -> None:
    """Print how near each program comes to what its concurrency allows."""
    print(f"\n{conversations:,} conversations with messages, 100 ms, medians of {rounds}\n")
    print(
        "| | at once | requests | ideal s | wall s | wall ÷ ideal | CPU s | server's | peak MiB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for concurrency in (4, 8, 16, 32):
        for name, command in programs.items():
            if name != "tap" and concurrency not in {8, 16}:
                continue
            runs = [run(command, concurrency, conversations) for _ in range(rounds)]
            cpu, wall, peak = map(statistics.median, zip(*(cost for cost, _ in runs), strict=True))
            served = statistics.median(used.cpu for _, used in runs)
            requests = len(runs[0][1].times)
            ideal = requests * LATENCY / concurrency
            print(
                f"| {NAMES[name]} | {concurrency} | {requests:,} | {ideal:.2f} | {wall:.2f} "
                f"| {wall / ideal:.2f} | {cpu:.2f} | {served:.2f} | {peak:.1f} |",
                flush=True,
            )


def limited(programs: dict[str, list[str]], conversations: int) -> None:
    """Print how well each program keeps to a rate that it is not told."""
    print(
        f"\n{conversations:,} conversations with messages, 100 ms, {RATE} requests a second and "
        f"429 beyond; without the first {LEARNING} seconds\n"
    )
    print("| | at once | `Retry-After` | accepted, of the rate | refused | wall s |")
    print("|---|---:|---|---:|---:|---:|")
    for concurrency, told in product((8, 16), (False, True)):
        options = ["--rate-limit", str(RATE), *(["--retry-after"] if told else [])]
        for name, command in programs.items():
            row = f"| {NAMES[name]} | {concurrency} | {'yes' if told else 'no'} |"
            try:
                cost, used = run(command, concurrency, conversations, *options)
            except SystemExit:
                print(
                    f"| {NAMES[name]} | {concurrency} | {'yes' if told else 'no'} | gave up | | |"
                )
                continue
            begin, end = used.times[0] + LEARNING, used.times[-1]
            late = [no for at, no in zip(used.times, used.refused, strict=True) if at >= begin]
            accepted = late.count(False) / (end - begin) / RATE
            print(
                f"{row} {accepted:.1%} | {sum(late) / len(late):.1%} | {cost.wall:.1f} |",
                flush=True,
            )


def catalog(tap: list[str], path: Path) -> None:
    """Have the tap read conversations and messages."""
    environment = os.environ | {"TAP_DRIFT_ACCESS_TOKEN": "token"}
    found = subprocess.run([*tap, "--discover"], env=environment, capture_output=True, check=True)
    streams: list[dict[str, Any]] = json.loads(found.stdout)["streams"]
    for stream in streams:
        root = next(each for each in stream["metadata"] if not each["breadcrumb"])
        root["metadata"]["selected"] = stream["stream"] in {"conversations", "messages"}
    path.write_text(json.dumps({"streams": streams}))


def main() -> None:
    """Run all of it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="without a limit")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--conversations", type=int, default=2000, help="without a limit")
    parser.add_argument("--limited", type=int, default=1500, help="conversations, with a limit")
    options = parser.parse_args()
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        programs = commands(Path(folder), options.programs)
        if "tap" in programs:
            catalog(programs["tap"], Path(folder, "catalog.json"))
            programs["tap"] += ["--catalog", str(Path(folder, "catalog.json"))]
        if options.conversations:
            at_once(programs, options.conversations, options.rounds)
        if options.limited:
            limited(programs, options.limited)


if __name__ == "__main__":
    main()
