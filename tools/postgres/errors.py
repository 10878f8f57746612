"""What goes wrong with a server."""


class PostgresError(Exception):
    """A PostgreSQL server could not be had or started; the message says why and what to do."""
