"""Airbyte's standard tests of a source, in a separate environment, run `source-drift`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tap_drift.sandbox.data.account import Account

if TYPE_CHECKING:
    from end_to_end.conftest import Install
    from fake_drift import FakeDrift

PIN = "airbyte-cdk[dev]~=7.39.1"
PYTHON = ">=3.11,<3.13"
HOOKS = "airbyte_cdk.test.standard_tests.pytest_hooks"
WARNING = "airbyte_cdk.test.standard_tests.DiscoveredCatalogWarning"


@pytest.fixture
def account() -> Account:
    return Account.from_seed(20, seed=7)


def test_source_passes_airbytes_standard_tests(
    drift: FakeDrift, install: Install, tmp_path: Path
) -> None:
    for name, token in (("valid", drift.token), ("wrong-token", "wrong")):
        credentials = {"auth_type": "access_token", "access_token": token}
        config = {"credentials": credentials, "api_url": drift.url}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    suite = Path(__file__).with_name("run_airbyte_standard_tests.py")
    run = subprocess.run(
        [
            *(install(PIN, PYTHON) / "python", "-m", "pytest", suite),
            *("-p", HOOKS, "-W", f"error::{WARNING}"),
            # Neither the fixtures nor the options of this project; no test that needs Docker.
            *("--noconftest", "-c", "pytest.ini", "-k", "not docker"),
        ],
        cwd=tmp_path,
        env=os.environ | {"SOURCE_DRIFT": str(Path(sys.executable).with_name("source-drift"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    # The other four run only with the valid token.
    assert " 7 passed, 4 skipped, " in run.stdout
    assert drift.token not in run.stdout + run.stderr
