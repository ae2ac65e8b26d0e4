"""Tests of saving the refresh token in the `--config` file, and of the check before it."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from fake_oauth import FakeOAuthDrift

from tap_drift.api.token_store import ConfigFileTokenStore
from tap_drift.exceptions import TokenNotSavedError
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = "new-t0ken"
OLD = "old-t0ken"
CONFIG = {"client_id": "id", "refresh_token": OLD, "statuses": ["open"], "user_agent": "Zoë"}
UNPRIVILEGED_USER = 65534


@pytest.fixture(autouse=True)
def _no_meltano(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MELTANO_EXTRACTOR_NAME", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG), encoding="utf-8")
    return file


@pytest.fixture
def unprivileged_file() -> Iterator[Path]:
    """The file of an ordinary user, as which the test runs: root may write to any file."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        if is_root:
            os.chown(name, UNPRIVILEGED_USER, -1)
            os.seteuid(UNPRIVILEGED_USER)
        try:
            file = Path(name, "config.json")
            file.write_text(json.dumps(CONFIG), encoding="utf-8")
            yield file
        finally:
            if is_root:
                os.seteuid(0)
            Path(name).chmod(0o700)


def saved(file: Path) -> Any:
    """Return the settings in the file."""
    return json.loads(file.read_text(encoding="utf-8"))


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """Return the only warning, which has advice and no token."""
    [record] = caplog.records
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert message.startswith("The new `refresh_token` could not be saved: ")
    assert "authorize the app again" in message
    assert NEW not in message
    assert OLD not in message
    return message


def fail(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


# What is saved


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_only_the_refresh_token_changes(
    indent: Any, end: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = json.dumps(CONFIG, indent=indent, ensure_ascii=False) + end
    file.write_text(text, encoding="utf-8")
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert file.read_text(encoding="utf-8") == text.replace(OLD, NEW)
    assert caplog.records == []


def test_whitespace_around_the_old_token_is_ignored(file: Path) -> None:
    file.write_text(json.dumps({"refresh_token": f" {OLD}\n"}))
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert saved(file) == {"refresh_token": NEW}


def test_second_token_replaces_the_first(file: Path) -> None:
    ConfigFileTokenStore([str(file)]).save(OLD, "first")
    ConfigFileTokenStore([str(file)]).save("first", NEW)
    assert saved(file)["refresh_token"] == NEW


# How it is written


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_file_mode_is_kept(mode: int, file: Path) -> None:
    file.chmod(mode)
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_owner_and_group_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = []
    monkeypatch.setattr(os, "chown", lambda _path, user, group: owners.append((user, group)))
    original = file.stat()
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert owners == [(original.st_uid, original.st_gid)]


def test_owner_that_cannot_be_kept_is_no_error(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "chown", fail)
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert saved(file)["refresh_token"] == NEW
    assert caplog.records == []


def test_target_of_a_link_is_replaced_and_the_link_kept(file: Path) -> None:
    link = file.with_name("link.json")
    link.symlink_to(file.name)
    ConfigFileTokenStore([str(link)]).save(OLD, NEW)
    assert link.is_symlink()
    assert saved(file)["refresh_token"] == NEW


@pytest.mark.parametrize(
    "function", ["pathlib.Path.chmod", "os.fsync", "pathlib.Path.replace", "tempfile.mkstemp"]
)
def test_failed_write_leaves_the_old_file_and_no_other(
    function: str, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(function, fail)
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert saved(file) == CONFIG
    assert list(file.parent.iterdir()) == [file]
    assert "Permission denied" in warning(caplog)


def test_old_file_is_complete_until_it_is_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """Stands for an end of the process that cannot be handled."""

    def kill(number: int) -> None:
        contents.append(saved(file))
        raise KilledError(number)

    contents: list[Any] = []
    monkeypatch.setattr("os.fsync", kill)
    with pytest.raises(KilledError):
        ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert contents == [CONFIG]


# What cannot be saved: known before a token is requested, and not changed by `save`


def assert_refused(sources: list[str], reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check that both methods give the reason: `check` as an error, `save` as a warning."""
    store = ConfigFileTokenStore(sources)
    with pytest.raises(TokenNotSavedError) as error:
        store.check(OLD)
    message = str(error.value)
    assert message.startswith("The new `refresh_token` could not be saved: ")
    assert "the one in the settings is still valid" in message
    assert reason in message
    assert OLD not in message
    store.save(OLD, NEW)
    assert reason in warning(caplog)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"),
    [pytest.param(0o400, 0o700, id="file"), pytest.param(0o600, 0o500, id="folder")],
)
def test_read_only_file_or_folder_is_refused(
    file_mode: int, folder_mode: int, unprivileged_file: Path
) -> None:
    unprivileged_file.chmod(file_mode)
    unprivileged_file.parent.chmod(folder_mode)
    with pytest.raises(TokenNotSavedError, match="could not be saved: Permission denied"):
        ConfigFileTokenStore([str(unprivileged_file)]).check(OLD)
    assert saved(unprivileged_file) == CONFIG


def test_read_only_settings_end_the_run_before_a_request(
    unprivileged_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeOAuthDrift() as drift:
        unprivileged_file.write_text(json.dumps(drift.settings()))
        unprivileged_file.chmod(0o400)
        run = CliRunner().invoke(TapDrift.cli, ["--config", str(unprivileged_file)])
        assert drift.forms == []
        assert drift.requests == []
        assert saved(unprivileged_file) == drift.settings()
    assert run.exit_code == 1
    error = caplog.records[-1].getMessage()
    assert "`refresh_token` could not be saved: Permission denied" in error


def test_pipe_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert_refused([str(pipe)], "one --config file", caplog)


@pytest.mark.parametrize("sources", [[], ["ENV"], ["{file}", "ENV"], ["{file}", "{file}"]])
def test_settings_that_are_not_one_file_are_refused(
    sources: list[str], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_refused([source.format(file=file) for source in sources], "one --config file", caplog)
    assert saved(file) == CONFIG


@pytest.mark.parametrize(
    "text", [b'{"refresh_token": "another"}', b'{"refresh_token": 5}', b"{}", b"[]", b"{", b"\xff"]
)
def test_file_without_the_old_token_is_refused(
    text: bytes, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(text)
    assert_refused([str(file)], "the --config file has another one by now", caplog)
    assert file.read_bytes() == text


def test_file_of_meltano_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MELTANO_EXTRACTOR_NAME", "tap-drift")
    assert_refused([str(file)], "Meltano writes the settings file again", caplog)
    assert saved(file) == CONFIG


# What can be saved


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_check_accepts_a_writable_file_and_leaves_it(mark: str, file: Path) -> None:
    file.write_text(mark + json.dumps(CONFIG), encoding="utf-8")
    before = file.read_bytes()
    ConfigFileTokenStore([str(file)]).check(OLD)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("indent", [None, 2])
def test_byte_order_mark_is_kept(indent: int | None, file: Path) -> None:
    text = "\ufeff" + json.dumps(CONFIG, indent=indent, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")
    ConfigFileTokenStore([str(file)]).save(OLD, NEW)
    assert file.read_text(encoding="utf-8") == text.replace(OLD, NEW)
