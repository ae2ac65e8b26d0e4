"""Fixtures that extract from a small account and verify the messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner
from fake_drift import TOKEN, FakeDrift
from runs import as_lines, catalog, sync

from tap_drift.sandbox.data.account import Account
from tap_drift.verify.command import main
from tap_drift.verify.compare import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Result(NamedTuple):
    """Output of `drift-verify`."""

    exit_code: int
    report: str
    table: dict[str, dict[str, int]]
    """The first table of the report: its columns by name, for each stream."""

    findings: list[dict[str, Any]]
    """The JSON lines of `--missing`."""

    log: str
    """Errors and warnings."""

    def differences(self, stream: str) -> dict[str, int]:
        """Return the columns of a stream that are not zero, without the totals."""
        totals = {"in Drift", "extracted"}
        return {k: v for k, v in self.table[stream].items() if v and k not in totals}

    def record_ids(self, kind: str) -> list[tuple[str, Any]]:
        """Return the stream and id of the findings of one kind."""
        found = [each for each in self.findings if each["why"] == REASONS[kind]]
        return [(each["stream"], each["id"]) for each in found]


Messages = list[dict[str, Any]]
Extract = Callable[..., Messages]
"""Returns the messages of a run with the named streams, or all."""

Verify = Callable[[Messages | bytes], Result]
VerifyLoaded = Callable[..., Result]
"""Runs the command with these options, and those for the account; takes `input`."""


def small_account() -> Account:
    return Account.from_seed(20, seed=31)


def small_pages(drift: FakeDrift) -> dict[str, Any]:
    """Return settings with which the listing has several pages."""
    return {"access_token": TOKEN, "api_url": drift.url, "page_size": 7}


@pytest.fixture
def drift() -> Iterator[FakeDrift]:
    with FakeDrift(small_account()) as server:
        yield server


@pytest.fixture
def config(drift: FakeDrift) -> dict[str, Any]:
    return small_pages(drift)


@cache
def _extracted(*names: str) -> str:
    with FakeDrift(small_account()) as server:
        return json.dumps(sync(small_pages(server), catalog=catalog(*names)).all)


@pytest.fixture(scope="session")
def extracted() -> Extract:
    """Return the messages of the named streams, or all, of the account at the start of a test.

    The tests share the run; each has its own copy of the messages.
    """

    def load(*names: str) -> Messages:
        messages: Messages = json.loads(_extracted(*names))
        return messages

    return load


@pytest.fixture
def full_extraction(extracted: Extract) -> Messages:
    """The messages of all streams of the account, as it is at the start of a test."""
    return extracted()


@pytest.fixture
def extract(config: dict[str, Any]) -> Extract:
    """Run the tap with the settings and the account of the test."""

    def run(*names: str, state: dict[str, Any] | None = None) -> Messages:
        return sync(config, state, catalog(*names)).all

    return run


def run_verify(
    config: dict[str, Any],
    folder: Path,
    *options: str | Path,
    input: bytes = b"",  # noqa: A002 - click's name
) -> Result:
    """Run the command with files in this folder; the log lacks what `caplog` has."""
    settings = folder / "config.json"
    missing = folder / "missing.txt"
    settings.write_text(json.dumps(config))
    is_offline = "--against" in options
    arguments = [*map(str, options), "--missing", str(missing)]
    if not is_offline:
        arguments += ["--config", str(settings)]
    result = CliRunner().invoke(main, arguments, input=input)
    lines = missing.read_text().splitlines() if missing.exists() else []
    table = _parse_table(result.stdout) if result.stdout.startswith("stream ") else {}
    findings = list(map(json.loads, lines))
    return Result(result.exit_code, result.stdout, table, findings, result.stderr)


@pytest.fixture
def verify_loaded(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> VerifyLoaded:
    def run(*options: str | Path, input: bytes = b"") -> Result:  # noqa: A002 - click's name
        caplog.clear()
        result = run_verify(config, tmp_path, *options, input=input)
        return result._replace(log=result.log + caplog.text)

    return run


@pytest.fixture
def verify(verify_loaded: VerifyLoaded) -> Verify:
    def run(messages: Messages | bytes) -> Result:
        if not isinstance(messages, bytes):
            messages = as_lines(messages)
        return verify_loaded(input=messages)

    return run


def _parse_table(report: str) -> dict[str, dict[str, int]]:
    lines = [re.split(r"\s{2,}", line) for line in report.partition("\n\n")[0].splitlines()]
    header, *rows = [cells for cells in lines if len(cells) > 1] or [[]]
    return {row[0]: dict(zip(header[1:], map(int, row[1:]), strict=True)) for row in rows}
