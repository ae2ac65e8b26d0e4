"""Token store: saves the rotated OAuth refresh token in the `--config` file."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_drift.exceptions import TokenNotSavedError
from tap_drift.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("tap-drift")

_BYTE_ORDER_MARK = "\ufeff"


class ConfigFileTokenStore:
    """Keeps the refresh token in the `--config` file."""

    def __init__(self, sources: Sequence[str]) -> None:
        """Create a store.

        Args:
            sources: Values of `--config`.
        """
        self._sources = sources

    def check(self, used: str) -> None:
        """Check that a new token could replace the used one, before one is requested.

        Raises:
            TokenNotSavedError: If it could not.
        """
        try:
            path = _settings_file(self._sources)
            _read_config(path, used)
            _check_writable(path)
        except (TokenNotSavedError, OSError) as error:
            raise TokenNotSavedError(
                f"The new `refresh_token` could not be saved: {_reason(error)}. No token was "
                "requested, so the one in the settings is still valid. Use one writable --config "
                "file with all settings, or the `access_token` of a private app."
            ) from None

    def save(self, used: str, new: str) -> None:
        """Replace the used token by the new one, or log a warning."""
        try:
            path = _settings_file(self._sources)
            text, config = _read_config(path, used)
            indent = re.match(r"\s*\{\s*\n([ \t]+)", text.removeprefix(_BYTE_ORDER_MARK))
            changed = json.dumps(
                config | {"refresh_token": new}, indent=indent and indent[1], ensure_ascii=False
            )
            mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
            write_atomically(path, mark + changed + text[len(text.rstrip()) :])
        except (TokenNotSavedError, OSError) as error:
            logger.warning(
                "The new `refresh_token` could not be saved: %s. The old one is no longer valid: "
                "authorize the app again before the next run.",
                _reason(error),
            )


def _reason(error: TokenNotSavedError | OSError) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error)


def _settings_file(sources: Sequence[str]) -> Path:
    if "MELTANO_EXTRACTOR_NAME" in os.environ:
        raise TokenNotSavedError("Meltano writes the settings file again for each run")
    if len(sources) != 1 or not Path(sources[0]).is_file():
        raise TokenNotSavedError("that needs one --config file with all settings")
    return Path(sources[0]).resolve()  # replace the file, not a link to it


def _read_config(path: Path, used: str) -> tuple[str, dict[str, Any]]:
    """Return text and content of the settings file, if it still has the used token."""
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text.removeprefix(_BYTE_ORDER_MARK))
        is_current = config["refresh_token"].strip() == used
    except (AttributeError, KeyError, TypeError, ValueError):
        is_current = False
    if not is_current:
        raise TokenNotSavedError("the --config file has another one by now")
    return text, config


def _check_writable(path: Path) -> None:
    """Check file and folder: os.replace() would succeed on a read-only file."""
    with path.open("r+b"):
        pass
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    Path(name).unlink()
