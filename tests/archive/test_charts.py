"""Charts: figures, drawings, and no requests to other hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from archive_runs import AGENT, conversation, message

from drift_archive.charts import draw_charts
from drift_archive.database import Database

if TYPE_CHECKING:
    from archive_runs import ArchiveRuns

START = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.fixture
def rows(archive: ArchiveRuns) -> dict[str, list[dict[str, Any]]]:
    """The rows of each chart, for conversations answered after 30 s, 2 min, 2 h and never."""
    for number, seconds in enumerate([30, 120, 7200, None]):
        created = START + timedelta(days=20 * number)
        status = "open" if seconds is None else "closed"
        archive.add(
            "conversations",
            conversation(number, createdAt=created.isoformat(), status=status, inboxId=number // 3),
        )
        at: dict[str, Any] = {"conversationId": number, "createdAt": created.isoformat()}
        archive.add("messages", message(number * 10, **at))
        if seconds is not None:
            at["createdAt"] = (created + timedelta(seconds=seconds)).isoformat()
            archive.add("messages", message(number * 10 + 1, author=AGENT, **at))
    archive.run()
    database = Database(archive.folder / "drift.sqlite")
    with database.connect() as connection:
        charts = {chart.name: chart.rows for chart in draw_charts(connection)}
    database.close()
    return charts


def test_conversations_are_counted_by_month_and_status(rows: dict[str, Any]) -> None:
    counted = [tuple(row.values()) for row in rows["conversations-by-month"]]
    assert counted == [("2026-01", "closed", 2), ("2026-02", "closed", 1), ("2026-03", "open", 1)]


def test_conversations_are_counted_by_inbox_and_status(rows: dict[str, Any]) -> None:
    counted = [tuple(row.values()) for row in rows["conversations-by-inbox"]]
    assert counted == [("0", "closed", 3), ("1", "open", 1)]


def test_first_responses_are_counted_by_duration(rows: dict[str, Any]) -> None:
    counted = {tuple(row.values()) for row in rows["first-response"]}
    assert counted == {("under 1 min", 1), ("1-5 min", 1), ("1-4 h", 1), ("no response", 1)}


def test_median_first_response_is_by_month(rows: dict[str, Any]) -> None:
    medians = [tuple(row.values()) for row in rows["first-response-by-month"]]
    assert medians == [("2026-01", 0.5), ("2026-02", 120.0)]


@pytest.mark.usefixtures("rows")
def test_drawing_is_an_svg_without_scripts_or_addresses(archive: ArchiveRuns) -> None:
    drawing = archive.text("charts/conversations-by-month.svg")
    assert drawing.startswith("<svg")
    assert "2026" in drawing
    assert "<script" not in drawing
    assert drawing.count("http") == drawing.count("http://www.w3.org/")
