"""The PostgreSQL of the tests: what they rely on when they break it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.projection.plugin import Database
from tools.postgres import sources
from tools.postgres.errors import PostgresError
from tools.postgres.programs import find_programs
from tools.postgres.server import Server

STARTS_ONE = """\
import sys, time
from tools.postgres.local_server import LocalServer
from tools.postgres.programs import find_programs
server = LocalServer(find_programs())
server.start()
print(server.url, server.log.parent, flush=True)
time.sleep(600)
"""


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_it_keeps_what_was_committed_over_a_stop_and_a_crash(breakable_postgres: Server) -> None:
    url = breakable_postgres.url
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    for end in (breakable_postgres.stop, breakable_postgres.kill):
        end()
        assert not answers(url)
        breakable_postgres.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (42,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_it_ends_with_the_process_that_started_it() -> None:
    if find_programs() is None:
        pytest.skip("the server runs in Docker here")
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE],
        stdout=subprocess.PIPE,
        text=True,
        env={"TMPDIR": "/tmp", "PYTHONPATH": ":".join(sys.path)},  # noqa: S108 - another user's too
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        url, folder = parent.stdout.readline().split()
        assert answers(url)
        parent.kill()
    deadline = time.monotonic() + 20
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.rmtree(folder)


def test_a_machine_that_has_none_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_programs", lambda: None)
    monkeypatch.setattr("tools.broker.from_docker.engine_answers", lambda: False)
    with pytest.raises(PostgresError, match="apt install postgresql"):
        sources.choose()


def test_a_database_is_as_good_as_new_for_the_next_test(postgres: str) -> None:
    with Database(postgres) as database:
        before = database.url
        with psycopg.connect(before, autocommit=True) as left_open:
            left_open.execute("CREATE TABLE a (b int); CREATE SCHEMA c; CREATE VIEW c.d AS TABLE a")
            database.empty()
            with pytest.raises(psycopg.OperationalError):
                left_open.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(before, connect_timeout=5)
        with Database(postgres) as new:
            assert held(database.url) == held(new.url)


def held(url: str) -> list[tuple[object, ...]]:
    """All that is in a database by name, and who may use its schemas."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        tables = connection.execute("SELECT relname, relkind::text FROM pg_class ORDER BY oid")
        named = {it for it in tables.fetchall() if not str(it[0]).startswith("pg_toast")}
        schemas = connection.execute(
            "SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace ORDER BY 1"
        )
        return [*sorted(named), *schemas.fetchall()]
