"""The store of attachments: complete files only, found again, with safe names."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from fsspec.implementations.local import LocalFileOpener
from singer_sdk.exceptions import FatalSyncError

from tap_drift.sync.attachment_store import CHECKSUMS, AttachmentStore, StoredFile, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def store(tmp_path: Path) -> AttachmentStore:
    return AttachmentStore(str(tmp_path / "files"))


def test_saved_file_is_found(store: AttachmentStore, tmp_path: Path) -> None:
    saved = store.save("12", "7-a.txt", [b"a", b"bc"])
    assert saved == StoredFile("12/7-a.txt", 3, ABC)
    assert (tmp_path / "files" / saved.path).read_bytes() == b"abc"
    assert AttachmentStore(str(tmp_path / "files")).find("12", "7-a.txt") == saved


def test_checksums_are_those_of_sha256sum(store: AttachmentStore, tmp_path: Path) -> None:
    store.save("12", "8-b.txt", [b"b"])
    store.save("12", "7-a.txt", [b"abc"])
    command = ["sha256sum", "--check", "--strict", CHECKSUMS]
    checked = subprocess.run(
        command, cwd=tmp_path / "files" / "12", capture_output=True, text=True, check=True
    )
    assert checked.stdout.splitlines() == ["7-a.txt: OK", "8-b.txt: OK"]


@pytest.mark.parametrize("content", [b"ab", b"abd", b""])
def test_changed_file_is_not_found(store: AttachmentStore, tmp_path: Path, content: bytes) -> None:
    saved = store.save("12", "7-a.txt", [b"abc"])
    (tmp_path / "files" / saved.path).write_bytes(content)
    assert store.find("12", "7-a.txt") is None


def test_deleted_file_is_not_found(store: AttachmentStore, tmp_path: Path) -> None:
    saved = store.save("12", "7-a.txt", [b"abc"])
    (tmp_path / "files" / saved.path).unlink()
    assert store.find("12", "7-a.txt") is None
    assert store.find("13", "7-a.txt") is None


def test_interrupted_file_leaves_nothing(store: AttachmentStore, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise requests.ConnectionError("reset")

    with pytest.raises(requests.ConnectionError):
        store.save("12", "7-a.txt", chunks())
    assert list((tmp_path / "files" / "12").iterdir()) == []
    assert store.find("12", "7-a.txt") is None


def write_to_full_disk(_file: LocalFileOpener, _chunk: bytes) -> int:
    with Path("/dev/full").open("wb", buffering=0) as full:
        return full.write(b"abc")


def test_full_disk_is_an_error_of_the_stream(
    store: AttachmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save("12", "7-a.txt", [b"abc"])
    monkeypatch.setattr(LocalFileOpener, "write", write_to_full_disk)
    with pytest.raises(FatalSyncError, match="No space left on device"):
        store.save("12", "7-a.txt", [b"new"])
    assert store.find("12", "7-a.txt") == StoredFile("12/7-a.txt", 3, ABC)


def test_object_store_is_used_by_url() -> None:
    saved = AttachmentStore("memory://bucket/drift").save("12", "7-a.txt", [b"abc"])
    assert AttachmentStore("memory://bucket/drift").find("12", "7-a.txt") == saved


@pytest.mark.parametrize("url", ["nothing://bucket", "s3://bucket/drift"])
def test_unusable_url_is_refused(url: str) -> None:
    """Nothing is installed for these."""
    with pytest.raises(FatalSyncError, match="`attachments_path` cannot be used"):
        AttachmentStore(url)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("screen.png", "screen.png"),
        ("../../etc/passwd", "etc_passwd"),
        ("a b\n\\c:d*?.pdf", "a_b__c_d__.pdf"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "gnp.exe"),
        ("Gru\N{COMBINING DIAERESIS}n.txt", "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n.txt"),
        ("...", ""),
        ("", ""),
    ],
)
def test_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("letter", ["a", "\N{CYRILLIC SMALL LETTER A}", "\N{HIRAGANA LETTER A}"])
def test_long_name_keeps_its_suffix(letter: str) -> None:
    name = safe_name(letter * 500 + ".png")
    assert name.endswith(f"{letter}.png")
    assert len(name.encode()) <= 140
