"""The PostgreSQL that tests run against: chosen once, started when the first test asks for it.

In this order: the URL given by `--postgres` or EVENTKIT_TEST_POSTGRES, Docker, PostgreSQL's own
programs. Without any of them the tests fail.
"""

import os
from collections.abc import Iterator
from itertools import count
from typing import Self

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tools.postgres.errors import PostgresError
from tools.postgres.server import Server
from tools.postgres.sources import choose


class Servers:
    """The servers of one test run: each stays from the first test that asks for it on.

    Args:
        given: the URL of a server that runs already; None starts one.
    """

    def __init__(self, given: str | None) -> None:
        self.given = given
        self._own: Server | None = None
        self._problem: PostgresError | None = None

    def own(self) -> Server:
        """A server that was started here, which tests may break."""
        if self._problem is not None:
            pytest.fail(str(self._problem), pytrace=False)
        try:
            if self._own is None:
                self._own = choose().make()
            self._own.start()
        except PostgresError as error:
            self._problem = error
            pytest.fail(str(error), pytrace=False)
        return self._own

    def url(self) -> str:
        """The URL of the server that tests share."""
        return self.given or self.own().url

    def close(self) -> None:
        """End what was started."""
        if self._own is not None:
            self._own.close()


SERVERS = pytest.StashKey[Servers]()
NUMBERS = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        metavar="URL",
        default=os.environ.get("EVENTKIT_TEST_POSTGRES"),
        help="run the PostgreSQL tests against this server (also EVENTKIT_TEST_POSTGRES); "
        "without it, one is started by Docker or from PostgreSQL's own programs",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVERS] = Servers(config.getoption("--postgres"))


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS].close()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> str:
    """The URL of a server that the whole run shares: make databases of your own."""
    return pytestconfig.stash[SERVERS].url()


@pytest.fixture
def breakable_postgres(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A server that the test may stop, kill and start; afterwards it runs again."""
    server = pytestconfig.stash[SERVERS].own()
    yield server
    server.start()


@pytest.fixture(scope="session")
def kept_database(postgres: str) -> Iterator["Database"]:
    """What `database` gives to one test after the other."""
    with Database(postgres) as made:
        yield made


@pytest.fixture
def database(kept_database: "Database") -> Iterator[str]:
    """The URL of an empty database on the shared server, of a name that no test had before."""
    yield kept_database.url
    kept_database.empty()


OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
)
# As in a database that was just made.
PUBLIC = """
CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC
"""


class Database:
    """A new, empty database, dropped at the end."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.name = _new_name()

    @property
    def url(self) -> str:
        """Its URL."""
        at = conninfo_to_dict(self._server)
        user, password = at["user"], at.get("password", "")
        return f"postgresql://{user}:{password}@{at['host']}:{at.get('port', 5432)}/{self.name}"

    def __enter__(self) -> Self:
        self._do("CREATE DATABASE {}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def empty(self) -> None:
        """Make it as good as new, with a new name, so that nobody of before finds it.

        A tenth of what it takes to drop it and make another: that copies a database, and each drop
        waits until all that any test has written is on the disk.
        """
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(OTHERS)
            for (schema,) in connection.execute(SCHEMAS).fetchall():
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute(PUBLIC)
        name = _new_name()
        self._do("ALTER DATABASE {} RENAME TO {}", name)
        self.name = name

    def _do(self, statement: str, *more: str) -> None:
        names = map(sql.Identifier, (self.name, *more))
        with psycopg.connect(self._server, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL(statement).format(*names))


def _new_name() -> str:
    return f"test_{os.getpid()}_{next(NUMBERS)}"
