"""Names and texts that look like SQL are names and texts to the databases of read models."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, inspect, select, text

from eventkit import Event, RecordedEvent
from eventkit.cli.urls import read_models_beside
from eventkit.errors import EventkitError, InvalidProjection
from eventkit.projection import (
    DeadLetters,
    Projection,
    ReadModels,
    Runner,
    Transaction,
    Versions,
    failures,
    on,
)
from eventkit.projection.tables import with_suffix
from eventkit.projection.versions_postgres import Grant, grants_of, quoted
from eventkit.projection.versions_postgres import run as run_sql
from eventkit.sqlite import SqliteStore
from tests.kafka.verify_kit import run
from tests.projection.plugin import Database

NAMES = [
    'a"; DROP TABLE victim; --', "odd %s %(x)s %% {0}", "a'b:c ::d :p0", "back\\slash\\:x",
    "-- [x] `y` $$z$$", "/* ünï\u202e", "a\nb", "SELECT",
]  # fmt: skip
TEXTS = [
    "'; DROP TABLE victim; --", '" OR 1=1 --', "%s %(x)s %%", "\\.", "\\N", "\\x00", "a\tb\r\nc",
    ":p0 ::x", "{0}", "$$", "\u202e", "\ufeff", "'", '"', "\\", "NULL", "", "/*", "\x1b[2J",
]  # fmt: skip
EVENTS = TEXTS * 3
"""So many that PostgreSQL gets them by COPY."""
CONTROL = re.compile(r"[\x00-\x1f]")
"""What no id may hold."""


class Said(Event):
    what: str
    number: int


def tables(*more: str) -> dict[str, Table]:
    """A table for each name, with a column and an index that are called so, too."""
    return {
        f"t{number}": Table(
            name,
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column(f"c {name}", String),
            Column("count", Integer),
            *(Column(it, Integer) for it in more),
            Index(f"i {name}", f"c {name}"),
        )
        for number, name in enumerate(NAMES)
    }


class Odd(Projection):
    name = "odd"
    locals().update(tables())

    @on(Said)
    def said(self, recorded: RecordedEvent, tx: Transaction) -> None:
        event = recorded.event
        assert isinstance(event, Said)
        for number, name in enumerate(NAMES):
            table = getattr(self, f"t{number}")
            tx.insert(table, {"id": event.number, f"c {name}": event.what})
            tx.upsert(table, {"id": event.number}, add={"count": 1})


class Odd2(Odd):
    version = 2
    locals().update(tables("later %s"))


class Failing(Projection):
    name = "failing"
    heard = Table("heard", MetaData(), Column("who", String, primary_key=True))

    @on(Said)
    def said(self, recorded: RecordedEvent, tx: Transaction) -> None:
        event = recorded.event
        assert isinstance(event, Said)
        tx.insert(self.heard, {"who": recorded.aggregate_id})
        raise ValueError(f"{event.what}\x00")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path_factory.mktemp("log") / "events.db") as store:
        for number, what in enumerate(EVENTS):
            store.append(f"talk-{number} {CONTROL.sub('', what)}", [Said(what=what, number=number)])
        yield store


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with a table that nobody must drop."""
    if request.param == "sqlite":
        database: Any = None
        url = f"sqlite:///{tmp_path_factory.mktemp('models')}/models.db"
    else:
        database = Database(request.getfixturevalue("postgres")).__enter__()
        url = database.url
    with ReadModels(url) as models, models.writing() as connection:
        connection.execute(text("CREATE TABLE victim (x INTEGER)"))
    yield url
    if database is not None:
        database.__exit__()


@pytest.fixture(scope="module")
def models(url: str) -> Iterator[ReadModels]:
    with ReadModels(url, timeout=5, patience=0) as models:
        yield models
        with models.connect() as connection:
            assert inspect(connection).has_table("victim")


def held(models: ReadModels, suffix: str = "") -> list[list[tuple[int, str, int]]]:
    """The rows of all odd tables."""
    found = []
    with models.connect() as connection:
        for name in NAMES:
            columns = Column("id", Integer), Column(f"c {name}", String), Column("count", Integer)
            table = Table(with_suffix(name, suffix), MetaData(), *columns)
            rows = connection.execute(select(table).order_by(table.c.id))
            found.append([(row[0], row[1], row[2]) for row in rows])
    return found


ALL = [[(number, what, 1) for number, what in enumerate(EVENTS)]] * len(NAMES)


def test_names_that_look_like_sql_are_names_in_all_that_is_done_with_a_read_model(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Odd(), store, models).run()
    assert held(models) == ALL
    Runner(Odd(), store, models).rebuild()
    assert held(models) == ALL
    Runner(Odd2(), store, models).rebuild_beside()
    assert held(models, "__v2") == ALL
    versions = Versions("odd", models)
    assert versions.diff().equal
    versions.switch()
    assert (held(models), held(models, "__v1")) == (ALL, ALL)
    versions.rollback()
    versions.drop()
    assert held(models) == ALL
    Runner(Odd(), store, models).reset()
    assert held(models) == [[]] * len(NAMES)
    assert Runner(Odd(), store, models).run() == len(EVENTS)


def test_views_and_grants_follow_tables_with_such_names(store: SqliteStore, database: str) -> None:
    public = [Grant("PUBLIC", "SELECT", False)]
    with ReadModels(database, timeout=5, patience=0) as models:
        Runner(Odd(), store, models).run()
        with models.writing() as connection:
            for table in tables().values():
                name, view = quoted([table.name, f"v {table.name}"])
                run_sql(connection, f"GRANT SELECT ON {name} TO PUBLIC")
                run_sql(connection, f"CREATE VIEW {view} AS TABLE {name}")
        Runner(Odd2(), store, models).rebuild_beside()
        Versions("odd", models).switch()
        with models.connect() as connection:
            assert all(grants_of(connection, name) == public for name in NAMES)
            views = [Table(f"v {name}", MetaData(), Column("id", Integer)) for name in NAMES]
            counts = [len(connection.execute(select(it)).all()) for it in views]
        assert counts == [len(EVENTS)] * len(NAMES)
        Versions("odd", models).drop()


def test_reasons_errors_and_ids_of_dead_letters_are_kept_as_they_are(
    store: SqliteStore, url: str, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_PAUSES", ())
    Runner(Failing(), store, models).run()
    letters = DeadLetters(Failing(), store, models)
    parked = letters.all()
    assert [it.aggregate_id for it in parked] == [it.aggregate_id for it in store.replay()]
    first_lines = [what.partition("\n")[0] for what in EVENTS]
    ends = ["" if "\n" in what else "\\x00" for what in EVENTS]
    assert [it.error for it in parked] == [
        f"ValueError: {line}{end}" for line, end in zip(first_lines, ends, strict=True)
    ]
    reasons = [f"{what or 'none'}\x00" for what in TEXTS]
    for letter, reason in zip(parked, reasons, strict=False):
        letters.discard(letter.number, reason)
    found = {it.number: it.reason for it in letters.all() if it.state == "discarded"}
    assert list(found.values()) == [it.replace("\x00", "\\x00") for it in reasons]
    for name in (TEXTS[0], NAMES[1]):
        told = run("--read-models", url, "dead-letters", "list", "--json", name)
        assert (told.code, told.out) == (0, "")


@pytest.mark.parametrize("name", [*NAMES[:3], "public.victim", "x" * 200, "", "1", "a;b"])
def test_a_projection_or_group_has_a_plain_name(name: str) -> None:
    for attribute in ("name", "group"):
        with pytest.raises(InvalidProjection, match="is no name for a projection"):
            type("Named", (Odd,), {"name": "odd", attribute: name})


def test_a_table_name_is_never_read_as_that_of_another_schema() -> None:
    victim = Table("public.victim", MetaData(), Column("id", Integer, primary_key=True))
    with pytest.raises(InvalidProjection, match=r"'public\.victim' holds a '\.'"):
        type("Dotted", (Odd,), {"t0": victim})


@pytest.mark.parametrize(
    "command",
    ["versions", "diff", "switch", "drop"],
)
def test_a_name_of_the_command_line_is_only_looked_up(command: str, url: str) -> None:
    for name in NAMES[:2]:
        told = run("--read-models", url, "projection", command, "--", name)
        assert told.code in (1, 2, 3)
        assert any(it in told.err for it in ("odd", "no projection", "no read models"))


@pytest.mark.parametrize("value", [NAMES[0], NAMES[2]])
def test_options_of_a_url_are_values(value: str, postgres: str) -> None:
    with (
        ReadModels(f"{postgres}?application_name={quote(value)}") as models,
        models.writing() as connection,
    ):
        told = connection.execute(text("SELECT current_setting('application_name')"))
        assert told.scalar() == value
    for option in ("options", "sslmode", "client_encoding"):
        with (
            ReadModels(f"{postgres}?{option}={quote(value)}", timeout=2) as models,
            pytest.raises(EventkitError),
            models.writing(),
        ):
            pass


@pytest.mark.parametrize("prefix", ["../../x/", "/etc/x", "%2e%2e%2fx", "a'b\"c;", "\x00", "x" * 9])
def test_a_prefix_of_a_log_leads_to_no_other_folder(prefix: str) -> None:
    url = read_models_beside(f"kafka://../../h:9092?prefix={prefix}")
    name = url.removeprefix("sqlite:///")
    assert os.sep not in name
    assert Path(name).resolve().parent == Path.cwd()
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
