"""Numbers of JSON that have more digits than a float tells apart."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel

from eventkit.errors import InvalidCloudEvent

# 15 digits always come through a float, and so do exponents of two.
_LONG = re.compile(rb"[:,\[\s]-?(?:[\d.]{16,}|[\d.]+[eE][+-]?\d{3,})")
_SHOWN = 60


def may_hold_long_numbers(line: bytes) -> bool:
    """Whether a line has to be read with `exact`; most have not, which is a lot faster."""
    return _LONG.search(line) is not None


def exact(line: bytes) -> dict[str, Any]:
    """Read what is known to be an object of JSON, without loss.

    Numbers with a fraction or an exponent are floats, or `Decimal` where reading the float back
    gives another number.

    Raises:
        InvalidCloudEvent: a number is beyond all bounds.
    """
    found: dict[str, Any] = json.loads(line, parse_float=_float_or_decimal)
    return found


def long_numbers(value: object) -> list[Decimal]:
    """What is in a value of `exact` that a float does not give back, whole numbers as well."""
    return [
        Decimal(leaf)
        for leaf in _leaves(value)
        if isinstance(leaf, Decimal)
        or (isinstance(leaf, int) and not _is_given_back(float(Decimal(leaf)), Decimal(leaf)))
    ]


def lost(numbers: Sequence[Decimal], event: BaseModel, *, rounded: bool) -> Decimal | None:
    """The first of the numbers that an event made from them does not hold as it was, if any.

    A float takes what it gives back when it is written with as many digits: so it does with all
    that was a float when it was written, also by programs that write 17 digits of each.

    Parameters:
        numbers: the long ones that were given.
        event: what was read; it need not hold all, as its class may take no notice of some.
        rounded: it was read from floats, so what it does not hold has become something else.
    """
    leaves = list(_leaves(event))
    held = {leaf for leaf in leaves if isinstance(leaf, int | Decimal)}
    floats = {leaf for leaf in leaves if isinstance(leaf, float)}
    texts = {leaf for leaf in leaves if isinstance(leaf, str)}
    for number in numbers:
        nearest = float(number)
        if nearest in floats:
            if not _fits(nearest, number):
                return number
        elif number not in held and (rounded or str(number) in texts):
            return number
    return None


def shown(number: Decimal) -> str:
    """A number as messages name it."""
    text = str(number)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _float_or_decimal(text: str) -> float | Decimal:
    value = float(text)
    if repr(value) == text:
        return value
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise InvalidCloudEvent(f"the number {text[:_SHOWN]} is beyond all bounds") from error
    return value if _is_given_back(value, number) else number


def _is_given_back(value: float, number: Decimal) -> bool:
    """Whether the shortest text that stands for the float is this number."""
    return math.isfinite(value) and Decimal(repr(value)) == number


def _fits(value: float, number: Decimal) -> bool:
    if not math.isfinite(value):
        return False
    digits = len(number.as_tuple().digits)
    return (
        _is_given_back(value, number) or Context(digits).create_decimal_from_float(value) == number
    )


def _leaves(value: object) -> Iterator[object]:
    """What an event holds that holds nothing itself."""
    match value:
        case BaseModel():
            parts = list(vars(value).values())
        case dict():
            parts = [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset():
            parts = list(value)
        case _ if is_dataclass(value):
            parts = [getattr(value, it.name) for it in fields(value)]
        case _:
            yield value
            return
    for part in parts:
        yield from _leaves(part)
