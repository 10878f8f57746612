"""The schema a record was written with, node by node."""

from __future__ import annotations

from datetime import date, datetime, time
from types import NoneType
from typing import Any
from uuid import UUID

NAMED = ("record", "enum", "fixed")
"""Avro types with a name, by which a union tells them apart."""

_PYTHON = {
    ("null", None): NoneType,
    ("boolean", None): bool,
    ("int", None): int,
    ("long", None): int,
    ("float", None): float,
    ("double", None): float,
    ("bytes", None): bytes,
    ("string", None): str,
    ("array", None): list,
    ("map", None): dict,
    ("int", "date"): date,
    ("long", "time-micros"): time,
    ("long", "timestamp-micros"): datetime,
    ("long", "local-timestamp-micros"): datetime,
    ("string", "uuid"): UUID,
}
"""What fastavro returns for an Avro type and logical type, apart from those that it ignores."""


class Written:
    """One node of a writer's schema, with references to named types followed.

    Parameters:
        node: the schema, as fastavro parsed it.
        named: all named types of the schema.
        alone: whether no other named type stood beside it in a union; then its name says nothing.
    """

    def __init__(self, node: Any, named: dict[str, Any], *, alone: bool = True) -> None:
        if isinstance(node, str):
            node = named.get(node, node)
        self.node = node
        self.named = named
        self.alone = alone
        self.logical: str | None = None
        if isinstance(node, list):
            self.base = "union"
        elif isinstance(node, str):
            self.base = node
        else:
            self.base = node["type"]
            self.logical = node.get("logicalType")

    @property
    def name(self) -> str:
        """The full name of a record, enum or fixed."""
        return str(self.node["name"])

    @property
    def is_named(self) -> bool:
        """Whether it has a name, by which a union tells it from others."""
        return self.base in NAMED

    @property
    def python(self) -> type:
        """The type of the values that fastavro returns for it."""
        plain = _PYTHON.get((self.base, None), NoneType)
        return _PYTHON.get((self.base, self.logical), plain)

    def within(self, key: str) -> Written:
        """The `items` of an array or the `values` of a map."""
        return Written(self.node[key], self.named)

    def fields(self) -> dict[str, Written]:
        """The fields of a record, in order."""
        return {field["name"]: Written(field["type"], self.named) for field in self.node["fields"]}

    def branches(self) -> list[Written]:
        """The members of a union."""
        members = [Written(node, self.named) for node in self.node]
        alone = sum(member.is_named for member in members) == 1
        return [Written(member.node, self.named, alone=alone) for member in members]

    def __str__(self) -> str:
        if self.base == "union":
            return " or ".join(map(str, self.branches()))
        if self.is_named:
            return f"{self.base} {self.name}"
        return f"{self.logical} ({self.base})" if self.logical else self.base
