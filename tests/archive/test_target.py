"""The target as the SDK and a pipe see it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from archive_runs import SCHEMAS, conversation
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.testing import get_target_test_class

from drift_archive.command import errors_as_messages, run
from drift_archive.target import TargetDriftArchive
from drift_archive.views import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive_runs import ArchiveRuns

ROOT = SCHEMAS.parent


@pytest.fixture(autouse=True, scope="module")
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Write the archives of the SDK's tests, whose path is relative, into a temporary folder."""
    with contextlib.chdir(tmp_path_factory.mktemp("sdk")):
        yield


BaseTests: Any = get_target_test_class(TargetDriftArchive, config={})


class TestTargetOfTheSdk(BaseTests):  # type: ignore[misc] # the SDK makes the class
    """The SDK's tests of targets."""


SCHEMA = json.dumps(
    {
        "type": "SCHEMA",
        "stream": "a",
        "schema": {"properties": {"id": {"type": "integer"}}},
        "key_properties": ["id"],
    }
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "RECORD", "secret', "Line 1 of the input: Input data was truncated"),
        ("[1]", "Line 1 of the input is not a Singer message"),
        ('{"type": "RECORD", "stream": "a", "record": {"secret": 1}}', "before a corresponding"),
        (f'{SCHEMA}\n{{"type":"RECORD","stream":"a","record":{{"b":"secret"}}}}', "key_properties"),
        (f'{SCHEMA}\n{{"type":"RECORD","stream":"a","record":{{"id":"secret"}}}}', "datatype"),
        ('{"type": "OTHER", "x": "secret"}', "unknown message type 'OTHER'"),
        ('{"type": "RECORD", "record": {"x": "secret"}}', "has no stream"),
        ('{"x": "secret"}', "has no type"),
    ],
)
def test_wrong_input_is_one_message_without_its_content(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end, errors_as_messages():
        TargetDriftArchive(config={"archive_path": str(tmp_path)}).listen(io.StringIO(text))
    assert end.value.code == 1
    [error] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert message in error
    assert "secret" not in error


def test_path_of_a_file_is_an_error(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = {"archive_path": str(tmp_path / "file")}
    with pytest.raises(SystemExit), errors_as_messages():
        TargetDriftArchive(config=config).listen(io.StringIO(SCHEMA))
    assert f"{tmp_path / 'file'}: File exists" in caplog.text


def test_unknown_setting_is_an_error(tmp_path: Path) -> None:
    """It could be a mistyped `archive_path`: the default is another folder."""
    with pytest.raises(ConfigValidationError) as error:
        TargetDriftArchive(config={"archive_pth": str(tmp_path)})
    assert "'archive_pth' was unexpected" in error.value.errors[0]


def test_missing_config_file_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [TargetDriftArchive.name, "--config=absent.json"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 1
    assert "absent.json" in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"title": "secret"', "truncated"),
        ('{"title": secret}', "malformed"),
        ("", "truncated"),
        ('["secret"]', "Expected `object`, got `array`"),
        ('{"title": "\udcff"}', "utf-8"),
    ],
)
def test_wrong_config_file_is_named_without_its_content(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str,
    reason: str,
) -> None:
    path = tmp_path / "target.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "argv", [TargetDriftArchive.name, f"--config={path}"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert f"'{path}'" in error
    assert reason in error
    assert "secret" not in error


def test_later_config_file_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "1.json").write_text('{"archive_path": "one", "title": "Chats"}')
    (tmp_path / "2.json").write_text('{"archive_path": "two"}')
    options = ["--config=1.json", "--config=ENV", "--config=2.json", "--input=empty"]
    monkeypatch.setattr(sys, "argv", [TargetDriftArchive.name, *options])
    monkeypatch.setenv("TARGET_DRIFT_ARCHIVE_REBUILD_PAGES", "true")
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 0
    assert "Chats" in (tmp_path / "two" / "index.html").read_text()


def test_unknown_log_level_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET_DRIFT_ARCHIVE_LOGLEVEL", "loud")
    with pytest.raises(SystemExit) as end:
        run()
    assert str(end.value.code).startswith("target-drift-archive: Unknown level: 'LOUD'")
    assert "TARGET_DRIFT_ARCHIVE_LOGLEVEL" in str(end.value.code)


def test_command_reports_an_error_without_traceback(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "drift_archive"],
        input="[1]",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "Line 1 of the input is not a Singer message" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_input_that_ends_early_is_shown(archive: ArchiveRuns) -> None:
    """A tap that fails closes the pipe: what has arrived is in the pages."""
    archive.add("conversations", conversation())
    archive.run()
    assert "Contact 7" in archive.page()


class StoppingInput(io.StringIO):
    """Sends a signal to the process while the second line of records is read."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override] # as TextIOBase
        line = super().readline(-1 if size is None else size)
        if '"id": 2' in line:
            os.kill(os.getpid(), signal.SIGTERM)
        return line


def test_signal_ends_the_input_and_writes_the_pages(archive: ArchiveRuns) -> None:
    archive.add("conversations", conversation(1), conversation(2), conversation(3))
    target = TargetDriftArchive(config={"archive_path": str(archive.folder)})
    with pytest.raises(SystemExit) as end:
        target.listen(StoppingInput("\n".join(archive.lines)))
    assert end.value.code == 128 + signal.SIGTERM
    assert archive.query("SELECT id FROM conversations") == [(1,)]
    assert "Contact 7" in archive.page()


def test_second_signal_ends_the_process_at_once(
    archive: ArchiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("conversations", conversation(1), conversation(2))
    target = TargetDriftArchive(config={"archive_path": str(archive.folder)})
    monkeypatch.setattr(
        "drift_archive.site.Site.write", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
    )
    with pytest.raises(SystemExit) as end:
        target.listen(StoppingInput("\n".join(archive.lines)))
    assert end.value.code == 128 + signal.SIGINT


def test_versions_are_ignored(archive: ArchiveRuns, caplog: pytest.LogCaptureFixture) -> None:
    archive.add("conversations", conversation())
    archive.add_messages({"type": "ACTIVATE_VERSION", "stream": "conversations", "version": 1})
    archive.run()
    assert archive.query("SELECT count(*) FROM conversations") == [(1,)]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_meltano_declares_the_settings() -> None:
    loaders = yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["loaders"]
    [loader] = [each for each in loaders if each["name"] == TargetDriftArchive.name]
    declared = {setting["name"]: setting.get("value") for setting in loader["settings"]}
    properties = TargetDriftArchive.config_jsonschema["properties"]
    assert declared == {name: setting.get("default") for name, setting in properties.items()}


@pytest.mark.parametrize("stream", COLUMNS)
def test_pages_show_columns_that_the_tap_extracts(stream: str) -> None:
    schema = json.loads((SCHEMAS / f"{stream}.json").read_text())
    assert set(COLUMNS[stream]) <= schema["properties"].keys()


def test_settings_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "archive.md").read_text(), re.MULTILINE)
    sdk = {"stream_maps", "stream_map_config", "faker_config"}
    assert {*rows} == TargetDriftArchive.config_jsonschema["properties"].keys() - sdk


def test_every_module_is_documented() -> None:
    page = (ROOT / "docs" / "archive.md").read_text()
    listed = {*re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE)}
    modules = {path.name for path in (ROOT / "drift_archive").glob("*.py")}
    assert listed == {name for name in modules if not name.startswith("__")}


def test_version_is_that_of_the_distribution() -> None:
    assert TargetDriftArchive.get_plugin_version() == version("tap-drift")
