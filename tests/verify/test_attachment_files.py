"""Files of attachments, compared with their records."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from singer_sdk.exceptions import FatalSyncError

from tap_drift.verify.attachments import check_files
from tap_drift.verify.report import format_files
from tap_drift.verify.store import Store

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"a picture"


def store_with(*paths: str | None) -> Store:
    store = Store()
    for number, path in enumerate(paths):
        store.execute(
            "INSERT INTO file VALUES (:key, :path, :size, :sha256)",
            key=f"[1,{number}]",
            path=path,
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
        )
    return store


def test_files_with_size_and_digest_are_complete(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/1-a.png").write_bytes(CONTENT)
    result = check_files(str(tmp_path), store_with("7/1-a.png", None))
    assert (result.checked, result.unsaved, result.findings) == (1, 1, {})
    assert result.is_complete


def test_missing_changed_and_cut_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "changed").write_bytes(CONTENT[:-1] + b"!")
    (tmp_path / "cut").write_bytes(CONTENT[:-1])
    store = store_with("changed", "cut", "absent")
    result = check_files(f"file://{tmp_path}", store)
    assert result.findings == {"file missing": 1, "file different": 2}
    assert not result.is_complete
    findings = store.execute("SELECT key, kind FROM finding ORDER BY key").fetchall()
    assert findings[2] == ("[1,2]", "file missing")


def test_data_without_attachments_is_not_complete(tmp_path: Path) -> None:
    assert not check_files(str(tmp_path), Store()).is_complete


def test_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FatalSyncError, match=r"no folder .*/absent: --attachments takes"):
        check_files(str(tmp_path / "absent"), store_with("7/1-a.png"))


def test_report_counts_missing_files_and_unsaved_records(tmp_path: Path) -> None:
    [line] = format_files(check_files(str(tmp_path), store_with("a", "b", None)))
    assert line == "Files of attachments: 2 checked, 2 missing, 1 record without a file."
