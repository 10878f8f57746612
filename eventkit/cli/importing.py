"""`eventkit import`: a file of CloudEvents into the store."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, Self

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import Interrupts
from eventkit.cli.options import Json, parse_file
from eventkit.cli.output import complain, say, say_json
from eventkit.cli.progress import events_progress
from eventkit.cli.session import session_of
from eventkit.errors import StoreError
from eventkit.importer import ImportCounts, Importer, Line, Rejection, read_lines


class Source(NamedTuple):
    """Where the lines come from.

    Parameters:
        name: what messages call it.
        file: None for standard input.
    """

    name: str
    file: Path | None


def _parse_source(text: str) -> Source:
    """Only `-` itself is standard input: `./-` and `stdin` are files that may be called so."""
    if text == "-":
        if sys.stdin is None:
            raise typer.BadParameter("standard input is closed")
        return Source("stdin", None)
    file = parse_file(text)
    return Source(str(file), file)


File = Annotated[
    Source,
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
        help="Where --keep-going keeps them; FILE.rejected.jsonl unless given, and if that is "
        "there, FILE.rejected-2.jsonl and so on.",
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
    if rejected is not None:
        _check_rejected_file(rejected, keep_going=keep_going)
    session = session_of(context)
    with ExitStack() as stack:
        store = stack.enter_context(session.open_store(session.app))
        source = stack.enter_context(file.file.open("rb")) if file.file else sys.stdin.buffer
        kept = stack.enter_context(_KeptLines(file.name, rejected)) if keep_going else None
        importer = Importer(store, _Rejections(file.name, kept).add, keep_going=keep_going)
        try:
            _run(importer, source, size=_size(file))
        except (KeyboardInterrupt, StoreError):
            _summary(importer.counts, kept, as_json=as_json)
            raise
    _summary(importer.counts, kept, as_json=as_json)
    if importer.counts.rejected:
        raise typer.Exit(Exit.DATA)


def _check_rejected_file(rejected: Path, *, keep_going: bool) -> None:
    """See that it can be written without loss: it may be what is imported, also through a pipe."""
    if not keep_going:
        raise typer.BadParameter("--rejected goes with --keep-going")
    if rejected.is_file() and rejected.stat().st_size:
        raise typer.BadParameter(
            f"--rejected {str(rejected)!r} holds something already, which would be overwritten; "
            "name another file"
        )


def _size(source: Source) -> int | None:
    file = source.file
    return file.stat().st_size if file is not None and file.is_file() else None


def _run(importer: Importer, source: BinaryIO, size: int | None) -> None:
    """Import with a progress bar; its length is in bytes, as nobody has counted the lines."""
    interrupts = Interrupts()
    with interrupts.noted(), events_progress() as progress:
        bar = progress.add_task("import", total=size, events=0)
        for counts in importer.run(interrupts.each(read_lines(source))):
            progress.update(bar, completed=counts.size, events=counts.read)


def _summary(counts: ImportCounts, kept: _KeptLines | None, *, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "read": counts.read,
                "appended": counts.appended,
                "already_there": counts.already_there,
                "rejected": counts.rejected,
                "aggregates": len(counts.aggregates),
                "rejected_file": str(kept.path) if kept and kept.path else None,
            }
        )
        return
    say(
        f"{counts.read:,} events read: {counts.appended:,} appended, "
        f"{counts.already_there:,} already there, {counts.rejected:,} rejected; "
        f"{len(counts.aggregates):,} aggregates"
    )
    if counts.rejected and kept is not None:
        complain(f"the rejected lines are in {kept.path}; mend them and import that file", label="")
    elif counts.rejected:
        complain(
            f"stopped after line {counts.lines:,}; mend the rejected line and import again, or "
            "say --keep-going",
            label="",
        )


class _Rejections:
    """Says why lines are rejected, and has them kept."""

    def __init__(self, name: str, kept: _KeptLines | None) -> None:
        self._name = name
        self._kept = kept

    def add(self, rejection: Rejection) -> None:
        line = rejection.line
        if line.begins:
            complain(f"{self._name}:{line.number}: {rejection.reason}", label="")
        if self._kept is not None:
            self._kept.add(line)


class _KeptLines:
    """The file of the rejected lines, which is made for the first of them.

    A file that is there is never written to: it may hold the lines that an earlier import rejected,
    which somebody is mending, or be read by this one through standard input, where only its writer
    knows it.

    Parameters:
        name: of what is imported.
        given: the file that the user named; it is empty, or no plain file.
    """

    def __init__(self, name: str, given: Path | None) -> None:
        self.path: Path | None = None
        self._name = name
        self._given = given
        self._file: BinaryIO | None = None

    def add(self, line: Line) -> None:
        if self._file is None:
            self.path, self._file = self._opened()
        ended = line.content.endswith(b"\n") or not line.ends
        self._file.write(line.content if ended else line.content + b"\n")

    def _opened(self) -> tuple[Path, BinaryIO]:
        if self._given is not None:
            return self._given, self._given.open("ab")
        number = 1
        while True:
            path = Path(f"{self._name}.rejected{f'-{number}' if number > 1 else ''}.jsonl")
            try:
                return path, path.open("xb")
            except FileExistsError:
                number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
