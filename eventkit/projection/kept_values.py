"""The values of a read model in PostgreSQL, compared with those of a rebuild in a file of SQLite.

PostgreSQL fits a value into its column: it rounds numbers, and fills texts up. SQLite keeps what
it gets, and numbers as floating point alone. So both values are taken as the column in PostgreSQL
keeps them, and no more coarsely than SQLite forces us to.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, Table, event, type_coerce
from sqlalchemy.types import NullType

from eventkit.projection.read_models import ReadModels

_TYPE = re.compile(r"(REAL|FLOAT|DOUBLE|NUMERIC|DECIMAL|N?CHAR)\b[^(]*(?:\((\d+)(?:, *(\d+))?\))?")
_FLOATS = {"REAL", "FLOAT", "DOUBLE"}
_NUMBERS = {"NUMERIC", "DECIMAL"}
_SINGLE = 24
"""Binary digits up to which FLOAT(n) is REAL in PostgreSQL."""
_EXACT = 15
"""Decimal digits that come out of floating point as they went in."""
_CLOSE = 2.0**-52
"""Relative difference of two neighbours in floating point: longer numbers are told apart by it."""
_CLOSE_WITHOUT_SCALE = 0.5e-10
"""Difference between sums of what has any number of places: so many SQLAlchemy takes of SQLite."""
_WIDE = Context(prec=20_000)
"""PostgreSQL's numbers have up to 131,072 digits before the point; such do not fit into SQLite."""
_NAN = "NaN"

Change = Callable[[Any], Any]


class Kept:
    """How the values of a table are read from both databases, and compared.

    Attributes:
        coarse: columns of which numbers were alike as far as SQLite can keep them, and no further.

    Parameters:
        table: of the projection.
        live: the dialect of the live read model; values of SQLite need nothing.
        rebuilt: that of the other one.
    """

    def __init__(self, table: Table, live: Dialect, rebuilt: Dialect) -> None:
        other = live.name != rebuilt.name
        self._changes = {
            column.name: change
            for column in table.columns
            if other and (change := _change(column, live, rebuilt)) is not None
        }
        self.coarse: set[str] = set()

    def read(self, column: Column[Any]) -> ColumnElement[Any]:
        """What to select for a column: what it holds, where that is to be fitted."""
        if column.name not in self._changes:
            return column
        return type_coerce(column, NullType()).label(column.name)

    def fitted(self, name: str, value: Any) -> Any:
        """A value of the named column as PostgreSQL keeps it."""
        change = self._changes.get(name)
        return value if change is None or value is None else change(value)

    def alike(self, name: str, one: Any, two: Any) -> bool:
        """Whether two such values of a column are the same one."""
        if one == two:
            return True
        if name not in self._changes or not (isinstance(one, Decimal) and isinstance(two, Decimal)):
            return False
        if max(_digits(one), _digits(two)) <= _EXACT:
            return False
        any_places = self._changes[name] is _number
        close = math.isclose(
            one, two, rel_tol=_CLOSE, abs_tol=_CLOSE_WITHOUT_SCALE if any_places else 0.0
        )
        if close:
            self.coarse.add(name)
        return close


@contextmanager
def scratch_models(file: Path, dialect: str) -> Iterator[ReadModels]:
    """A file of SQLite to build read models in that are compared with those of a dialect."""
    with _Scratch(f"sqlite:///{file}") as scratch:
        if dialect != "sqlite":
            scratch.keep_nan()
        yield scratch


class _Scratch(ReadModels):
    def keep_nan(self) -> None:
        """SQLite would make NULL of NaN, which is another value, and refused by NOT NULL."""
        event.listen(self._writer, "before_cursor_execute", _with_nan, retval=True)


def _with_nan(
    _connection: object, _cursor: object, statement: str, given: Any, *_: object
) -> tuple[str, Any]:
    many = isinstance(given, list)
    return statement, [_nan_as_text(it) for it in given] if many else _nan_as_text(given)


def _nan_as_text(given: Any) -> Any:
    values = given.values() if isinstance(given, dict) else given
    if all(value == value for value in values):  # noqa: PLR0124 - NaN alone is not equal to itself
        return given
    if isinstance(given, dict):
        return {name: value if value == value else _NAN for name, value in given.items()}  # noqa: PLR0124
    return tuple(value if value == value else _NAN for value in given)  # noqa: PLR0124


def _change(column: Column[Any], live: Dialect, rebuilt: Dialect) -> Change | None:
    """What fits a value into a column; None where both databases keep the same."""
    ours, theirs = (_TYPE.match(column.type.compile(it)) for it in (live, rebuilt))
    if ours is None or theirs is None or _family(ours[1]) != _family(theirs[1]):
        return None
    name, size, scale = ours[1], ours[2], ours[3]
    if name in _NUMBERS:
        # Without a scale, NUMERIC(10) keeps whole numbers, and NUMERIC whatever it gets.
        places = int(scale or 0)
        return (lambda value: _number(value, places)) if size else _number
    if name in _FLOATS:
        single = name == "REAL" or (name == "FLOAT" and int(size or 53) <= _SINGLE)
        return _single if single else _float
    return _unfilled


def _family(name: str) -> str:
    if name in _NUMBERS:
        return "number"
    return "float" if name in _FLOATS else "text"


def _number(value: Any, places: int | None = None) -> Decimal | str:
    number = Decimal(str(value))
    if number.is_nan():
        return _NAN
    if places is None or number.is_infinite():
        return number
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _WIDE)


def _digits(number: Decimal) -> int:
    return len("".join(map(str, number.as_tuple().digits)).strip("0"))


def _float(value: Any) -> float | str:
    number = float(value)
    return _NAN if math.isnan(number) else number


def _single(value: Any) -> float | str:
    number = _float(value)
    if isinstance(number, str):
        return number
    try:
        (kept,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        return number  # PostgreSQL would have refused it
    return float(kept)


def _unfilled(value: Any) -> Any:
    return value.rstrip(" ") if isinstance(value, str) else value
