"""Airbyte's standard tests of a source, run against the executable `source-drift`.

Run by tests/end_to_end/test_airbyte_standards.py, with pytest, in an environment that has
airbyte-cdk. The suite calls a connector that is a Python class of the CDK: only this call is
replaced, by the executable, with the same arguments.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test import entrypoint_wrapper
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
from airbyte_cdk.test.standard_tests import ConnectorTestScenario, SourceTestSuiteBase

EXECUTABLE = os.environ["SOURCE_DRIFT"]


class Executable:
    """Stands for the connector; the suite requires a method `spec`."""

    def spec(self, logger: object) -> None:
        """Do nothing: the suite only checks that the method exists."""


def run_executable(args: list[str], **_: Any) -> EntrypointOutput:
    return run_spec() if args == ["spec"] else run(*args)


@cache
def run_spec() -> EntrypointOutput:
    """Return what is the same for all tests: the suite asks for it four times."""
    return run("spec")


def run(*args: str) -> EntrypointOutput:
    finished = subprocess.run([EXECUTABLE, *args], capture_output=True, text=True, check=False)
    output = EntrypointOutput(finished.stdout.splitlines())
    assert bool(finished.returncode) == bool(output.errors)
    return output


@pytest.fixture(autouse=True)
def _executable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrypoint_wrapper, "_run_command", run_executable)


class TestSourceDrift(SourceTestSuiteBase):  # type: ignore[misc] # the CDK is not installed here
    """The suite, with the executable as the connector."""

    connector = Executable

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        """Return a path whose name is the connector's; the suite would look for `metadata.yaml`."""
        return Path("source-drift")

    @classmethod
    def get_scenarios(cls) -> list[ConnectorTestScenario]:
        """Return a valid configuration, and one whose token is wrong."""
        return [
            ConnectorTestScenario(
                config_path=Path.cwd() / "valid.json",
                # It has a row for each item that could not be read.
                empty_streams=[{"name": "failed_items"}],
                status="succeed",
            ),
            ConnectorTestScenario(
                config_path=Path.cwd() / "wrong-token.json",
                sections=("connection",),
                status="failed",
            ),
        ]
