"""A run: one step after the other, told while it goes, until the last or until Ctrl-C."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console

from tests.benchmarks.kit import Kit
from tests.benchmarks.machine import versions
from tests.benchmarks.record import Record
from tests.benchmarks.results import Figure, Result, number
from tests.benchmarks.steps import Step


def measure(steps: Sequence[Step], kit: Kit, record: Record, console: Console) -> None:
    """Measure all steps into a record; a failure is noted, and the others go on."""
    began = time.monotonic()
    try:
        for place, step in enumerate(steps, 1):
            head = f"{place}/{len(steps)}  {_clock(began)}  {step.name}"
            with console.status(f"{head} ..."):
                if not console.is_terminal:
                    console.print(head)
                _take(step, kit, record, console)
    except KeyboardInterrupt:
        record.interrupted = True
    with suppress(Exception):  # a server that died was noted by the step that needed it
        record.versions = versions(*kit.running)
    record.seconds = time.monotonic() - began


def _take(step: Step, kit: Kit, record: Record, console: Console) -> None:
    known = dict(kit.problems)
    kept: list[Result] = []
    gc.collect()
    try:
        for result in step.measure():
            kept.append(result)
            if isinstance(result, Figure):
                console.print(f"  {_said(result)}", highlight=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        _note(f"{step.name}: {type(error).__name__}: {error}", record, console)
    finally:
        if kept:
            record.add(step.section, kept)
    for name in kit.problems.keys() - known.keys():
        _note(f"what needs {name}: {kit.problems[name]}", record, console)


def _note(problem: str, record: Record, console: Console) -> None:
    text = " ".join(problem.split())
    record.problems.append(text)
    console.print(f"  not measured: {text}", style="red", markup=False, highlight=False)


def _said(figure: Figure) -> str:
    text = f"{figure.what}: {number(figure.ours)} {figure.unit}"
    if figure.against:
        text += f", {figure.ratio:.2f} times {figure.against} ({number(figure.theirs)})"
    return text


def _clock(began: float) -> str:
    seconds = int(time.monotonic() - began)
    return f"{seconds // 60}:{seconds % 60:02}"
