"""Read models in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text

from eventkit.errors import InvalidUrl, ReadModelError
from eventkit.projection.forked import leave_to_parent
from eventkit.projection.metadata import METADATA
from eventkit.projection.postgres_failures import translate

_STATEMENT_SECONDS = 60
"""No statement of a batch takes longer; one that does waits for something that will not come."""
_IDLE_SECONDS = 30
"""A worker that froze within a batch loses its transaction after this, and with it its locks."""
_BUILDS_LOCK = 0x6576656E746B6974
"""Names the lock of `lock_builds` within a database; no other program takes it by chance."""

_CONNECT = {
    "application_name": "eventkit",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""A server whose machine is gone is noticed in half a minute, not after two hours."""


class PostgresDatabase:
    """See `Database`.

    Parameters:
        url: `postgresql://user:password@host:port/database`; what libpq takes may follow the `?`.
        timeout: seconds to wait for a connection, and for what others have locked.
        patience: seconds for which a batch is tried again while the server is away.
    """

    def __init__(self, url: URL, timeout: float, patience: float) -> None:
        if url.drivername not in {"postgresql", "postgresql+psycopg"}:
            raise InvalidUrl(
                url.render_as_string(), "psycopg alone is used: write postgresql:// and no driver"
            )
        if not url.database:
            raise InvalidUrl(
                url.render_as_string(),
                "it names no database; write postgresql://user:password@host:5432/database",
            )
        self._url = url.set(drivername="postgresql+psycopg")
        self._timeout = timeout
        self.patience = patience
        self._found = False
        self.writer = self._engine(
            {
                "lock_timeout": f"{round(timeout * 1000)}ms",
                "statement_timeout": f"{_STATEMENT_SECONDS}s",
                "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS}s",
            },
            isolation_level="READ COMMITTED",
        )
        self.reader = self._engine(
            {},
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )

    @property
    def where(self) -> str:
        """See `Database`."""
        return self.url

    @property
    def url(self) -> str:
        """User, host and database; nothing of what follows, which may hold a password too."""
        url = self._url
        return URL.create(
            "postgresql", url.username, None, url.host, url.port, url.database
        ).render_as_string()

    def exists(self) -> bool:
        """See `Database`."""
        if not self._found:
            with self.reader.connect() as connection:
                tables = inspect(connection)
                self._found = all(tables.has_table(name) for name in METADATA.tables)
        return self._found

    def translate(self, error: BaseException) -> ReadModelError | None:
        """See `Database`."""
        return translate(error, self.where)

    def lock_builds(self, connection: Connection) -> None:
        """See `Database`."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BUILDS_LOCK})

    def _engine(self, settings: Mapping[str, str], **options: Any) -> Engine:
        given = {name: value for name, value in _CONNECT.items() if name not in self._url.query}
        if "connect_timeout" not in self._url.query:
            given["connect_timeout"] = str(max(2, round(self._timeout)))
        engine = create_engine(
            self._url,
            connect_args=given,
            pool_pre_ping=True,  # a connection may be from before the server's restart
            **options,
        )
        wanted = {name: settings[name] for name in settings if name not in self._options()}
        # Moments without a time zone mean UTC, whatever the server's machine is set to.
        wanted |= {"timezone": "UTC"}

        def prepare(connection: psycopg.Connection[Any], _record: Any) -> None:
            for name, value in wanted.items():
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            connection.commit()

        event.listen(engine, "connect", prepare)
        leave_to_parent(engine)
        return engine

    def _options(self) -> str:
        """Settings that the URL makes by itself: `?options=-c statement_timeout=5min`."""
        return str(self._url.query.get("options", ""))
