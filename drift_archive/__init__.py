"""Singer target that writes an archive of a Drift account: a database and pages to read."""
