"""`eventkit import`: a file of CloudEvents into the store."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, Self

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import Interrupts
from eventkit.cli.options import Json, parse_file
from eventkit.cli.output import complain, say, say_json
from eventkit.cli.progress import events_progress
from eventkit.cli.session import session_of
from eventkit.errors import StoreError
from eventkit.importer import ImportCounts, Importer, Rejection, read_lines


def _parse_source(text: str) -> Path:
    return Path(text) if text == "-" else parse_file(text)


File = Annotated[
    Path,
    typer.Argument(
        parser=_parse_source,
        metavar="FILE",
        help="CloudEvents in JSON, one a line; - reads standard input.",
    ),
]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going", help="Go on after a line that cannot be imported, and keep such lines."
    ),
]
RejectedFile = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        metavar="FILE",
        help="Where --keep-going keeps them; FILE.rejected.jsonl unless given.",
    ),
]


def import_file(
    context: typer.Context,
    file: File,
    *,
    keep_going: KeepGoing = False,
    rejected: RejectedFile = None,
    as_json: Json = False,
) -> None:
    """Append the events of a file to the store.

    Each line is one CloudEvent: its subject is the aggregate id, its type names an event class of
    the app, its data holds the fields. A line that is recorded already is not written again, so an
    import that was cut off is simply run again.

    At a line that cannot be imported it stops and says why; what came before is kept. With
    --keep-going it goes on. The lines that it then kept can be mended and imported: their events
    come after the others of their aggregate.

    Example: eventkit --app projections.permits import permits.jsonl
    """
    name = "stdin" if str(file) == "-" else str(file)
    _check_rejected_file(file, rejected, keep_going=keep_going)
    session = session_of(context)
    kept = (rejected or Path(f"{name}.rejected.jsonl")) if keep_going else None
    with ExitStack() as stack:
        store = stack.enter_context(session.open_store(session.app))
        source = sys.stdin.buffer if name == "stdin" else stack.enter_context(file.open("rb"))
        rejections = stack.enter_context(_Rejections(name, kept))
        importer = Importer(store, rejections.add, keep_going=keep_going)
        try:
            _run(importer, source, size=file.stat().st_size if file.is_file() else None)
        except (KeyboardInterrupt, StoreError):
            _summary(importer.counts, kept, as_json=as_json)
            raise
    _summary(importer.counts, kept, as_json=as_json)
    if importer.counts.rejected:
        raise typer.Exit(Exit.DATA)


def _check_rejected_file(file: Path, rejected: Path | None, *, keep_going: bool) -> None:
    if rejected is None:
        return
    if not keep_going:
        raise typer.BadParameter("--rejected goes with --keep-going")
    if rejected.exists() and file.exists() and rejected.samefile(file):
        raise typer.BadParameter("--rejected would overwrite the file that is imported")


def _run(importer: Importer, source: BinaryIO, size: int | None) -> None:
    """Import with a progress bar; its length is in bytes, as nobody has counted the lines."""
    interrupts = Interrupts()
    with interrupts.noted(), events_progress() as progress:
        bar = progress.add_task("import", total=size, events=0)
        for counts in importer.run(interrupts.each(read_lines(source))):
            progress.update(bar, completed=counts.size, events=counts.read)


def _summary(counts: ImportCounts, kept: Path | None, *, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "read": counts.read,
                "appended": counts.appended,
                "already_there": counts.already_there,
                "rejected": counts.rejected,
                "aggregates": len(counts.aggregates),
                "rejected_file": str(kept) if kept and counts.rejected else None,
            }
        )
        return
    say(
        f"{counts.read:,} events read: {counts.appended:,} appended, "
        f"{counts.already_there:,} already there, {counts.rejected:,} rejected; "
        f"{len(counts.aggregates):,} aggregates"
    )
    if counts.rejected and kept is not None:
        complain(f"the rejected lines are in {kept}; mend them and import that file", label="")
    elif counts.rejected:
        complain(
            f"stopped after line {counts.lines:,}; mend the rejected line and import again, or "
            "say --keep-going",
            label="",
        )


class _Rejections:
    """Says why lines are rejected, and keeps them in a file that is made for the first of them."""

    def __init__(self, name: str, kept: Path | None) -> None:
        self._name = name
        self._kept = kept
        self._file: BinaryIO | None = None

    def add(self, rejection: Rejection) -> None:
        line = rejection.line
        if line.begins:
            complain(f"{self._name}:{line.number}: {rejection.reason}", label="")
        if self._kept is None:
            return
        if self._file is None:
            self._file = self._kept.open("wb")
        ended = line.content.endswith(b"\n") or not line.ends
        self._file.write(line.content if ended else line.content + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
