"""Writing the fields of a record: what fastavro is given, and only what it keeps exactly.

fastavro takes what it can convert: it writes 1.5 into a whole number as 1, any object into a
boolean, a naive datetime in the time zone of the machine. So values are checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from eventkit.codec.shapes import Convert, Misfit, Shape, Writing

_MOST_KNOWN = 1_000
"""Combinations of types to remember for a class: most have a few, wide optional ones very many."""


class RecordWriter:
    """Writes the fields of one class.

    The types of a row of values are compared, all at once, with combinations seen before: checking
    each value by itself would cost more than writing it.
    """

    def __init__(self) -> None:
        self._writers: dict[str, Convert] = {}
        self._plain: dict[str, frozenset[type]] = {}
        self._steps: list[tuple[str, Convert]] = []
        self._known: set[tuple[type, ...]] = set()
        self._pick: Callable[[dict[str, Any]], tuple[Any, ...]] = lambda _: ()

    def learn(self, fields: dict[str, Shape], writing: Writing) -> None:
        """Get to know the fields, once `writing` holds this writer: a record may hold itself."""
        self._pick = _picker(list(fields))
        self._writers = {name: shape.writer(writing) for name, shape in fields.items()}
        self._plain = {name: shape.plain for name, shape in fields.items()}
        self._steps = [(name, self._writers[name]) for name in fields if not self._plain[name]]

    def datum(self, values: dict[str, Any]) -> dict[str, Any]:
        """What fastavro writes for these field values; other keys do not matter.

        Raises:
            Misfit: a value is missing, or cannot be kept exactly.
        """
        try:
            row = self._pick(values)
        except KeyError as error:
            raise Misfit("it has no value", str(error.args[0])) from None
        kinds = tuple(map(type, row))
        if kinds not in self._known:
            return self._checked(row, kinds)
        if not self._steps:
            return values
        datum = dict(zip(self._writers, row, strict=True))
        self._convert(datum, self._steps)
        return datum

    def _checked(self, row: tuple[Any, ...], kinds: tuple[type, ...]) -> dict[str, Any]:
        datum = dict(zip(self._writers, row, strict=True))
        self._convert(datum, list(self._writers.items()))
        plain = zip(self._plain.values(), kinds, strict=True)
        fits = all(not types or kind in types for types, kind in plain)
        if fits and len(self._known) < _MOST_KNOWN:
            self._known.add(kinds)
        return datum

    @staticmethod
    def _convert(datum: dict[str, Any], steps: list[tuple[str, Convert]]) -> None:
        name = ""
        try:
            for name, write in steps:
                datum[name] = write(datum[name])
        except RecursionError:
            raise
        except Exception as error:
            raise Misfit.at(name, error) from error


def _picker(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """A function from field values to a row of those named."""
    if not names:
        return lambda _: ()
    if len(names) == 1:
        (name,) = names
        return lambda values: (values[name],)
    return itemgetter(*names)
