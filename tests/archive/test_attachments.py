"""Links to saved attachments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from archive_runs import message

from drift_archive.attachments import Attachments

if TYPE_CHECKING:
    from pathlib import Path

    from archive_runs import ArchiveRuns


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archive" / "attachments"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def attachments(folder: Path) -> Attachments:
    return Attachments(str(folder), folder.parent / "conversations" / "000")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("a.png", "a.png"),
        ("a b#1?.pdf", "a%20b%231%3F.pdf"),
        ("50%.txt", "50%25.txt"),
        ("\u202egnp.zip", "%E2%80%AEgnp.zip"),
        ('"><script>.csv', "%22%3E%3Cscript%3E.csv"),
    ],
)
def test_saved_file_has_an_encoded_relative_link(
    folder: Path, attachments: Attachments, name: str, url: str
) -> None:
    (folder / "1").mkdir()
    (folder / "1" / name).touch()
    link = attachments.link({"fileName": name, "path": f"1/{name}"})
    assert link.href == f"../../attachments/1/{url}"
    assert link.path is None


@pytest.mark.parametrize(
    "name", ["a.html", "a.HTM", "a.svg", "a.xhtml", "a.xml", "a.js", "a", "a.exe"]
)
def test_file_that_may_run_scripts_is_not_linked(
    folder: Path, attachments: Attachments, name: str
) -> None:
    (folder / name).touch()
    link = attachments.link({"fileName": "harmless.png", "path": name})
    assert link.href is None
    assert link.path == name


def test_svg_is_shown_as_an_image_only(folder: Path, attachments: Attachments) -> None:
    (folder / "a.svg").touch()
    link = attachments.link({"path": "a.svg"})
    assert (link.image, link.href) == ("../../attachments/a.svg", None)


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/hostname", "missing.png", "a\0.png", None, 5]
)
def test_path_to_no_saved_file_is_not_linked(
    folder: Path, attachments: Attachments, path: object
) -> None:
    (folder.parent / "secret.png").touch()
    link = attachments.link({"path": path, "url": "https://driftapi.com/attachments/1/data"})
    assert (link.href, link.image, link.path) == (None, None, None)
    assert link.source == "https://driftapi.com/attachments/1/data"


def test_address_with_a_script_is_not_shown(attachments: Attachments) -> None:
    assert attachments.link({"fileName": "a", "url": "javascript:alert(1)"}).source is None


def test_other_folder_is_linked_relatively(tmp_path: Path) -> None:
    (tmp_path / "my files").mkdir()
    (tmp_path / "my files" / "a.png").touch()
    attachments = Attachments(
        str(tmp_path / "my files"), tmp_path / "archive" / "conversations" / "1"
    )
    assert attachments.link({"path": "a.png"}).href == "../../../my%20files/a.png"


def test_files_in_a_bucket_are_not_linked(tmp_path: Path) -> None:
    assert Attachments("s3://bucket/files", tmp_path).link({"path": "a.png"}).href is None


def test_attachment_of_a_message_is_linked_once(archive: ArchiveRuns, folder: Path) -> None:
    (folder / "9-a.png").write_bytes(b"\x89PNG")
    listed = {"id": 9, "fileName": "a.png", "mimeType": "image/png", "url": "https://x.example"}
    archive.add("messages", message(10, None, attachments=[listed]))
    archive.add(
        "attachments",
        listed
        | {"conversationId": 1, "messageId": 10, "size": 4, "sha256": "0f", "path": "9-a.png"},
    )
    archive.run()
    page = archive.page()
    assert page.count('href="../../attachments/9-a.png"') == 1
    assert '<img src="../../attachments/9-a.png"' in page
    assert "image/png, 4 B" in page


def test_attachment_that_was_not_saved_is_named(archive: ArchiveRuns) -> None:
    archive.add("messages", message(10, None, attachments=[{"id": 9, "fileName": "a.png"}]))
    archive.run()
    assert "<bdi>a.png</bdi>" in archive.page()
    assert "The file is not in this archive." in archive.page()
