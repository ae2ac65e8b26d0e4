"""The command `source-drift`: the tap as an Airbyte source connector."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run `source-drift`, or exit with code 1 if the extra `airbyte` is not installed."""
    if find_spec("airbyte_protocol_dataclasses") is None:
        sys.exit(
            "source-drift requires the extra `airbyte`. In a checkout of the repository, run `uv "
            "run --extra airbyte source-drift`; elsewhere, install it with pip install "
            "'PATH[airbyte]', where PATH is that of the checkout."
        )
    from tap_drift.airbyte.command import run  # noqa: PLC0415 - imports the optional dependency

    run()
