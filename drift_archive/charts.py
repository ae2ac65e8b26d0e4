"""Charts of the account: counted in the database, drawn by Vega-Lite into SVG files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import vl_convert

if TYPE_CHECKING:
    import sqlalchemy as sa

Row = dict[str, Any]

_COLORS = {"closed": "#5b7fa6", "open": "#e08a3c", "pending": "#c9b33d", "bulk_sent": "#9a8fb8"}
_OTHER_COLORS = ["#6aa084", "#c46a6a", "#8c8c8c", "#4d9db0", "#b07aa1"]
_CONFIG = {
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#e6e8eb",
        "domainColor": "#9aa3ad",
        "tickColor": "#9aa3ad",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
}
_WIDTH = 920
_HEIGHT = 260

_BY_MONTH = """
SELECT substr(createdAt, 1, 7) AS month, coalesce(status, 'none') AS status,
    count(*) AS conversations
FROM archive_pages WHERE createdAt IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""
_BY_INBOX = """
SELECT coalesce(CAST(inboxId AS TEXT), 'none') AS inbox, coalesce(status, 'none') AS status,
    count(*) AS conversations
FROM archive_pages GROUP BY 1, 2 ORDER BY 1, 2
"""
_FIRST_RESPONSE = """
SELECT CASE WHEN firstResponseSeconds IS NULL THEN 'no response'
    WHEN firstResponseSeconds < 60 THEN 'under 1 min' WHEN firstResponseSeconds < 300 THEN '1-5 min'
    WHEN firstResponseSeconds < 900 THEN '5-15 min'
    WHEN firstResponseSeconds < 3600 THEN '15-60 min'
    WHEN firstResponseSeconds < 14400 THEN '1-4 h' WHEN firstResponseSeconds < 86400 THEN '4-24 h'
    ELSE 'over 1 day' END AS "first response", count(*) AS conversations
FROM archive_pages WHERE messageCount > 0 GROUP BY 1
"""
_RESPONSES = [
    *("under 1 min", "1-5 min", "5-15 min", "15-60 min", "1-4 h", "4-24 h", "over 1 day"),
    "no response",
]
_MEDIAN_RESPONSE = """
SELECT month, firstResponseSeconds / 60.0 AS minutes FROM (
    SELECT substr(createdAt, 1, 7) AS month, firstResponseSeconds,
        row_number() OVER (PARTITION BY substr(createdAt, 1, 7) ORDER BY firstResponseSeconds)
            AS place,
        count(*) OVER (PARTITION BY substr(createdAt, 1, 7)) AS total
    FROM archive_pages WHERE firstResponseSeconds IS NOT NULL AND createdAt IS NOT NULL
) WHERE place = (total + 1) / 2 ORDER BY 1
"""


@dataclass(frozen=True)
class Chart:
    """A chart and its figures.

    Attributes:
        name: Name of the SVG file, without the extension.
        title: Title on the page.
        note: What the figures mean.
        rows: The figures.
        specification: The Vega-Lite specification, without the figures.
    """

    name: str
    title: str
    note: str
    rows: list[Row]
    specification: Row

    def svg(self) -> str:
        """Draw the chart."""
        specification = {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "config": _CONFIG,
            "width": _WIDTH,
            "height": _HEIGHT,
            "data": {"values": self.rows},
            **self.specification,
        }
        # Nothing is requested from another host.
        return vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])


def draw_charts(connection: sa.Connection) -> list[Chart]:
    """Count the conversations, and return the charts that have figures."""
    charts = [
        Chart(
            "conversations-by-month",
            "Conversations by month",
            "By the month in which the conversation was created (UTC), and its status.",
            _rows(connection, _BY_MONTH),
            {
                "mark": "bar",
                "encoding": {
                    "x": _month_axis(),
                    "y": _count_axis(),
                    "color": _status_color(_rows(connection, _BY_MONTH)),
                },
            },
        ),
        Chart(
            "conversations-by-inbox",
            "Conversations by inbox and status",
            "Drift's API does not give the names of inboxes, only their ids.",
            _rows(connection, _BY_INBOX),
            {
                "mark": "bar",
                "height": {"step": 26},
                "encoding": {
                    "y": {"field": "inbox", "type": "nominal", "title": None, "sort": "-x"},
                    "x": _count_axis(),
                    "color": _status_color(_rows(connection, _BY_INBOX)),
                },
            },
        ),
        Chart(
            "first-response",
            "Time to the first response",
            "From the contact's first message to the next message of an agent. Private notes and "
            "messages of bots do not count.",
            _rows(connection, _FIRST_RESPONSE),
            {
                "mark": {"type": "bar", "color": "#5b7fa6"},
                "encoding": {
                    "x": {
                        "field": "first response",
                        "type": "ordinal",
                        "sort": _RESPONSES,
                        "title": None,
                        "axis": {"labelAngle": 0},
                    },
                    "y": _count_axis(),
                },
            },
        ),
        Chart(
            "first-response-by-month",
            "Median time to the first response by month",
            "Of the conversations with a response.",
            _rows(connection, _MEDIAN_RESPONSE),
            {
                "mark": {"type": "line", "color": "#5b7fa6", "point": {"size": 16}},
                "encoding": {
                    "x": _month_axis(),
                    "y": {"field": "minutes", "type": "quantitative", "title": "minutes"},
                },
            },
        ),
    ]
    return [chart for chart in charts if chart.rows]


def _rows(connection: sa.Connection, sql: str) -> list[Row]:
    return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]


def _month_axis() -> Row:
    return {
        "field": "month",
        "type": "temporal",
        "timeUnit": "utcyearmonth",
        "title": None,
        "scale": {"type": "utc"},
    }


def _count_axis() -> Row:
    return {
        "field": "conversations",
        "type": "quantitative",
        "title": "conversations",
        "axis": {"tickCount": 8, "tickMinStep": 1},
    }


def _status_color(rows: list[Row]) -> Row:
    """Give each status the same colour in all charts."""
    present = {str(row["status"]) for row in rows}
    known = [status for status in _COLORS if status in present]
    others = sorted(present - _COLORS.keys())
    colors = [_COLORS[status] for status in known]
    colors += [_OTHER_COLORS[index % len(_OTHER_COLORS)] for index in range(len(others))]
    return {
        "field": "status",
        "type": "nominal",
        "title": "status",
        "scale": {"domain": [*known, *others], "range": colors},
    }
