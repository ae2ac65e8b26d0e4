"""A run of the tap for soak.py: a process, and a target that reads it until one of them dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from run import BENCHMARKS

if TYPE_CHECKING:
    import random

    from soak_server import SoakServer

LONGEST_RUN = 120.0
"""Seconds after which a run is endless."""

_SIGNALS = {
    "target reads nothing, SIGTERM": [signal.SIGTERM],
    "target reads nothing, SIGINT twice": [signal.SIGINT, signal.SIGINT],
}


@dataclass
class Run:
    """What a run wrote, and how it ended."""

    messages: list[dict[str, Any]]
    errors: str
    status: int
    seconds: float
    exit_seconds: float | None
    """Seconds from the signal to the exit; None without a signal."""

    peak: int
    """Peak memory in KiB."""


class TapProcess:
    """A run of the tap that is killed in one of the ways of `KILLS`."""

    def __init__(
        self,
        server: SoakServer,
        state: dict[str, Any] | None,
        selected: dict[str, Any],
        **settings: int,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "state.json").write_text(json.dumps(state or {}))
        (folder / "catalog.json").write_text(json.dumps(selected))
        command = [sys.executable, str(BENCHMARKS / "impatient_tap.py"), "--config=ENV"]
        environment = {
            "TAP_DRIFT_ACCESS_TOKEN": server.token,
            "TAP_DRIFT_API_URL": server.url,
            "TAP_DRIFT_LOOKBACK_SECONDS": "0",
            **{f"TAP_DRIFT_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._errors = (folder / "errors.log").open("w+")
        self._started = time.monotonic()
        self._signalled: float | None = None
        self._peak = 0
        self._process = subprocess.Popen(
            [*command, "--state=state.json", "--catalog=catalog.json"],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def on_request(self) -> None:
        """Note the memory that the process has used so far."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return
        if match := re.search(r"VmHWM:\s*(\d+)", status):
            self._peak = max(self._peak, int(match[1]))

    def send_signals(self, *numbers: signal.Signals) -> None:
        """Send signals, if the process has not ended."""
        if self._signalled is None and self._process.poll() is None:
            self._signalled = time.monotonic()
            for number in numbers:
                self._process.send_signal(number)
                time.sleep(0.1 * (len(numbers) - 1))

    def finish(self, kill: str, rng: random.Random) -> Run:
        """Read the output as the target does, and wait for the end."""
        timer = threading.Timer(LONGEST_RUN, self._process.kill)
        timer.start()
        lines = self._read(kill, rng)
        status = self._process.wait()
        ended = time.monotonic()
        timer.cancel()
        self._errors.seek(0)
        run = Run(
            [json.loads(line) for line in lines if line.endswith(b"\n")],
            self._errors.read(),
            status,
            ended - self._started,
            ended - self._signalled if self._signalled is not None else None,
            self._peak,
        )
        self._errors.close()
        self._folder.cleanup()
        return run

    def _read(self, kill: str, rng: random.Random) -> list[bytes]:
        output = self._process.stdout
        assert output
        lines = []
        most, pause = rng.randint(1, 300), rng.random()
        with output:
            for line in output:
                lines.append(line)
                if kill == "target is slow" and len(lines) % 20 == 0:
                    time.sleep(0.05)
                elif kill == "target dies" and len(lines) >= most:
                    break
                elif kill in _SIGNALS and len(lines) == most:
                    time.sleep(pause)
                    self.send_signals(*_SIGNALS[kill])
                    self._process.wait()
        return lines
