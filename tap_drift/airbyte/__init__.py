"""The command `source-drift`: the same tap, spoken to in Airbyte's protocol."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the source as a process of its own, if what it needs is installed."""
    if find_spec("airbyte_protocol_dataclasses") is None:
        sys.exit("source-drift needs the extra `airbyte`: pip install 'tap-drift[airbyte]'.")
    from tap_drift.airbyte.command import run  # noqa: PLC0415 - only if it can be imported

    run()
