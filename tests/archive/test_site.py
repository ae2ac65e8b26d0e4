"""Which pages are written, the list, and the charts."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from archive_runs import AGENT, conversation, message

from drift_archive import site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive_runs import ArchiveRuns


class Times:
    """The modification times of files, which are set to 0 so that a later write shows."""

    def __init__(self, folder: Path) -> None:
        self._paths = [path for path in folder.rglob("*.*") if path.suffix in {".html", ".js"}]
        for path in self._paths:
            path.touch()
            path.chmod(0o600)

    def written(self) -> set[str]:
        """Return the names of the files that were replaced since."""
        return {path.name for path in self._paths if path.stat().st_mode & 0o777 != 0o600}


def add_three(archive: ArchiveRuns) -> None:
    """Add two conversations of February, and one of January, with a message and a contact each."""
    months = {1: "02", 2: "02", 3: "01"}
    for identifier, month in months.items():
        created = f"2026-{month}-10T10:00:00.000+00:00"
        archive.add(
            "conversations", conversation(identifier, createdAt=created, contactId=identifier)
        )
        archive.add(
            "messages", message(identifier * 10, conversationId=identifier, createdAt=created)
        )
        archive.add(
            "contacts", {"id": identifier, "attributes": {"name": f"Contact no. {identifier}"}}
        )


@pytest.fixture
def three(archive: ArchiveRuns) -> ArchiveRuns:
    add_three(archive)
    archive.run()
    return archive


PAGES = {"1.html", "2.html", "3.html"}


def test_same_records_write_no_page_again(three: ArchiveRuns) -> None:
    times = Times(three.folder)
    add_three(three)
    three.run()
    assert times.written() == {"index.html", "charts.html", "summary.js"}


@pytest.mark.parametrize(
    ("stream", "record"),
    [
        ("conversations", conversation(1, status="open")),
        ("messages", message(99)),
        ("contacts", {"id": 1, "attributes": {"name": "New name"}}),
        ("transcripts", {"conversationId": 1, "transcript": "x"}),
        ("failed_items", {"stream": "messages", "id": 1, "reason": "x"}),
    ],
)
def test_change_writes_the_page_and_its_part_of_the_list(
    three: ArchiveRuns, stream: str, record: dict[str, Any]
) -> None:
    times = Times(three.folder)
    three.add(stream, record)
    three.run()
    assert times.written() & PAGES == {"1.html"}
    assert times.written() & {"2026-01.js", "2026-02.js"} == {"2026-02.js"}


def test_new_name_of_a_user_writes_the_pages_with_it(three: ArchiveRuns) -> None:
    author = {"type": "user", "id": 5}
    three.add("users", {"id": 5, "name": "Before"})
    three.add("messages", message(99, conversationId=3, author=author))
    three.run()
    times = Times(three.folder)
    three.add("users", {"id": 5, "name": "After"}, {"id": 6, "name": "Other"})
    three.run()
    assert times.written() & PAGES == {"3.html"}
    assert "After" in three.page(3)


@pytest.mark.parametrize("conversation_id", [2, None])
def test_moved_meeting_writes_the_page_that_it_left(
    three: ArchiveRuns, conversation_id: int | None
) -> None:
    meeting = {"slug": "a", "agentId": 5, "slotStart": "2026-03-01T09:00:00.000+00:00"}
    three.add("meetings", meeting | {"conversationId": 1})
    three.run()
    assert "2026-03-01 09:00:00" in three.page(1)
    three.add("meetings", meeting | {"conversationId": conversation_id})
    three.run()
    assert "2026-03-01 09:00:00" not in three.page(1)


def test_page_shows_changes_if_an_older_version_made_the_table(three: ArchiveRuns) -> None:
    with contextlib.closing(sqlite3.connect(three.folder / "drift.sqlite")) as database:
        database.executescript(
            "DROP TRIGGER archive_contacts_update; CREATE TRIGGER archive_contacts_update "
            "AFTER UPDATE ON contacts BEGIN SELECT 1; END"
        )
    three.add("contacts", {"id": 1, "attributes": {"name": "New name"}})
    three.run()
    assert "New name" in three.page(1)


def test_other_title_writes_all_pages(three: ArchiveRuns) -> None:
    three.run(title="Chats of Acme")
    assert all("Chats of Acme" in three.page(identifier) for identifier in (1, 2, 3))


def test_other_version_of_the_sanitizer_writes_all_pages(
    three: ArchiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = Times(three.folder)
    monkeypatch.setattr(site, "version", lambda package: f"another {package}")
    three.run()
    assert times.written() >= PAGES


def test_rebuild_pages_writes_all_pages(three: ArchiveRuns) -> None:
    times = Times(three.folder)
    three.run(rebuild_pages=True)
    assert times.written() >= PAGES


def test_interrupted_writing_is_finished_by_the_next_run(
    archive: ArchiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest part is listed at once; the rest follows in the next run, without its records."""
    add_three(archive)
    with monkeypatch.context() as patch:
        results: Iterator[dict[str, Any]] = iter([{}])
        patch.setattr(site, "build_index", lambda _texts: next(results))
        with pytest.raises(StopIteration):
            archive.run()
    assert [row["id"] for row in archive.json("list/2026-02.js")] == ["2", "1"]
    assert "Contact no. 1" in archive.page(1)
    assert (archive.folder / "index.html").exists()
    archive.run()
    assert [row["id"] for row in archive.json("list/2026-01.js")] == ["3"]
    shards = archive.json("list/summary.js")["shards"]
    assert [(each["shard"], each["conversations"]) for each in shards] == [
        ("2026-02", 2),
        ("2026-01", 1),
    ]


def test_large_month_is_split_into_days(
    three: ArchiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "MAX_SHARD", 2)
    three.add("conversations", conversation(4, createdAt="2026-02-11T00:00:00.000+00:00"))
    three.run()
    lists = {path.name for path in (three.folder / "list").iterdir()}
    assert lists == {"summary.js", "2026-02-11.js", "2026-02-10.js", "2026-01.js"}
    assert [row["id"] for row in three.json("list/2026-02-10.js")] == ["2", "1"]


@pytest.mark.parametrize("created", [None, "yesterday"])
def test_conversation_without_a_time_is_listed(archive: ArchiveRuns, created: str | None) -> None:
    archive.add("conversations", conversation(createdAt=created, updatedAt="also odd"))
    archive.run()
    assert [row["id"] for row in archive.json("list/undated.js")] == ["1"]


@pytest.mark.parametrize("identifier", [5, 2**63 - 1, -(2**63)])
def test_page_of_any_id_is_where_the_list_looks_for_it(
    archive: ArchiveRuns, identifier: int
) -> None:
    archive.add("conversations", conversation(identifier))
    archive.run()
    [row] = archive.json("list/2026-02.js")
    assert (archive.folder / site.page_path(int(row["id"]))).exists()


def test_summary_counts_what_can_be_filtered(archive: ArchiveRuns) -> None:
    archive.add("users", {"id": 5, "name": "Grace"})
    archive.add("conversations", conversation(1), conversation(2, status="open", inboxId=None))
    archive.add(
        "conversation_details",
        {"id": 1, "conversationId": 1, "participants": [5], "conversationTags": [{"name": "vip"}]},
    )
    archive.run()
    summary = archive.json("list/summary.js")
    assert summary["statuses"] == [
        {"name": "closed", "conversations": 1},
        {"name": "open", "conversations": 1},
    ]
    assert summary["inboxes"] == [{"name": "3", "conversations": 1}]
    assert summary["agents"] == [{"id": "5", "conversations": 1, "name": "Grace"}]
    assert summary["tags"] == [{"name": "vip", "conversations": 1}]


def test_filter_names_agents_as_their_pages_do(archive: ArchiveRuns) -> None:
    archive.add("users", {"id": 5, "name": " ", "email": "grace@acme.example"}, {"id": 6})
    archive.add("messages", message(10, author=AGENT), message(11, author=AGENT | {"id": 6}))
    archive.run()
    names = {agent["name"] for agent in archive.json("list/summary.js")["agents"]}
    assert names == {"grace@acme.example", "User 6"}
    assert all(f"<bdi>{name}</bdi>" in archive.page() for name in names)


def test_start_page_tells_that_there_is_no_manifest(three: ArchiveRuns) -> None:
    assert "had no" in three.text("index.html")
    (three.folder / "manifest.json").write_text("{}")
    three.run()
    assert 'href="manifest.json"' in three.text("index.html")
    assert "had no" not in three.text("index.html")


def test_charts_count_conversations(three: ArchiveRuns) -> None:
    assert {path.name for path in (three.folder / "charts").iterdir()} == {
        "conversations-by-month.svg",
        "conversations-by-inbox.svg",
        "first-response.svg",
    }
    assert "<td>2026-02</td><td>closed</td><td>2</td>" in three.text("charts.html")


def test_empty_input_makes_an_empty_archive(archive: ArchiveRuns) -> None:
    archive.run()
    assert archive.json("list/summary.js")["shards"] == []
    assert "There are no conversations to count." in archive.text("charts.html")
