"""Which saved attachments a page links to, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from drift_archive.text import is_web_link

if TYPE_CHECKING:
    from collections.abc import Mapping

# A browser shows these as images, in which no script runs, whatever they contain.
_IMAGES = {".apng", ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".svg"}
# Opened from a link, an SVG is a page, and so is an HTML file: its scripts would run.
_LINKED = (_IMAGES - {".svg"}) | {
    *(".7z", ".csv", ".doc", ".docx", ".eml", ".gz", ".ics", ".json", ".log", ".m4a", ".md"),
    *(".mov", ".mp3", ".mp4", ".odp", ".ods", ".odt", ".ogg", ".pdf", ".ppt", ".pptx", ".rar"),
    *(".rtf", ".tar", ".tif", ".tiff", ".tsv", ".txt", ".wav", ".webm", ".xls", ".xlsx", ".zip"),
}


@dataclass(frozen=True)
class AttachmentLink:
    """How a page shows an attachment.

    Attributes:
        name: The file's name in Drift.
        details: Media type and size, as far as known.
        href: URL of the saved file relative to the page, if it is safe to open.
        image: URL of the saved file relative to the page, if it is an image.
        path: Path of the saved file, if it is not linked.
        source: URL at Drift, if the file was not saved.
        sha256: Hash of the saved file.
    """

    name: str
    details: str
    href: str | None = None
    image: str | None = None
    path: str | None = None
    source: str | None = None
    sha256: str | None = None


class Attachments:
    """The folder of the saved attachments, seen from the pages.

    Args:
        folder: The folder, or another location that a page cannot link to, such as `s3://…`.
        pages: A folder with pages.
    """

    def __init__(self, folder: str, pages: Path) -> None:
        self._folder = None if "://" in folder else Path(folder).resolve()
        self._prefix = ""
        if self._folder:
            relative = os.path.relpath(self._folder, pages.resolve())
            self._prefix = quote(Path(relative).as_posix()) + "/"

    def link(self, row: Mapping[str, Any]) -> AttachmentLink:
        """Return the link for a row of `attachments`, or an entry of a message's `attachments`."""
        path = row.get("path")
        name = str(row.get("fileName") or path or f"attachment {row.get('id')}")
        size = row.get("size")
        parts = [row.get("mimeType"), _format_size(size) if isinstance(size, int) else None]
        details = ", ".join(str(part) for part in parts if part)
        if not isinstance(path, str) or not self._exists(path):
            source = row.get("url")
            return AttachmentLink(name, details, source=source if is_web_link(source) else None)
        url = self._prefix + quote(path)
        suffix = PurePosixPath(path).suffix.lower()
        return AttachmentLink(
            name,
            details,
            href=url if suffix in _LINKED else None,
            image=url if suffix in _IMAGES else None,
            path=None if suffix in _LINKED else path,
            sha256=row.get("sha256"),
        )

    def _exists(self, path: str) -> bool:
        """Whether a path leads to a file in the folder, and not out of it."""
        if self._folder is None:
            return False
        try:
            file = (self._folder / path).resolve()
            return file.is_relative_to(self._folder) and file.is_file()
        except (OSError, ValueError):
            return False


def _format_size(size: int) -> str:
    number = float(size)
    for unit in ("B", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004 - from one decimal unit to the next
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
