"""What a run measures: sections of the report, and the steps that fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.benchmarks.results import Result


class Section(NamedTuple):
    """A part of the report.

    Parameters:
        name: of its files.
        title: its heading.
        about: what is measured, and how.
        distance: what the figures cannot say about the distance to the limit.
        x: what the x axis of its curves is, if it has any.
        y: the same of the y axis.
    """

    name: str
    title: str
    about: str
    distance: str = ""
    x: str = ""
    y: str = ""


class Step(NamedTuple):
    """One thing to measure: when it fails, the others go on.

    Parameters:
        section: where its results belong.
        name: what is measured, told while it runs.
        measure: does it.
    """

    section: Section
    name: str
    measure: Callable[[], Iterable[Result]]
