"""A PostgreSQL server for tests and for people; README.md says how to use it."""
