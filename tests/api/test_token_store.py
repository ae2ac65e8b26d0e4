"""Keeping the refresh token in the `--config` file."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tap_drift.api.token_store import save_refresh_token

if TYPE_CHECKING:
    from pathlib import Path

NEW = "new-that-nobody-may-see"
OLD = "old-that-nobody-may-see"
CONFIG = {"client_id": "id", "refresh_token": OLD, "statuses": ["open"], "user_agent": "Zoë"}


@pytest.fixture(autouse=True)
def _without_meltano(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MELTANO_EXTRACTOR_NAME", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG), encoding="utf-8")
    return file


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """The one warning that there is; it shows no token, and says what to do."""
    [record] = caplog.records
    assert record.levelname == "WARNING"
    said = record.getMessage()
    assert said.startswith("The new `refresh_token` cannot be saved: ")
    assert "authorize the app again" in said
    assert NEW not in said
    assert OLD not in said
    return said


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_only_the_refresh_token_changes(
    indent: Any, end: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = json.dumps(CONFIG, indent=indent, ensure_ascii=False) + end
    file.write_text(text, encoding="utf-8")
    save_refresh_token([str(file)], OLD, NEW)
    assert file.read_text(encoding="utf-8") == text.replace(OLD, NEW)
    assert caplog.records == []


def test_blanks_around_the_old_one_do_not_matter(file: Path) -> None:
    file.write_text(json.dumps({"refresh_token": f" {OLD}\n"}))
    save_refresh_token([str(file)], OLD, NEW)
    assert json.loads(file.read_text()) == {"refresh_token": NEW}


def test_a_second_one_takes_the_place_of_the_first(file: Path) -> None:
    save_refresh_token([str(file)], OLD, "first")
    save_refresh_token([str(file)], "first", NEW)
    assert json.loads(file.read_text())["refresh_token"] == NEW


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_those_who_could_read_it_still_can_and_nobody_else(mode: int, file: Path) -> None:
    file.chmod(mode)
    save_refresh_token([str(file)], OLD, NEW)
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_owner_stays(file: Path) -> None:
    os.chown(file, 12345, 54321)
    save_refresh_token([str(file)], OLD, NEW)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 54321)


def test_where_a_link_points_to_the_file_it_stays_a_link(file: Path) -> None:
    link = file.with_name("link.json")
    link.symlink_to(file.name)
    save_refresh_token([str(link)], OLD, NEW)
    assert link.is_symlink()
    assert json.loads(file.read_text())["refresh_token"] == NEW


def fail(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("function", ["pathlib.Path.chmod", "os.fsync", "pathlib.Path.replace"])
def test_what_fails_half_way_leaves_the_old_file_and_no_other(
    function: str, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(function, fail)
    save_refresh_token([str(file)], OLD, NEW)
    assert json.loads(file.read_text(encoding="utf-8")) == CONFIG
    assert list(file.parent.iterdir()) == [file]
    assert "Permission denied" in warning(caplog)


def test_the_old_file_is_whole_until_the_new_one_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """What no program can catch."""

    def killed(number: int) -> None:
        seen.append(json.loads(file.read_text(encoding="utf-8")))
        raise KilledError(number)

    seen: list[Any] = []
    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KilledError):
        save_refresh_token([str(file)], OLD, NEW)
    assert seen == [CONFIG]


def test_a_folder_that_nothing_can_be_put_into_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.mkstemp", fail)
    save_refresh_token([str(file)], OLD, NEW)
    assert json.loads(file.read_text(encoding="utf-8")) == CONFIG
    assert "Permission denied" in warning(caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any file and folder")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o400, 0o700), (0o600, 0o500)])
def test_what_may_not_be_written_to_is_left_alone(
    file_mode: int, folder_mode: int, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)
    save_refresh_token([str(file)], OLD, NEW)
    file.parent.chmod(0o700)
    assert json.loads(file.read_text(encoding="utf-8")) == CONFIG
    assert "Permission denied" in warning(caplog)


def test_a_pipe_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    save_refresh_token([str(pipe)], OLD, NEW)
    assert "one --config file" in warning(caplog)


@pytest.mark.parametrize("sources", [[], ["ENV"], ["{file}", "ENV"], ["{file}", "{file}"]])
def test_there_must_be_one_file_and_nothing_else(
    sources: list[str], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_refresh_token([source.format(file=file) for source in sources], OLD, NEW)
    assert json.loads(file.read_text(encoding="utf-8")) == CONFIG
    assert "one --config file" in warning(caplog)


@pytest.mark.parametrize(
    "text", ['{"refresh_token": "another"}', '{"refresh_token": 5}', "{}", "[]", "null", "{"]
)
def test_what_somebody_else_put_there_stays(
    text: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(text)
    save_refresh_token([str(file)], OLD, NEW)
    assert file.read_text() == text
    assert "the --config file has another one by now" in warning(caplog)


def test_a_file_of_meltanos_is_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-drift")
    save_refresh_token([str(file)], OLD, NEW)
    assert json.loads(file.read_text(encoding="utf-8")) == CONFIG
    assert "Meltano writes the settings file again" in warning(caplog)
