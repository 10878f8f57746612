"""Shapes that hold others: lists, sets, tuples, dicts, and free-form JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, Dict, cast  # noqa: UP035 - the library knows Dict[str, Any] only

from typing_extensions import override

from eventkit.codec.shapes import Convert, Misfit, Reading, Shape, Writing, same
from eventkit.codec.wires import Wires
from eventkit.codec.written import Written

MAX_JSON_DEPTH = 100
"""Levels of lists and dicts: far below what the JSON parser's recursion stands."""
_JSON_SCALARS = (str, bool, int, type(None))


class ArrayShape(Shape):
    """A list, set, frozenset or tuple of one item type, as an Avro array.

    Parameters:
        python: the container type.
        item: the shape of each item.
        length: how many items there are, for a tuple of fixed length.
    """

    base = "array"

    def __init__(self, python: type, item: Shape, length: int | None = None) -> None:
        self.label = f"{python.__name__}[{item.label}]"
        self.python = python
        self.item = item
        self.length = length
        self.takes = (python,)
        if item.empty:
            raise Misfit("items that carry no data leave nothing but their number; write an int")

    @override
    def children(self) -> tuple[Shape, ...]:
        return (self.item,)

    @override
    def wire(self, wires: Wires) -> Any:
        return list[self.item.wire(wires)]  # type: ignore[misc]  # a type made at run time

    @override
    def writer(self, writing: Writing) -> Convert:
        python, write = self.python, self.item.writer(writing)
        unordered = issubclass(python, (set, frozenset))

        def convert(value: Any) -> list[Any]:
            if type(value) is not python:
                raise Misfit(f"{value!r:.100} is no {python.__name__}")
            items = [write(item) for item in cast("Iterable[Any]", value)]
            if unordered:  # the same set gives the same bytes in every process
                items.sort(key=repr)
            return items

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if written.base != "array" or written.logical is not None:
            raise self.cannot_read(written)
        python, length = self.python, self.length
        read = _each(reading.reader(self.item, written.within("items")))
        if python is list:
            return read

        def convert(items: list[Any]) -> Any:
            value = python(items if read is None else read(items))
            if len(value) != (len(items) if length is None else length):
                raise Misfit(f"{len(items)} items were written, which {self.label} cannot hold")
            return value

        return convert


def _each(read: Convert | None) -> Convert | None:
    if read is None:
        return None
    return lambda items: [read(item) for item in items]


class MapShape(Shape):
    """A dict with text keys, as an Avro map."""

    base = "map"
    takes = (dict,)

    def __init__(self, value: Shape) -> None:
        self.label = f"dict[str, {value.label}]"
        self.value = value

    @override
    def children(self) -> tuple[Shape, ...]:
        return (self.value,)

    @override
    def wire(self, wires: Wires) -> Any:
        return dict[str, self.value.wire(wires)]  # type: ignore[misc]  # a type made at run time

    @override
    def writer(self, writing: Writing) -> Convert:
        write = self.value.writer(writing)

        def convert(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise Misfit(f"{value!r:.100} is no dict")
            if not all(type(key) is str for key in value):
                raise Misfit("its keys are not all text")
            return {key: write(item) for key, item in value.items()}

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if written.base != "map":
            raise self.cannot_read(written)
        read = reading.reader(self.value, written.within("values"))
        if read is None:
            return None
        return lambda items: {key: read(item) for key, item in items.items()}


class PairsShape(Shape):
    """A dict whose keys are no text, as an array of key and value (Avro maps have text keys only).

    The array carries the logical type `map`, the convention of Apache Iceberg.
    """

    base = "array"
    logical = "map"
    takes = (dict,)

    def __init__(self, key: Shape, value: Shape) -> None:
        self.label = f"dict[{key.label}, {value.label}]"
        self.keys = key
        self.values = value
        self.key = id(self)

    @override
    def children(self) -> tuple[Shape, ...]:
        return (self.keys, self.values)

    @override
    def wire(self, wires: Wires) -> Any:
        def entry(token: str) -> type:
            fields = [("key", self.keys.wire(wires)), ("value", self.values.wire(wires))]
            return dataclasses.make_dataclass(token, fields)

        return list[wires.named(self.key, entry)]  # type: ignore[misc]  # a type made at run time

    @override
    def writer(self, writing: Writing) -> Convert:
        write_key, write_value = self.keys.writer(writing), self.values.writer(writing)

        def convert(value: Any) -> list[dict[str, Any]]:
            if type(value) is not dict:
                raise Misfit(f"{value!r:.100} is no dict")
            return [{"key": write_key(k), "value": write_value(v)} for k, v in value.items()]

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if (written.base, written.logical) != ("array", "map"):
            raise self.cannot_read(written)
        fields = written.within("items").fields()
        read_key = reading.reader(self.keys, fields["key"]) or same
        read_value = reading.reader(self.values, fields["value"]) or same
        return lambda items: {read_key(e["key"]): read_value(e["value"]) for e in items}


class JsonShape(Shape):
    """Any JSON value, or any JSON object or array, as text with the logical type `json`.

    Parameters:
        label: the annotation, as the user wrote it.
        takes: the types of the value itself; what it holds may be any JSON.
    """

    base = "string"
    logical = "json"

    def __init__(self, label: str, *takes: type) -> None:
        self.label = label
        self.takes = takes or (dict, list, float, *_JSON_SCALARS)

    @override
    def wire(self, wires: Wires) -> Any:
        return Dict[str, Any]  # noqa: UP006 - the library knows Dict[str, Any] only

    @override
    def writer(self, writing: Writing) -> Convert:
        return self._text

    def _text(self, value: Any) -> str:
        if type(value) not in self.takes:
            raise Misfit(f"{value!r:.100} is no {self.label}")
        _check_json(value, MAX_JSON_DEPTH)
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if (written.base, written.logical) != ("string", "json"):
            raise self.cannot_read(written)
        return json.loads


def _check_json(value: Any, depth: int) -> None:
    """Refuse what would come back from JSON as something else."""
    kind = type(value)
    if kind in _JSON_SCALARS or kind is float:
        return
    if not depth:
        raise Misfit(f"it is nested more than {MAX_JSON_DEPTH} levels deep")
    if kind is list:
        for item in value:
            _check_json(item, depth - 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise Misfit(f"the key {key!r:.100} is no text, as keys in JSON must be")
            _check_json(item, depth - 1)
    else:
        raise Misfit(f"{value!r:.100} is no JSON; give the field a type of its own")
