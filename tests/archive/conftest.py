"""Fixtures for the tests of target-drift-archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from archive_runs import ArchiveRuns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _without_drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw charts only in the tests of charts: a drawing costs as much as a whole run."""
    if not request.module.__name__.endswith(("test_charts", "test_browser")):
        monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda *_, **__: "<svg/>")


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveRuns:
    """An archive in a temporary folder."""
    return ArchiveRuns(tmp_path / "archive")
