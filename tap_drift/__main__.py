"""`python -m tap_drift`: the same as the command `tap-drift`."""

from tap_drift.tap import TapDrift

TapDrift.cli()
