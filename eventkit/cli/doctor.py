"""`eventkit doctor`: whether all is there that a store needs, and how to mend what is not."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.kafka import is_kafka
from eventkit.cli.kafka_health import checkup_at, place_of
from eventkit.cli.options import Json
from eventkit.cli.output import say, say_json, show_table
from eventkit.cli.session import Session, session_of
from eventkit.cli.urls import sqlite_file
from eventkit.errors import InvalidUrl
from eventkit.health.checks import Check, State, ok, problem
from eventkit.masking import masked
from eventkit.sqlite.checkup import check_file

_EXTRAS = {"kafka": "confluent-kafka", "postgres": "psycopg"}


def doctor(
    context: typer.Context,
    *,
    role: Annotated[
        Literal["writer", "reader"],
        typer.Option(help="What this user is to do on Kafka: read and append, or read alone."),
    ] = "writer",
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The index of a log on Kafka; that of the store's URL unless given.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at all that the store needs, and say how to mend what is not as it should be.

    On Kafka: each broker, versions, topics and their settings, replicas, clocks, the permissions of
    this user, transactions that hold readers up, the index. For a SQLite file: permissions, journal
    mode, locks. In both: disk space, and what is installed. Nothing is changed.

    Exit codes: 0 all is well; 1 there are warnings or problems; 3 the store cannot be used.

    Example: eventkit --store kafka://localhost:9092 doctor
    """
    session = session_of(context)
    checks: list[Check] = []
    for check in _checks(session, index, writes=role == "writer"):
        checks.append(check)
        if as_json:
            say_json({**check._asdict(), "told": masked(check.told)})
    if not as_json:
        _show(checks)
    if any(check.unusable for check in checks):
        raise typer.Exit(Exit.STORE)
    if any(check.state is not State.OK for check in checks):
        raise typer.Exit(Exit.DATA)


def _checks(session: Session, index: Path | None, *, writes: bool) -> Iterator[Check]:
    url = session.store_url
    found = sqlite_file(url)
    yield ok("python", f"{platform.python_implementation()} {platform.python_version()}")
    yield ok("eventkit", version("eventkit-kafka"))
    yield from _extras(session)
    if is_kafka(url):
        place = place_of(url)
        file = index or place.index_file
        yield from checkup_at(place._replace(index_file=file), writes=writes).run()
        return
    if index is not None:
        raise typer.BadParameter("--index is for a log on Kafka: the embedded store is one file")
    if found is None:
        raise InvalidUrl(url, "write sqlite:///events.db or kafka://host:9092")
    yield from check_file(found)


def _extras(session: Session) -> Iterator[Check]:
    """What is installed; what is missing matters where it is needed."""
    models = session.given_read_models_url or ""
    needed = {"kafka": is_kafka(session.store_url), "postgres": models.startswith("postgresql")}
    for extra, package in _EXTRAS.items():
        try:
            yield ok(package, version(package))
        except PackageNotFoundError:
            if needed.get(extra):
                fix = f"pip install 'eventkit-kafka[{extra}]'"
                yield problem(package, "it is not installed", fix, unusable=extra == "kafka")
            else:
                yield ok(package, "it is not installed, and not needed here")


def _show(checks: list[Check]) -> None:
    show_table(("state", "what", "told"), [(it.state, it.what, masked(it.told)) for it in checks])
    for it in checks:
        if it.state is not State.OK:
            say(f"{it.state}: {it.what}: to mend it:")
            say(f"    {it.fix}")
