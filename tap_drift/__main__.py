"""Entry point of the command `tap-drift`, also as `python -m tap_drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.cli import run_as_process
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the tap, and end the process."""
    run_as_process(TapDrift.cli)


if __name__ == "__main__":
    main()
