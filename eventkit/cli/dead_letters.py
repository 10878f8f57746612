"""`eventkit dead-letters`: events that projections could not take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.options import Json, parse_text
from eventkit.cli.output import compact, complain, instant, say, say_json, show_table
from eventkit.cli.session import BrowsableStore, Session, session_of
from eventkit.errors import (
    CodecError,
    InvalidAggregateId,
    ProjectionError,
    ReadModelError,
    StoreCorrupted,
)
from eventkit.projection import DeadLetter, DeadLetters, ReadModels, Retried
from eventkit.projection.checkpoints import ALL_VERSIONS
from eventkit.projection.dead_letters import EventsMissing, dead_letters, find_dead_letter

_ByVersion = Counter[tuple[str, int]]
"""How many events are parked of each version of a projection."""

commands = typer.Typer(
    no_args_is_help=True,
    help="Look after events that projections could not take: they are parked, with all later ones "
    "of their aggregate, until a retry succeeds or they are discarded.",
)

_LARGEST = 2**63 - 1
"""The largest number that a database takes."""

Number = Annotated[
    int,
    typer.Argument(metavar="NUMBER", min=1, max=_LARGEST, help="Of a letter, as list shows it."),
]


@commands.command("list")
def list_letters(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            parser=parse_text,
            metavar="NAME",
            help="Of projections; all in the database unless given.",
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Show those that were discarded, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the parked events, those of each aggregate in order.

    No --app is needed. Failed are those at which a handler raised, waiting are those behind them.

    Example: eventkit dead-letters list
    """
    with ReadModels(session_of(context).read_models_url) as models:
        letters = dead_letters(models, names or None)
    shown = [it for it in letters if everything or it.state != "discarded"]
    if as_json:
        for letter in shown:
            say_json(_as_dict(letter))
    elif shown:
        rows = [_row(letter) for letter in shown]
        show_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    else:
        complain("no event is parked", label="")


@commands.command("show")
def show_letter(context: typer.Context, number: Number, *, as_json: Json = False) -> None:
    """Show one parked event: where and what it is, and what the handler raised.

    No --app is needed.

    Example: eventkit dead-letters show 3
    """
    session = session_of(context)
    with ReadModels(session.read_models_url) as models:
        letter = find_dead_letter(models, number)
    with session.open_existing_store() as store:
        told = {**_as_dict(letter), **_data(store, letter)}
    if as_json:
        say_json(told)
        return
    traceback = told.pop("traceback")
    for name, value in told.items():
        if value is not None:
            say(f"{name}: {compact(value)}")
    for line in str(traceback or "").splitlines():
        say(line)


@commands.command("retry")
def retry(
    context: typer.Context,
    numbers: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="NUMBER",
            min=1,
            max=_LARGEST,
            help="Of letters; all of the app's projections unless given.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Apply parked events with the code of today.

    A letter is retried with all of its aggregate, in order, from the first that is parked. An
    event that fails again stays, with those behind it. Workers may run meanwhile.

    Example: eventkit --app projections.permits dead-letters retry
    """
    session = session_of(context)
    done = _Done()
    with _opened(session) as (store, models):
        if numbers:
            wanted = _numbered(session, store, models, numbers)
        else:
            parked = _parked_by_version(models)
            done.left.extend(_of_other_versions(session, parked))
            wanted = _all_of_this_version(session, parked)
        for name, aggregates in wanted.items():
            letters = DeadLetters(session.app.projection(name), store, models)
            done.take(name, partial(letters.retry, aggregates))
    _report(done, as_json=as_json)


@commands.command("discard")
def discard(
    context: typer.Context,
    number: Number,
    *,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            parser=parse_text,
            metavar="TEXT",
            help="Why; it is kept with the record.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Leave a parked event out of the read model for good, and go on with its aggregate.

    The event stays in the store, and the record of why it was left out in the database; a rebuild
    leaves it out as well. Later events of the aggregate, if they waited for this one, are applied.

    Example: eventkit --app projections.permits dead-letters discard 3 --reason "a test of ours"
    """
    session = session_of(context)
    with _opened(session) as (store, models):
        name = find_dead_letter(models, number).projection
        letters = DeadLetters(session.app.projection(name), store, models)
        done = _Done()
        done.take(name, partial(letters.discard, number, reason))
    _report(done, as_json=as_json)


@contextmanager
def _opened(session: Session) -> Iterator[tuple[BrowsableStore, ReadModels]]:
    with session.open_existing_store() as store, ReadModels(session.read_models_url) as models:
        yield store, models


def _numbered(
    session: Session, store: BrowsableStore, models: ReadModels, numbers: Sequence[int]
) -> Mapping[str, Sequence[str] | None]:
    """The aggregates of some letters, by projection."""
    wanted: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for number in numbers:
        name = find_dead_letter(models, number).projection
        letter = DeadLetters(session.app.projection(name), store, models).find(number)
        wanted[letter.projection][letter.aggregate_id] = None
    return {name: list(aggregates) for name, aggregates in wanted.items()}


def _all_of_this_version(
    session: Session, parked: _ByVersion
) -> Mapping[str, Sequence[str] | None]:
    """The projections of which this code has something to retry; None for all aggregates."""
    return {
        it.name: None
        for it in session.app.projections
        if parked[it.name, it.version] or parked[it.name, ALL_VERSIONS]
    }


def _of_other_versions(session: Session, parked: _ByVersion) -> Iterator[str]:
    """What is parked that another version of the app's code has to retry."""
    versions = {it.name: it.version for it in session.app.projections}
    for (name, version), count in sorted(parked.items()):
        if name in versions and version not in {versions[name], ALL_VERSIONS}:
            yield (
                f"{name}: {count:,} parked events are of version {version}, this code is version "
                f"{versions[name]}; the code of version {version} retries them"
            )


def _parked_by_version(models: ReadModels) -> _ByVersion:
    letters = dead_letters(models)
    return Counter((it.projection, it.version) for it in letters if it.state != "discarded")


class _Done:
    """What came of a command, by projection, and what it had to leave as it was."""

    def __init__(self) -> None:
        self.retried: dict[str, Retried] = {}
        self.left: list[str] = []

    def take(self, name: str, attempt: Callable[[], Retried]) -> None:
        """Retry the events of one projection; what hinders it hinders no other."""
        try:
            self.retried[name] = attempt()
        except ReadModelError:
            raise
        except EventsMissing as error:
            self.retried[name] = error.retried
            self.left.append(f"{name}: {error}")
        except ProjectionError as error:
            self.left.append(str(error))


def _report(done: _Done, *, as_json: bool) -> None:
    """Say what came of it; failures make the exit code."""
    for name, (applied, failed, left) in done.retried.items():
        if as_json:
            numbers = [letter.number for letter in failed]
            say_json({"name": name, "applied": applied, "failed": numbers, "parked": left})
        else:
            say(f"{name}: {applied:,} events applied, {left:,} are parked")
        for letter in failed:
            complain(
                f"{name}: dead letter {letter.number}, {letter.aggregate_id} version "
                f"{letter.aggregate_version}, failed again: {letter.error}"
            )
    for reason in done.left:
        complain(reason)
    if not done.retried and not done.left and not as_json:
        complain("no event is parked", label="")
    if done.left or any(retried.failed for retried in done.retried.values()):
        raise typer.Exit(Exit.DATA)


def _data(store: BrowsableStore, letter: DeadLetter) -> dict[str, object]:
    """The body of the event, or why there is none to show."""
    version = letter.aggregate_version
    try:
        found = store.plain_events_of(letter.aggregate_id, version, version)
    except (CodecError, StoreCorrupted, InvalidAggregateId) as error:
        return {"data": None, "unreadable": str(error)}
    there = found and letter.event_id in {None, found[0].event_id}
    return {"data": found[0].data if there else None}


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "number": letter.number,
        "projection": letter.projection + (f" v{letter.version}" if letter.version else ""),
        "kind": letter.kind,
        "aggregate": letter.aggregate_id,
        "version": letter.aggregate_version,
        "type": letter.event_type,
        "state": letter.state,
        "attempts": letter.attempts,
        "parked at": instant(letter.parked_at),
        "error": letter.error if letter.reason is None else f"discarded: {letter.reason}",
    }


def _as_dict(letter: DeadLetter) -> dict[str, object]:
    return {**letter._asdict(), "position": str(letter.position)}
