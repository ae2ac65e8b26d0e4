"""Entry point of the command `target-drift-archive`, also as `python -m drift_archive`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the target; report errors as messages."""
    try:
        from drift_archive.command import run  # noqa: PLC0415 - the packages may be missing
    except ModuleNotFoundError as error:
        sys.exit(
            f"target-drift-archive: the package {error.name} is not installed. "
            "Install tap-drift with its extra: pip install 'tap-drift[archive]'"
        )
    run()


if __name__ == "__main__":
    main()
