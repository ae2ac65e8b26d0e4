"""The command `drift-verify`: compares an extraction with what Drift has now."""
