"""Reading without an index: scans of the log."""
