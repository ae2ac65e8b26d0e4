"""`python -m tap_drift`: the same as the command `tap-drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_drift.cli import as_process
from tap_drift.tap import TapDrift

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the tap as a process of its own."""
    as_process(TapDrift.cli)


if __name__ == "__main__":
    main()
