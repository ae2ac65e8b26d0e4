"""Manifests: written after a verification, and data checked against them without Drift."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from fake_drift import TOKEN, FakeDrift
from faults import answer
from runs import as_lines
from verify.conftest import run_verify, small_account, small_pages
from verify.test_loaded_data import load_sqlite, rows_by_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verify.conftest import Extract, Messages, Result, VerifyLoaded

    Row = dict[str, Any]


class Archive:
    """Messages, and the manifest that was written when they were verified."""

    def __init__(self, folder: Path, messages: Messages, verify: VerifyLoaded) -> None:
        self.path = folder / "manifest.json"
        self.messages = messages
        self._verify = verify

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content

    def check(self, *options: object, data: bytes | None = None) -> Result:
        data = as_lines(self.messages) if data is None else data
        return self._verify("--against", self.path, *options, input=data)

    def digests(self, stream: str) -> Path:
        return self.path.parent / str(self.content()["streams"][stream]["digests"])


def write_archive(folder: Path, messages: Messages, verify: VerifyLoaded) -> Archive:
    """Verify the messages, and write the manifest."""
    archive = Archive(folder, messages, verify)
    verify("--manifest", archive.path, input=as_lines(messages))
    return archive


@pytest.fixture(scope="module")
def archived_drift() -> Iterator[FakeDrift]:
    with FakeDrift(small_account()) as server:
        yield server


@pytest.fixture(scope="module")
def archive_folder(
    archived_drift: FakeDrift,
    extracted: Extract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a manifest of all streams, which several tests copy."""
    folder = tmp_path_factory.mktemp("archive")
    settings = small_pages(archived_drift)
    options = ("--manifest", folder / "manifest.json")
    result = run_verify(
        settings, tmp_path_factory.mktemp("run"), *options, input=as_lines(extracted())
    )
    assert result.exit_code == 0, result.report
    return folder


@pytest.fixture
def archive(
    archive_folder: Path, full_extraction: Messages, verify_loaded: VerifyLoaded, tmp_path: Path
) -> Archive:
    """The messages of all streams of `archived_drift`, and their manifest."""
    folder = shutil.copytree(archive_folder, tmp_path / "archive")
    return Archive(folder, full_extraction, verify_loaded)


def test_unchanged_data_agrees_without_drift(archive: Archive, archived_drift: FakeDrift) -> None:
    before = len(archived_drift.requests)
    result = archive.check()
    assert result.exit_code == 0, result.report
    count = sum(each["records"] for each in archive.content()["streams"].values())
    assert f"\nUNCHANGED: all {count} records are those of the manifest." in result.report
    assert len(archived_drift.requests) == before


def test_manifest_counts_and_names_what_was_verified(archive: Archive, drift: FakeDrift) -> None:
    content = archive.content()
    assert content["verdict"] == "COMPLETE"
    messages = content["streams"]["messages"]
    assert messages["records"] == messages["inDrift"] == len(drift.source_rows("messages"))
    assert {"id", "body", "author"} <= {*messages["fields"]}
    assert content["conversationsByStatus"]["open"]["extracted"] == 3
    assert content["settings"]["page_size"] == 7
    assert TOKEN not in archive.path.read_text()
    assert "access_token" not in content["settings"]


def test_one_changed_byte_names_stream_and_row(archive: Archive) -> None:
    record = next(
        each["record"]
        for each in archive.messages
        if each["type"] == "RECORD" and (each["record"].get("body") or "").startswith("<p>Hi!")
    )
    data = as_lines(archive.messages).replace(b"<p>Hi!", b"<p>Ho!", 1)
    result = archive.check(data=data)
    assert result.exit_code == 1
    assert f"\ndifferent: messages {record['id']}\n" in result.report
    assert "\nCHANGED: records that differ from the manifest: 1." in result.report
    assert [each["id"] for each in result.findings] == [record["id"]]


def test_removed_and_added_records_are_named(archive: Archive) -> None:
    [removed, *others] = [each for each in archive.messages if each["type"] == "RECORD"]
    added = removed | {"record": removed["record"] | {"accountId": "1_added.example"}}
    schemas = [each for each in archive.messages if each["type"] == "SCHEMA"]
    result = archive.check(data=as_lines([*schemas, *others, added]))
    assert result.exit_code == 1
    assert f'missing: accounts "{removed["record"]["accountId"]}"' in result.report
    assert 'added: accounts "1_added.example"' in result.report


def test_database_is_checked_against_manifest_of_messages(archive: Archive, tmp_path: Path) -> None:
    rows = rows_by_stream(archive.messages)
    result = archive.check("--database", load_sqlite(tmp_path / "x.db", rows, str.lower))
    assert result.exit_code == 0, result.report
    rows["users"][0]["availability"] = "changed"
    result = archive.check("--database", load_sqlite(tmp_path / "y.db", rows))
    assert f"\ndifferent: users {rows['users'][0]['id']}\n" in result.report


def test_lost_column_is_named(archive: Archive, tmp_path: Path) -> None:
    rows = rows_by_stream(archive.messages)
    for row in rows["messages"]:
        del row["body"]
    result = archive.check("--database", load_sqlite(tmp_path / "x.db", rows))
    assert result.exit_code == 1
    assert "messages: the data lacks what the digests cover: body" in result.report


@pytest.mark.parametrize("damage", ["content", "byte", "end", "absence"])
def test_damaged_digests_are_an_error(damage: str, archive: Archive) -> None:
    path = archive.digests("messages")
    if damage == "absence":
        path.unlink()
    elif damage == "end":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        lines = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(lines.replace(b"a", b"b", 1)))
    result = archive.check()
    assert result.exit_code == 1
    assert path.name in result.log
    assert ("does not exist" if damage == "absence" else "is damaged") in result.log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is not a manifest of drift-verify"),
        ("not JSON", "is not a manifest of drift-verify"),
        (
            '{"format": "x", "formatVersion": 9, "verdict": "", "verifiedAt": "", "streams": {}}',
            "this version reads `drift-verify manifest` 1",
        ),
    ],
)
def test_other_file_is_no_manifest(
    text: str, message: str, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(text)
    result = verify_loaded("--against", tmp_path / "manifest.json")
    assert result.exit_code == 1
    assert message in result.log


def test_second_manifest_replaces_the_first(archive: Archive, verify_loaded: VerifyLoaded) -> None:
    messages = archive.messages[:-20]
    first = archive.digests("messages")
    verify_loaded("--manifest", archive.path, input=as_lines(messages))
    assert archive.content()["verdict"] == "INCOMPLETE"
    files = {*first.parent.iterdir()}
    assert files == {archive.digests(stream) for stream in archive.content()["streams"]}


def test_refused_item_is_in_the_manifest(
    drift: FakeDrift, extracted: Extract, verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    messages = extracted("conversations", "transcripts")
    bad = drift.conversation_ids()[3]
    drift.faults_by_path[f"/conversations/{bad}/transcript"] = answer(400)
    archive = write_archive(tmp_path, messages, verify_loaded)
    content = archive.content()
    assert content["verdict"] == "NOT VERIFIED"
    [refused] = content["refused"]
    assert (refused["stream"], refused["id"], refused["httpStatus"]) == ("transcripts", bad, 400)
    assert refused["requestedAt"].startswith("20")


def test_json_report_has_the_table(extracted: Extract, verify_loaded: VerifyLoaded) -> None:
    messages = extracted("conversations")
    result = verify_loaded("--json", input=as_lines(messages[:-3]))
    content = json.loads(result.report)
    assert result.exit_code == 1
    assert content["verdict"] == "INCOMPLETE"
    assert content["streams"]["conversations"]["findings"]["missing"] > 0


@pytest.mark.parametrize(
    "option", [["--manifest", "x"], ["--sample", "5"], ["--reuse", "manifest"]]
)
def test_check_without_drift_excludes_options(
    option: list[str], verify_loaded: VerifyLoaded, tmp_path: Path
) -> None:
    path = tmp_path / "manifest"
    path.touch()
    option = [str(path) if each == "manifest" else each for each in option]
    result = verify_loaded("--against", path, *option)
    assert result.exit_code == 2
    assert "--against sends no request to Drift" in result.log


# Attachments


def requests_of(drift: FakeDrift, before: int) -> list[str]:
    return [path for path in drift.requests[before:] if "/conversations/3" in path]


@pytest.fixture
def files(config: dict[str, Any], tmp_path: Path) -> Path:
    """The folder where the tap saves files."""
    config["attachments_path"] = str(tmp_path / "files")
    return tmp_path / "files"


def test_files_are_compared_and_not_downloaded_again(
    drift: FakeDrift, extract: Extract, verify_loaded: VerifyLoaded, files: Path, tmp_path: Path
) -> None:
    messages = extract("conversations", "messages", "attachments")
    saved = [path for path in files.rglob("*") if path.suffix == ".png"]
    before = len(drift.requests)
    options = ["--attachments", files, "--manifest", tmp_path / "manifest.json"]
    result = verify_loaded(*options, input=as_lines(messages))
    assert result.exit_code == 0, result.report
    assert f"\nFiles of attachments: {len(saved):,} checked" in result.report
    assert not [path for path in drift.requests[before:] if path.startswith("/attachments")]
    before = len(drift.requests)
    reuse = ["--reuse", tmp_path / "manifest.json"]
    assert verify_loaded(*reuse, input=as_lines(messages)).exit_code == 0
    assert requests_of(drift, before) == []


def test_changed_file_is_found_without_drift(
    extract: Extract, verify_loaded: VerifyLoaded, files: Path, tmp_path: Path
) -> None:
    archive = write_archive(tmp_path, extract("messages", "attachments"), verify_loaded)
    first, second, *_ = sorted(path for path in files.rglob("*") if path.suffix == ".png")
    assert archive.check("--attachments", files).exit_code == 0
    content = first.read_bytes()
    first.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    second.unlink()
    result = archive.check("--attachments", files)
    assert result.exit_code == 1
    assert " checked, 1 missing, 1 different" in result.report
    assert "\nfile different: attachments [" in result.report
    assert "\nCHANGED: see the files above." in result.report


def test_changed_digest_of_a_file_is_found_in_its_record(
    extract: Extract, verify_loaded: VerifyLoaded, files: Path, tmp_path: Path
) -> None:
    archive = write_archive(tmp_path, extract("messages", "attachments"), verify_loaded)
    assert files.is_dir()
    records = [each for each in archive.messages if each["type"] == "RECORD"]
    attachment = next(each for each in records if each["stream"] == "attachments")
    attachment["record"]["sha256"] = "0" * 64
    result = archive.check()
    assert result.exit_code == 1
    assert "\ndifferent: attachments [" in result.report
