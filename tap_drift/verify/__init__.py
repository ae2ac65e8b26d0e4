"""The command `drift-verify`: whether what a run emitted is all that Drift had."""
