"""Entry point of the command `tap-drift`, also as `python -m tap_drift`."""
# ruff: noqa: E402 - garbage collection is off before the first import

from __future__ import annotations

import gc

# A tenth of the start: imports keep what they allocate, so collections find nothing.
gc.disable()

import sys
from functools import partial
from typing import TYPE_CHECKING

from tap_drift.cli import log_level_error
from tap_drift.process import run_as_process
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from typing import NoReturn

gc.freeze()
gc.enable()


def main() -> NoReturn:
    """Run the tap, and end the process."""
    # `TapDrift.cli` sets up the SDK's logging, which raises for an unknown level.
    if error := log_level_error():
        sys.exit(f"tap-drift: {error}")
    # `drift-run` starts this module, and messages are to name the command.
    run_as_process(partial(TapDrift.cli, prog_name="tap-drift"))


if __name__ == "__main__":
    main()
