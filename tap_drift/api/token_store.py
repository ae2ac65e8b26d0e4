"""Keeping what must be there in the next run: the refresh token, in the `--config` file."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("tap-drift")


class TokenNotSavedError(Exception):
    """A refresh token that cannot be kept; the message says why."""


def save_refresh_token(sources: Sequence[str], used: str, new: str) -> None:
    """Put the next refresh token where the one that was used up came from; else warn.

    Args:
        sources: What was given as `--config`.
        used: The refresh token that was used up.
        new: The one that takes its place.
    """
    try:
        _replace(_only_file(sources), used, new)
    except (TokenNotSavedError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        logger.warning(
            "The new `refresh_token` cannot be kept: %s. The old one is used up, so authorize the "
            "app again before the next run; or use the `access_token` of a private app, which "
            "stays good.",
            why,
        )


def _only_file(sources: Sequence[str]) -> Path:
    if "MELTANO_EXTRACTOR_NAME" in os.environ:
        raise TokenNotSavedError("Meltano writes the settings anew for each run")
    if len(sources) != 1 or not Path(sources[0]).is_file():
        raise TokenNotSavedError("that needs one --config file, with all settings in it")
    # The file itself, where a link points to it.
    return Path(sources[0]).resolve()


def _replace(path: Path, used: str, new: str) -> None:
    """Change one setting in a file that is whole at any moment, the old one or the new one."""
    text = path.read_text(encoding="utf-8")
    with path.open("r+b"):
        pass  # who may not write to the file may not put another in its place
    try:
        config = json.loads(text)
        ours = config["refresh_token"].strip() == used
    except (AttributeError, KeyError, TypeError, ValueError):
        ours = False
    if not ours:
        raise TokenNotSavedError("another one is in the --config file by now")
    indent = re.match(r"\s*\{\s*\n([ \t]+)", text)
    changed = json.dumps(
        config | {"refresh_token": new}, indent=indent and indent[1], ensure_ascii=False
    )
    _write(path, changed + text[len(text.rstrip()) :])


def _write(path: Path, text: str) -> None:
    was = path.stat()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            with suppress(OSError):  # only root may give a file away
                os.chown(fresh, was.st_uid, was.st_gid)
            fresh.chmod(was.st_mode & 0o7777)
            file.write(text)
            file.flush()
            os.fsync(number)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
