"""Soak test: `uv run benchmarks/soak.py --chains 100 --seed 1`.

A chain is an account that changes, a server that misbehaves in all known ways, and several runs of
the tap, each killed in another way, from the last state that the target has committed. Then the
server is mended, except for items that fail for ever, and two quiet runs follow. After them the
target must have all rows but those of the failing items, and the state must list exactly these.

The tap runs as a process of its own, with short waits (impatient_tap.py). Prints figures; exits
with 1 and the command that repeats the chain if anything is wrong. The choices of a chain are
repeatable, but not which thread of the tap meets them first. Peak memory is read from /proc.
"""

from __future__ import annotations

import argparse
import operator
import random
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fake_drift import random_updates
from fake_target import FULL_TABLES, WALK_STREAMS, FakeTarget
from run import print_platform
from runs import catalog, catalog_entry
from soak_process import LONGEST_RUN, Run, TapProcess
from soak_server import ITEM_PATHS, SoakServer

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = (*WALK_STREAMS, *FULL_TABLES)
LONGEST_EXIT = 4.0
"""Seconds that a signal may take; the tap gives a blocked standard output one of them."""

KILLS = {
    "not killed": 3,
    "SIGKILL": 4,
    "SIGTERM": 3,
    "SIGINT": 2,
    "target dies": 3,
    "target is slow": 2,
    "target reads nothing, SIGTERM": 2,
    "target reads nothing, SIGINT twice": 1,
}
"""Ways in which a run ends, with weights."""


@dataclass
class Figures:
    """What is counted; `add` sums it over chains."""

    chains: int = 0
    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    records: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    recovered: int = 0
    missing: int = 0
    mismatches: int = 0
    longest_run: float = 0.0
    longest_exit: float = 0.0
    peak_memory: int = 0
    """KiB."""

    def add(self, other: Figures) -> None:
        """Add the figures of a chain."""
        for name, value in vars(other).items():
            combine = max if name in _MAXIMA else operator.add
            setattr(self, name, combine(getattr(self, name), value))

    def lines(self) -> Iterator[str]:
        """Describe the figures."""
        yield f"chains {self.chains}, runs {self.runs:,}, requests {self.requests:,}"
        yield "ends of runs: " + _describe(self.ends)
        yield f"faults {self.faults.total():,}: " + _describe(self.faults)
        yield f"items failed {self.failed:,}, of these read later {self.recovered:,}"
        yield f"records {self.records:,}, rows missing {self.missing}"
        yield f"differences between the state's list and the failing items {self.mismatches}"
        yield (
            f"longest run {self.longest_run:.1f} s, from signal to exit {self.longest_exit:.1f} s, "
            f"peak memory {self.peak_memory / 1024:.1f} MiB"
        )


_MAXIMA = {"longest_run", "longest_exit", "peak_memory"}


def _describe(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common())


@dataclass
class Outcome:
    """What a chain has shown."""

    figures: Figures = field(default_factory=Figures)
    history: list[str] = field(default_factory=list)
    """A description of each run, with its warnings and errors."""

    problems: list[str] = field(default_factory=list)


class Chain:
    """A chain of runs."""

    def __init__(self, seed: int, number: int) -> None:
        self.outcome = Outcome()
        self._rng = random.Random(f"{seed}/{number}")  # noqa: S311 - choices, not secrets
        self._figures = self.outcome.figures
        self._target = FakeTarget()
        self._listed: set[tuple[str, int]] = set()
        account = Account.from_seed(self._rng.randint(20, 70), self._rng.randrange(10**6))
        self._server = SoakServer(account, self._rng)
        self._update = random_updates(self._server, self._rng.randrange(10**6), [0] * 15 + [1])

    def run(self) -> None:
        """Run the tap several times, and compare."""
        with self._server:
            for _ in range(self._rng.randint(2, 5)):
                self._server.start_run()
                kill = self._rng.choices([*KILLS], [*KILLS.values()])[0]
                self._run(kill, self._random_catalog())
            self._server.mend()
            for _ in range(2):
                allowed = self._rng.choice([0, 3, 100])
                run = self._run("quiet", catalog(*STREAMS, "failed_items"), allowed)
            self._check(run, allowed)
        self._figures.chains += 1
        self._figures.requests += len(self._server.requests)
        self._figures.faults += self._server.fault_counts

    def _run(self, kill: str, selected: dict[str, Any], max_failed_items: int = 0) -> Run:
        process = TapProcess(
            self._server,
            self._target.state,
            selected,
            concurrency=self._rng.choice([1, 2, 8, 16]),
            page_size=self._rng.choice([1, 3, 10, 25, 100]),
            max_failed_items=max_failed_items,
        )
        self._server.on_request = self._on_request(process, kill)
        run = process.finish(kill, self._rng)
        self._server.on_request = None
        messages = [m for m in run.messages if m.get("stream") != "failed_items"]
        self._target.load(messages)
        self._listed |= set(_failed_items(self._target.state))
        self._note(run, kill)
        return run

    def _on_request(self, process: TapProcess, kill: str) -> Any:
        first = len(self._server.requests)
        signalled_at = first + int(self._rng.choice([10, 60, 200]) * self._rng.random()) + 1
        delay = 0.1 * self._rng.random()

        def on_request(number: int) -> None:
            process.on_request()
            if kill == "quiet":
                return
            self._update(number)
            if number % 100 == 0:
                self._server.add_conversation()
            if number == signalled_at and kill in signal.Signals.__members__:
                threading.Timer(delay, process.send_signals, [signal.Signals[kill]]).start()

        return on_request

    def _random_catalog(self) -> dict[str, Any]:
        names = self._rng.sample(STREAMS, self._rng.randint(1, len(STREAMS)))
        selected = catalog(*names)
        if self._rng.random() < 0.1:  # noqa: PLR2004 - a share of the runs
            for name in names:
                catalog_entry(selected, name)["replication_method"] = "FULL_TABLE"
        return selected

    def _note(self, run: Run, kill: str) -> None:
        figures = self._figures
        figures.runs += 1
        warnings = [line for line in run.errors.splitlines() if "| INFO" not in line]
        summary = f"run {figures.runs}: {kill}, exit code {run.status}, {run.seconds:.1f} s"
        self.outcome.history.append("\n    ".join([summary, *warnings]))
        is_dead = run.exit_seconds is not None or kill.startswith("target") or kill == "quiet"
        figures.ends[kill if is_dead else "not killed"] += 1
        figures.records += sum(message["type"] == "RECORD" for message in run.messages)
        figures.longest_run = max(figures.longest_run, run.seconds)
        figures.longest_exit = max(figures.longest_exit, run.exit_seconds or 0.0)
        figures.peak_memory = max(figures.peak_memory, run.peak)
        if run.seconds > LONGEST_RUN or (run.exit_seconds or 0.0) > LONGEST_EXIT:
            self._complain(f"{kill}: took {run.seconds:.1f} s, exit {run.exit_seconds} s")
        if "Traceback" in run.errors or "Unexpected" in run.errors:
            self._complain(f"{kill}: an error without a message")
        signals = {128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGKILL}
        if run.status not in ({0, 1} if run.exit_seconds is None else {0, 1, *signals}):
            self._complain(f"{kill}: exit code {run.status}")

    def _check(self, run: Run, allowed: int) -> None:
        """Compare target, state and exit code with the account, after the last run."""
        failing = {(name, item) for name, items in self._server.failing.items() for item in items}
        rows = self._target.missing(self._server, *STREAMS)
        missing = {
            row for row in rows if (row[0], row[2 if row[0] == "messages" else 1]) not in failing
        }
        listed = set(_failed_items(self._target.state))
        records = {
            (message["record"]["stream"], message["record"]["id"])
            for message in run.messages
            if message.get("stream") == "failed_items"
            and message["type"] == "RECORD"
            and message["record"]["resolvedAt"] is None
        }
        self._figures.missing += len(missing)
        self._figures.mismatches += len(listed ^ failing)
        self._figures.failed += len(self._listed)
        self._figures.recovered += len(self._listed - listed)
        if missing:
            self._complain(f"{len(missing)} rows differ: {sorted(missing, key=str)[:5]}")
        if listed != failing:
            self._complain(f"list and failing items differ: {sorted(listed ^ failing)}")
        if records != failing:
            self._complain(f"`failed_items` and failing items differ: {records ^ failing}")
        if run.status != int(len(failing) > allowed):
            self._complain(f"exit code {run.status}, {len(failing)} failing of {allowed}")

    def _complain(self, problem: str) -> None:
        self.outcome.problems.append(f"run {len(self.outcome.history)}: {problem}")


def _failed_items(state: dict[str, Any] | None) -> Iterator[tuple[str, int]]:
    """Return stream and id of the failed items that a state lists."""
    bookmarks = (state or {}).get("bookmarks", {})
    for stream in ITEM_PATHS:
        for item in bookmarks.get(stream, {}).get("failed_items", {}):
            yield stream, int(item)


def run_chain(seed: int, number: int) -> Outcome:
    """Run a chain, and return what it has shown."""
    chain = Chain(seed, number)
    chain.run()
    return chain.outcome


def main() -> None:
    """Run the chains, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="number of the first chain")
    parser.add_argument("--jobs", type=int, default=2, help="chains at a time")
    parser.add_argument("--verbose", action="store_true", help="print the runs of all chains")
    options = parser.parse_args()
    print_platform()
    figures, wrong = Figures(), []
    numbers = range(options.first, options.first + options.chains)
    with ProcessPoolExecutor(options.jobs) as pool:
        outcomes = pool.map(partial(run_chain, options.seed), numbers)
        for number, outcome in zip(numbers, outcomes, strict=True):
            print(f"chain {number}: {outcome.figures.runs} runs", flush=True)
            if outcome.problems or options.verbose:
                print(*outcome.history, *outcome.problems, sep="\n", flush=True)
            if outcome.problems:
                wrong.append(number)
            figures.add(outcome.figures)
    print(*figures.lines(), sep="\n")
    for number in wrong:
        command = f"uv run benchmarks/soak.py --seed {options.seed} --first {number} --chains 1"
        print(f"Chain {number} is wrong; to repeat it: {command}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
