"""Fixtures for all tests."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fake_clock import FakeClock
from fake_drift import FakeDrift

from tap_drift.sandbox.data.account import Account
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runs import InvokeTap, RunTap, StandardStream


# With this variable, which images of containers set, each process of a test would compile all the
# modules that it imports: `import airbyte` alone takes 17 s instead of 10.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Undo what a command configures: the root logger, and warnings that are logged."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.setLevel(level)
        for added in {*root.handlers} - {*handlers}:
            root.removeHandler(added)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Restore the logging after each test: later tests would log more."""
    with _logging_restored():
        yield


@pytest.fixture(autouse=True)
def _restored_signal_handlers() -> Iterator[None]:
    """Undo the signal handlers that the tap installs."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def _generated_account() -> Account:
    return Account.from_seed(250, seed=7)


@pytest.fixture
def account(_generated_account: Account) -> Account:
    """The account of `drift`: three pages of 100 conversations."""
    return Account([{**row} for row in _generated_account.conversations], seed=7)


@pytest.fixture
def drift(account: Account) -> Iterator[FakeDrift]:
    with FakeDrift(account) as server:
        yield server


@pytest.fixture
def config(drift: FakeDrift) -> dict[str, Any]:
    return {"access_token": drift.token, "api_url": drift.url}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def run_tap(drift: FakeDrift) -> RunTap:
    """Run the command against `drift` as a process.

    Keyword arguments are environment variables.
    """

    def run(
        *arguments: str,
        stdin: StandardStream = subprocess.DEVNULL,
        stdout: StandardStream = subprocess.PIPE,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        settings = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
        return subprocess.run(
            [sys.executable, "-m", "tap_drift", *arguments],
            env=os.environ | settings | environment,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def invoke_tap(
    drift: FakeDrift, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> InvokeTap:
    """Run the command against `drift` in this process, from the arguments to the exit code.

    Keyword arguments are environment variables.
    """

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {"TAP_DRIFT_ACCESS_TOKEN": drift.token, "TAP_DRIFT_API_URL": drift.url}
        capsys.readouterr()
        with monkeypatch.context() as patch, _logging_restored():
            for name, value in (settings | environment).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                TapDrift.cli(arguments, prog_name="tap-drift")
        output = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(arguments, end.value.code, output.out, output.err)

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of processes as slow, and of whole verifications and archives."""
    for item in items:
        module = getattr(item, "module", None)
        fixtures = {*getattr(item, "fixturenames", ())}
        is_whole = {"run_tap", "verify", "verify_loaded", "archive"} & fixtures
        if is_whole or hasattr(module, "subprocess"):
            item.add_marker(pytest.mark.slow)


# Reports how many slow tests `-m "not slow"` deselects. With pytest-xdist, the workers deselect
# the tests and the main process reports.
_DESELECTED = pytest.StashKey[int]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    slow = [item for item in items if item.get_closest_marker("slow")]
    for item in slow[:1]:
        item.config.stash[_DESELECTED] = len(slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["slow"] = session.config.stash.get(_DESELECTED, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_DESELECTED] = getattr(node, "workeroutput", {}).get("slow", 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: some tests wait for processes."""
    return (os.cpu_count() or 1) + 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(_DESELECTED, 0):
        terminalreporter.write_line(
            f"Deselected: {count} slow tests (processes, whole verifications and archives, real "
            "targets, Meltano, Airbyte, Dagster, Airflow, chains of interrupted runs)."
        )
