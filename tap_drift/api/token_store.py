"""Token store: saves the rotated OAuth refresh token in the `--config` file."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tap_drift.exceptions import TokenNotSavedError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("tap-drift")


def save_refresh_token(sources: Sequence[str], used: str, new: str) -> None:
    """Replace the used refresh token in the settings file by the new one, or log a warning.

    Args:
        sources: Values of `--config`.
        used: The refresh token that is no longer valid.
        new: The refresh token for the next run.
    """
    try:
        _replace_token(_settings_file(sources), used, new)
    except (TokenNotSavedError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        logger.warning(
            "The new `refresh_token` cannot be saved: %s. The old one is no longer valid: "
            "authorize the app again before the next run, or use the `access_token` of a private "
            "app, which does not expire.",
            reason,
        )


def _settings_file(sources: Sequence[str]) -> Path:
    if "MELTANO_EXTRACTOR_NAME" in os.environ:
        raise TokenNotSavedError("Meltano writes the settings file again for each run")
    if len(sources) != 1 or not Path(sources[0]).is_file():
        raise TokenNotSavedError("one --config file with all settings is needed for that")
    return Path(sources[0]).resolve()  # replace the file, not a link to it


def _replace_token(path: Path, used: str, new: str) -> None:
    """Change one setting; the file has either the old content or the new one at any moment."""
    text = path.read_text(encoding="utf-8")
    with path.open("r+b"):
        pass  # checks write permission: os.replace() would succeed on a read-only file
    try:
        config = json.loads(text)
        is_current = config["refresh_token"].strip() == used
    except (AttributeError, KeyError, TypeError, ValueError):
        is_current = False
    if not is_current:
        raise TokenNotSavedError("the --config file has another one by now")
    indent = re.match(r"\s*\{\s*\n([ \t]+)", text)
    changed = json.dumps(
        config | {"refresh_token": new}, indent=indent and indent[1], ensure_ascii=False
    )
    _write_atomically(path, changed + text[len(text.rstrip()) :])


def _write_atomically(path: Path, text: str) -> None:
    original = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            with suppress(OSError):  # only root can change the owner
                os.chown(temporary, original.st_uid, original.st_gid)
            temporary.chmod(original.st_mode & 0o7777)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
