"""The types that the library derives Avro schemas from, in place of the user's own.

The library reads annotations itself, which fails on postponed ones, on names that are no Avro
names and on models that hold themselves (README.md has the list). So it gets plain dataclasses and
enums with made-up names, resolved types and nothing else; `derive.py` puts the real names back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any


class Wires:
    """The stand-ins of one schema: one for each record and enum."""

    def __init__(self) -> None:
        self.tokens: dict[str, Hashable] = {}
        self._made: dict[Hashable, Any] = {}

    def named(self, key: Hashable, make: Callable[[str], Any]) -> Any:
        """The stand-in for the record or enum `key`, made with `make(token)` the first time.

        While it is being made it is known by its token, which the library takes as a reference.
        """
        if key not in self._made:
            token = f"Named{len(self.tokens)}"
            self.tokens[token] = key
            self._made[key] = token
            self._made[key] = make(token)
        return self._made[key]


DurationWire = type("DurationWire", (str,), {})
NaiveDatetimeWire = type("NaiveDatetimeWire", (str,), {})

MARKED: dict[str, dict[str, str]] = {
    DurationWire.__name__: {"type": "long", "logicalType": "duration-micros"},
    NaiveDatetimeWire.__name__: {"type": "long", "logicalType": "local-timestamp-micros"},
}
"""Types that the library has no form for, or an inexact one: it names subclasses of str in the
schema, and `derive.py` puts these in their place."""
