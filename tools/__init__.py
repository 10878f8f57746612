"""What people who work on eventkit run by hand and in tests; not installed with the library."""
