"""`eventkit verify`: reads the whole log and tells what is not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from eventkit.aggregate import Aggregate, category_of_class
from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import Interrupts
from eventkit.cli.kafka import is_kafka
from eventkit.cli.kafka_health import place_of, verifier_at
from eventkit.cli.options import Json, parse_file
from eventkit.cli.output import complain, say, say_json, show_table
from eventkit.cli.progress import events_progress
from eventkit.cli.session import Session, session_of
from eventkit.cli.urls import sqlite_file
from eventkit.events import ALL_EVENT_TYPES, EventTypes
from eventkit.health.findings import Asked, Finding, Reading
from eventkit.projection import Projection, ReadModels
from eventkit.projection.verifying import ReadModelVerifier
from eventkit.sqlite.verifying import SqliteVerifier

_MOST = 1_000
"""Findings that a table shows; --json shows all."""


_MOST_DIGITS = 18
"""Of a number of snapshots; no log has more."""


def _count(text: str) -> int | None:
    """A number, or None for all."""
    if text == "all":
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    raise typer.BadParameter(f"--snapshots {text!r} is no number, nor all")


class Findings:
    """Takes what is found, and how far the verification has come.

    Parameters:
        progress: what shows it.
        bar: which one there.
        interrupts: are looked at.
        as_json: print each finding when it is found.
    """

    def __init__(
        self, progress: Progress, bar: TaskID, interrupts: Interrupts, *, as_json: bool
    ) -> None:
        self._progress = progress
        self._bar = bar
        self._interrupts = interrupts
        self._as_json = as_json
        self.kept: list[Finding] = []
        self.kinds: Counter[str] = Counter()
        self.remarks: list[str] = []
        self.events = 0

    def beside(self, description: str) -> Findings:
        """Takes what is found in something made of the log, with a bar of its own."""
        bar = self._progress.add_task(description, total=None, events=0)
        other = Findings(self._progress, bar, self._interrupts, as_json=self._as_json)
        other.kept, other.kinds, other.remarks = self.kept, self.kinds, self.remarks
        return other

    def found(self, finding: Finding) -> None:
        """Something is wrong."""
        self.kinds[finding.kind] += 1
        if self._as_json:
            say_json(_as_json(finding))
        elif len(self.kept) < _MOST:
            self.kept.append(finding)

    def read(self, now: Reading) -> None:
        """It has come so far."""
        self.events = now.events
        self._progress.update(self._bar, completed=now.done, total=now.total, events=now.events)
        self._interrupts.check()

    def remark(self, text: str) -> None:
        """Something was left out."""
        self.remarks.append(text)


def verify(
    context: typer.Context,
    *,
    index: Annotated[
        Path | None,
        typer.Option(
            parser=parse_file,
            metavar="FILE",
            help="An index of a log on Kafka to compare; that of the store's URL unless given.",
        ),
    ] = None,
    snapshots: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="How many snapshots to compare with a replay, chosen by chance; with --app.",
        ),
    ] = "1000",
    projections: Annotated[
        list[str] | None,
        typer.Option(
            "--projection",
            metavar="NAME",
            help="A read model to compare with one built anew; repeat it for more, or say all.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the whole log, live, and tell what is wrong with it; exit code 1 where something is.

    On Kafka: records that the rule of the log rejects and a plain consumer sees all the same,
    appends over several aggregates of which a part is missing, records that are none of eventkit's,
    topics that lose history, and an index that differs from the log. In a SQLite file: versions
    with gaps, damage, guards that were taken away. In both: event ids that are there twice, bodies
    that cannot be read; with --app also event types that no class reads, and snapshots that differ
    from a replay; with --projection read models that differ from one that is built anew, in a
    temporary file, up to the same event.

    Nothing is changed. Ctrl-C ends it with what was found so far.

    Example: eventkit --app projections.permits verify
    """
    session = session_of(context)
    chosen = _projections(session, projections or [])
    asked = _asked(session, _count(snapshots))
    with _shown(as_json=as_json) as findings:
        if is_kafka(session.store_url):
            place = place_of(session.store_url)
            file = index or place.index_file
            if file is not None and not file.exists():
                findings.remark(f"the index {file}, which is not there yet")
                file = None
            verifier_at(place, _types(session), asked, findings).run(file)
        elif index is not None:
            raise typer.BadParameter(
                "--index is for a log on Kafka: the embedded store is one file"
            )
        else:
            _verify_file(session, asked, findings)
        if chosen:
            _verify_read_models(session, chosen, findings)
    if findings.kinds:
        raise typer.Exit(Exit.DATA)


def _asked(session: Session, snapshots: int | None) -> Asked:
    if session.app_name is None:
        return Asked(None, 0)
    app = session.app

    def class_of(category: str) -> type[Aggregate] | None:
        found = [cls for cls in app.aggregates if category_of_class(cls) == category]
        return found[0] if len(found) == 1 else None

    return Asked(class_of, snapshots)


def _projections(session: Session, names: list[str]) -> list[Projection]:
    """Those that are named; all of the app if that is what is said."""
    if "all" in names:
        return list(session.app.projections)
    return [session.app.projection(name) for name in dict.fromkeys(names)]


def _verify_read_models(
    session: Session, projections: list[Projection], findings: Findings
) -> None:
    with session.open_existing_store() as store, ReadModels(session.read_models_url) as models:
        for projection in projections:
            listener = findings.beside(f"read model {projection.name}")
            ReadModelVerifier(projection, store, models, listener).run()


def _types(session: Session) -> EventTypes:
    types = EventTypes(ALL_EVENT_TYPES)
    types.bind_all(() if session.app_name is None else session.app.events)
    return types


def _verify_file(session: Session, asked: Asked, findings: Findings) -> None:
    file = sqlite_file(session.store_url)
    with session.open_existing_store() as store:
        assert file is not None  # noqa: S101 - that store is a file
        SqliteVerifier(file, store.types, asked, findings).run()


@contextmanager
def _shown(*, as_json: bool) -> Iterator[Findings]:
    """What was found is shown in the end, also where the end came early."""
    interrupts = Interrupts()
    findings = None
    whole = False
    try:
        with interrupts.noted(), events_progress() as progress:
            bar = progress.add_task("verify", total=None, events=0)
            findings = Findings(progress, bar, interrupts, as_json=as_json)
            yield findings
        whole = True
    finally:
        if findings is not None and (whole or findings.events or findings.kinds):
            _show(findings, whole=whole, as_json=as_json)


def _show(findings: Findings, *, whole: bool, as_json: bool) -> None:
    if findings.kept:
        show_table(("kind", "where", "what is wrong"), map(_row, findings.kept))
        fixes: dict[str, str] = {}
        for it in findings.kept:
            fixes.setdefault(it.fix, it.kind)
        say("how to go on:")
        for fix, kind in fixes.items():
            say(f"  {kind}: {fix}")
    for text in findings.remarks:
        complain(f"not checked: {text}", label="")
    total = findings.kinds.total()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in findings.kinds.most_common())
    end = "" if whole else "; it was not read to the end"
    text = f"{findings.events:,} events read, {total:,} finding(s)"
    text += f": {kinds}" * bool(kinds) + end
    if as_json:
        complain(text, label="")
    else:
        if total > _MOST:
            say(f"{total - _MOST:,} more are not shown; --json shows all")
        say(text)


def _row(finding: Finding) -> tuple[object, ...]:
    position, id_ = finding.position, finding.aggregate_id
    place = "" if position is None else f"{position.topic}/{position.partition}/{position.offset}"
    more = f" (and {finding.records - 1:,} more)" if finding.records > 1 else ""
    return finding.kind, " ".join(filter(None, (place, id_))), f"{finding.problem}{more}"


def _as_json(finding: Finding) -> dict[str, Any]:
    position = finding.position
    return {
        "kind": finding.kind,
        "topic": position and position.topic,
        "partition": position and position.partition,
        "offset": position and position.offset,
        "aggregate_id": finding.aggregate_id,
        "records": finding.records,
        "problem": finding.problem,
        "fix": finding.fix,
    }
