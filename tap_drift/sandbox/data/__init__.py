"""The generated account. The same seed and size always generate the same account."""
