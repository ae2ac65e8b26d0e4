"""The state file of drift-run: what is a state, saving, the lock."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tap_drift.pipeline.state_file import StateFile, StateLockedError, parse_state

if TYPE_CHECKING:
    from pathlib import Path

STATE = '{"bookmarks": {"users": {}}}'


@pytest.mark.parametrize("line", [f"{STATE}\n", STATE, f"  {STATE}\r\n"])
def test_whole_object_with_bookmarks_is_a_state(line: str) -> None:
    assert parse_state(line.encode()) == STATE


@pytest.mark.parametrize("length", range(len(STATE)))
def test_part_of_a_line_is_no_state(length: int) -> None:
    assert parse_state(STATE[:length].encode()) is None


@pytest.mark.parametrize(
    "line",
    [
        *("{}", '{"bookmarks": {}}', '{"bookmarks": null}', "[]", "5", "null", "loaded 3 rows"),
        *('{"type": "STATE", "value": {"bookmarks": {"users": {}}}}', "[" * 100_000, "\xff"),
    ],
)
def test_other_lines_are_no_state(line: str) -> None:
    assert parse_state(line.encode("latin-1")) is None


def test_state_is_replaced_and_no_other_file_left(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with StateFile(path) as file:
        file.save("{}")
        file.save(STATE)
    assert path.read_text() == f"{STATE}\n"
    assert {each.name for each in tmp_path.iterdir()} == {"state.json", "state.json.lock"}


def test_mode_of_the_state_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.touch(mode=0o640)
    path.chmod(0o640)
    with StateFile(path) as file:
        file.save(STATE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_link_to_the_state_file_is_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "state.json", tmp_path / "link.json"
    link.symlink_to(path)
    with StateFile(link) as file:
        file.save(STATE)
    assert link.is_symlink()
    assert path.read_text() == f"{STATE}\n"


def test_full_disk_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state.json"
    path.write_text(STATE)
    monkeypatch.setattr(os, "fsync", fail)
    with StateFile(path) as file, pytest.raises(OSError, match="No space left"):
        file.save('{"bookmarks": {"teams": {}}}')
    assert path.read_text() == STATE
    assert {each.name for each in tmp_path.iterdir()} == {"state.json", "state.json.lock"}


def test_second_lock_is_an_error_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with StateFile(path) as file:
        file.save(STATE)  # the rename keeps the lock
        with pytest.raises(StateLockedError, match=r"another run uses .*state\.json"):
            StateFile(path)
    with StateFile(path):
        pass


def test_inherited_lock_is_held_until_all_close_it(tmp_path: Path) -> None:
    """As after SIGKILL of drift-run, while the target is running."""
    path = tmp_path / "state.json"
    file = StateFile(path)
    inherited = os.dup(file.lock)
    os.close(file.lock)
    with pytest.raises(StateLockedError):
        StateFile(path)
    os.close(inherited)
    with StateFile(path):
        pass
