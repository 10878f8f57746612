"""The story that `eventkit demo` tells: event sourcing on one screen, by doing it."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

from rich.console import Console

from eventkit.aggregate import Aggregate, category_of_class
from eventkit.cli.app import App, load_app
from eventkit.cli.demo_choices import (
    FITTING,
    Fingerprint,
    changes,
    earlier_moment,
    fingerprint,
    first_rows,
    telling_aggregates,
)
from eventkit.cli.demo_screen import Bars, Screen
from eventkit.cli.kafka import is_kafka, make_topics, opened, topics_at
from eventkit.cli.options import READ_MODELS_VARIABLE
from eventkit.cli.session import BrowsableStore
from eventkit.cli.urls import read_models_beside
from eventkit.errors import InvalidCloudEvent, InvalidInput, RebuildNeeded
from eventkit.events import RecordedEvent
from eventkit.importer import Importer, Line, Rejection, read_lines
from eventkit.masking import masked_url
from eventkit.projection import Progress, Projection, ReadModels, Runner
from eventkit.repository import Repository
from eventkit.store import EventFilter

BUILT_IN = "eventkit.examples.tasks"
_CANDIDATES = 20_000
"""Events among which an aggregate to show is looked for."""
_LOADED = 20
"""Aggregates that are loaded to find one that is shown."""
_FIELDS = 6
"""Fields of the state that fit on the screen."""
_MOST_PROJECTIONS = 3


class Shown(NamedTuple):
    """The aggregate that the story is about."""

    cls: type[Aggregate]
    aggregate_id: str
    events: list[RecordedEvent]

    @property
    def noun(self) -> str:
        """What its kind is called in a sentence."""
        return self.cls.__name__.lower()


def demo(
    app: App | None, store_url: str, read_models_url: str, file: Path | None, console: Console
) -> None:
    """Import a log, look at one aggregate, go back in time, rebuild the read models.

    Parameters:
        app: the user's classes; None takes the to-do list that comes with eventkit.
        store_url: where the events are, or will be.
        read_models_url: where the read models will be.
        file: the log to import; None takes what is in the store, or the log of the to-do list.
        console: where to tell it.

    Raises:
        InvalidInput: there are no events to show.
        EventkitError: the file, the classes or the store cannot be used; the message says why.
    """
    known = app or load_app(BUILT_IN)
    made = _topics(known, store_url, alone=app is None and file is None)
    with opened(store_url) as connected, ReadModels(read_models_url) as models:
        store = cast("BrowsableStore", connected)
        store.types.bind_all(known.events)
        if app is None and file is None:
            _check_example(store, store_url)
        story = _Story(known, store, models, Screen(console))
        story.topics(made)
        story.log(_lines(file, built_in=app is None), file)
        story.aggregate()
        story.time_travel()
        story.read_models()
        story.go_on(_options(known, store_url, read_models_url))


def _options(app: App, store_url: str, read_models_url: str) -> list[str]:
    """What leads the commands to the same place; `***` in it stands for a password."""
    options = [
        f"--app {shlex.quote(app.name)}",
        f"--store {shlex.quote(masked_url(store_url))}",
    ]
    found_anyway = (read_models_beside(store_url), os.environ.get(READ_MODELS_VARIABLE))
    if read_models_url not in found_anyway:
        options.append(f"--read-models {shlex.quote(masked_url(read_models_url))}")
    return options


def _topics(app: App, store_url: str, *, alone: bool) -> list[str]:
    """Make the topics that a store on Kafka lacks; the example is to be alone there."""
    if not is_kafka(store_url):
        return []
    categories = list(dict.fromkeys(map(category_of_class, app.aggregates)))
    if alone and not {*topics_at(store_url).categories()} <= {*categories}:
        raise _in_use(store_url)
    return make_topics(store_url, categories)


def _check_example(store: BrowsableStore, store_url: str) -> None:
    """See that the made-up log comes into no store of the user's."""
    from eventkit.examples.tasks import SOURCE  # noqa: PLC0415 - only where it is asked for

    for event in islice(store.plain_events(EventFilter()), 1):
        if event.metadata.extra.get("source") != SOURCE:
            raise _in_use(store_url)


def _in_use(store_url: str) -> InvalidInput:
    return InvalidInput(
        f"{masked_url(store_url)} holds events already; say --app MODULE to see them, or another "
        "--store for the built-in example"
    )


def _lines(file: Path | None, *, built_in: bool) -> Iterator[Line]:
    if file is not None:
        with file.open("rb") as opened:
            yield from read_lines(opened)
    elif built_in:
        from eventkit.examples.tasks import sample_log  # noqa: PLC0415 - only where it is asked for

        for number, content in enumerate(sample_log(), start=1):
            yield Line(number, content)


class _Story:
    """The chapters, in the order in which they are told."""

    def __init__(self, app: App, store: BrowsableStore, models: ReadModels, screen: Screen) -> None:
        self._app = app
        self._store = store
        self._models = models
        self._screen = screen
        self._next: list[str] = []
        self._shown: Shown | None = None

    def topics(self, made: Sequence[str]) -> None:
        """What was made on Kafka for it."""
        self._screen.title("Event sourcing: keep what happened, compute everything else.")
        if made:
            self._screen.say(f"Made on Kafka for this: {', '.join(made)}.")

    def log(self, lines: Iterator[Line], file: Path | None) -> None:
        """The events come into the store."""
        screen = self._screen
        screen.chapter(1, "Events are facts: they are appended, never changed and never deleted.")
        importer = Importer(self._store, _refuse(file))
        size = file.stat().st_size if file else 0
        began = time.perf_counter()
        with screen.bars(["appending"]) as bars:
            for counts in importer.run(lines):
                bars.show("appending", counts.size, size or counts.size, f"{counts.read:,} events")
        seconds, counts = time.perf_counter() - began, importer.counts
        if counts.appended:
            rate = _rounded(counts.read / seconds)
            screen.say(
                f"{counts.appended:,} events of {len(counts.aggregates):,} aggregates appended "
                f"in {_duration(seconds)} ({rate}/s)."
            )
        if counts.already_there:
            screen.say(f"{counts.already_there:,} events were there already: none is added twice.")
        if not counts.read and next(self._store.plain_events(EventFilter()), None) is None:
            raise InvalidInput("there are no events to show; give a file: eventkit demo FILE")

    def aggregate(self) -> None:
        """The events of one aggregate."""
        self._shown = shown = self._example()
        if shown is None:
            return
        events: list[RecordedEvent | None] = list(shown.events)
        if len(events) > FITTING:
            events[FITTING - 2 : -1] = [None]
        article = "An" if shown.noun.startswith(tuple("aeiou")) else "A"
        self._screen.chapter(
            2, f"{article} {shown.noun} is what happened to it. This is {shown.aggregate_id}:"
        )
        self._screen.events(events)
        self._next.append(f"events {shlex.quote(shown.aggregate_id)}")

    def _example(self) -> Shown | None:
        """An aggregate with a short life and much in it."""
        classes = self._app.aggregates
        wanted = [(cls, EventFilter(categories=(category_of_class(cls),))) for cls in classes]
        if len(classes) == 1:  # also where its category is written otherwise in the log
            wanted.append((classes[0], EventFilter()))
        for cls, events in wanted:
            some = islice(self._store.plain_events(events), _CANDIDATES)
            ids = telling_aggregates(some)[:_LOADED]
            lives = [Shown(cls, id_, self._store.get_events(id_)) for id_ in ids]
            if lives:
                # More events than those looked at may have made a short life a long one.
                return next((life for life in lives if len(life.events) <= FITTING), lives[0])
        return None

    def time_travel(self) -> None:
        """The state of that aggregate, then and now."""
        shown = self._shown
        moment = earlier_moment(shown.cls, shown.events) if shown else None
        if shown is None or moment is None:
            return
        repository = Repository(self._store, shown.cls)
        before = repository.get(shown.aggregate_id, as_of=moment.at)
        now = repository.get(shown.aggregate_id)
        at = moment.at.isoformat().replace("+00:00", "Z")
        self._screen.chapter(3, "Its state is computed from its events, as of any moment.")
        then = f"on {moment.at:%Y-%m-%d %H:%M}, {before.version} events"
        columns = ("", then, f"now, {now.version} events")
        self._screen.state(columns, changes(before, now, _FIELDS))
        self._next.append(f"state {shlex.quote(shown.aggregate_id)} --as-of {at}")

    def read_models(self) -> None:
        """The read models are built, thrown away, rebuilt and compared."""
        projections = self._app.projections[:_MOST_PROJECTIONS]
        if not projections:
            return
        began = time.perf_counter()
        with self._screen.bars([projection.name for projection in projections]) as bars:
            for projection in projections:
                self._build(projection, bars)
        seconds = time.perf_counter() - began
        built = {item: fingerprint(item, self._models) for item in projections}
        order = sorted(projections, key=lambda item: (not built[item].rows, built[item].rows))
        smallest, names = order[0], [item.name for item in order]
        screen = self._screen
        screen.chapter(
            4, f"Read models are tables computed from all events. This is {smallest.name}:"
        )
        screen.rows(*first_rows(smallest, self._models, 2))
        screen.say(
            f"Built in {_duration(seconds)}. "
            "Thrown away, they come back from the events as they were:"
        )
        with screen.bars(names, stay=True) as bars:
            for projection in order:
                self._rebuild(projection, built[projection], bars)
        self._next.append(f"projection rebuild {shlex.quote(smallest.name)}")

    def _build(self, projection: Projection, bars: Bars) -> None:
        runner = Runner(projection, self._store, self._models)

        def report(progress: Progress) -> None:
            bars.show(projection.name, progress.done, progress.total, _pace(progress))

        try:
            runner.run(report)
        except RebuildNeeded:  # left from another log, or built by other code
            runner.rebuild(report)

    def _rebuild(self, projection: Projection, built: Fingerprint, bars: Bars) -> None:
        name = projection.name

        def report(progress: Progress) -> None:
            bars.show(name, progress.done, progress.total, _pace(progress))

        bars.show(name, 0, 1, f"{built.rows:,} rows thrown away")
        began = time.perf_counter()
        handled = Runner(projection, self._store, self._models).rebuild(report)
        seconds = time.perf_counter() - began
        rebuilt = fingerprint(projection, self._models)
        verdict = "equal" if rebuilt == built else "NOT EQUAL"
        rate = _rounded(handled / seconds)
        said = f"{handled:,} events ({rate}/s): {rebuilt.rows:,} rows"
        bars.show(name, 1, 1, said, verdict)

    def go_on(self, options: list[str]) -> None:
        """What to type next."""
        if self._next:
            secret = any("***" in option for option in options)
            heading = "Go on, with the password instead of ***:" if secret else "Go on:"
            self._screen.commands(heading, options, self._next)


def _refuse(file: Path | None) -> Callable[[Rejection], None]:
    def refuse(rejection: Rejection) -> None:
        where = f"{file}:{rejection.line.number}: " if file else ""
        raise InvalidCloudEvent(f"{where}{rejection.reason}")

    return refuse


def _pace(progress: Progress) -> str:
    left = "" if progress.eta is None else f", {progress.eta:.0f} s left"
    return f"{progress.done:,} events ({_rounded(progress.rate)}/s){left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1_000:.0f} ms"


def _rounded(rate: float) -> str:
    """A rate to two digits: the others change with each run."""
    if rate < 1:
        return f"{rate:.2f}"
    digits = len(str(int(rate))) - 2
    return f"{round(rate, -digits):,.0f}"
