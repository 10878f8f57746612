"""Snapshots in their compacted topic, in the index, and without one."""
