"""The target: settings, database, pages and signals."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from singer_sdk import Target
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import PluginCapabilities
from typing_extensions import override

from drift_archive.database import Database
from drift_archive.reader import Interrupted, MessageReader
from drift_archive.sink import ArchiveSink
from drift_archive.site import Site

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.plugin_base import _ConfigInput

DATABASE_NAME = "drift.sqlite"

_ENVIRONMENT = "ENV"


class TargetDriftArchive(Target):
    """Writes an archive of a Drift account: one SQLite database, and pages to read and search."""

    name = "target-drift-archive"
    package_name = "tap-drift"
    default_sink_class = ArchiveSink
    message_reader_class = MessageReader
    message_reader: MessageReader
    # A STATE message is written after a commit; a lost connection costs this much at most.
    _MAX_RECORD_AGE_IN_MINUTES = 0.5
    # SQLite has one writer.
    _max_parallelism = 1

    capabilities = [  # noqa: RUF012 - as the SDK declares it
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    config_jsonschema = th.PropertiesList(
        th.Property(
            "archive_path",
            th.StringType,
            default="archive",
            title="Archive path",
            description="Folder of the archive. It is created; later runs update it.",
        ),
        th.Property(
            "attachments_path",
            th.StringType,
            title="Attachments path",
            description="Folder of the saved attachments: the tap's setting `attachments_path`. "
            "If it is not set, it is `attachments` in the folder of the archive.",
        ),
        th.Property(
            "title",
            th.StringType,
            default="Drift archive",
            title="Title",
            description="Title of the pages.",
        ),
        th.Property(
            "rebuild_pages",
            th.BooleanType,
            default=False,
            title="Rebuild pages",
            description="Write the pages of all conversations again, also of those that did not "
            "change.",
        ),
        # A mistyped `archive_path` would write into the default folder.
        additional_properties=False,
    ).to_dict()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_parallelism = 1
        self._signal: int | None = None

    @cached_property
    def database(self) -> Database:
        """The database of the archive."""
        return Database(self._folder / DATABASE_NAME)

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Return the settings of the files, of which the later one wins."""
        config = super().cb_config(
            ctx, param, tuple(each for each in value if each == _ENVIRONMENT)
        )
        for path in value:
            if path != _ENVIRONMENT:
                config.config |= _read_config(path)
        return config

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        # Without the SDK's settings of targets: the archive always updates rows by their key.
        super(Target, cls).append_builtin_config(config_jsonschema)

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        super()._process_schema_message(message_dict)
        for sink in self._sinks_to_clear:
            # The SDK writes the records of the old schema at the next full drain only: they would
            # replace newer ones of the same rows.
            self.drain_one(sink)

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Do nothing: the archive keeps rows that Drift no longer has."""

    @override
    def process_endofpipe(self) -> None:
        super().process_endofpipe()
        try:
            written = self._write_pages()
        finally:
            self.database.close()
        self.logger.info(
            "Wrote %s pages of conversations. Open %s",
            f"{written:,}",
            self._folder / "index.html",
        )
        if self._signal is not None:
            sys.exit(128 + self._signal)

    def _write_pages(self) -> int:
        attachments = self.config.get("attachments_path") or str(self._folder / "attachments")
        site = Site(self.database, self._folder, attachments, self.config["title"])
        return site.write(everything=self.config["rebuild_pages"])

    @property
    def _folder(self) -> Path:
        return Path(self.config["archive_path"])

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End the input and write the pages; end at once after a second signal."""
        if self._signal is not None:
            sys.exit(128 + signum)
        self._signal = signum
        self.logger.info(
            "Signal %d: reading no further. Writing the pages of what has arrived; a second signal "
            "ends the process at once, and the next run writes them.",
            signum,
        )
        self.message_reader.is_stopped = True
        if self.message_reader.is_waiting:
            raise Interrupted


def _read_config(path: str) -> dict[str, Any]:
    """Read a file of settings; the error does not show its content."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"'{path}' is not a JSON object of settings: {error}.") from None
