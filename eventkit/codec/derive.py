"""The Avro schema of a shape, derived by py-avro-schema and completed where it falls short.

Completed are: the names (see wires.py), documentation of fields, and defaults, which the library
writes for a few types only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Hashable, Iterator
from typing import Any

import py_avro_schema
from pydantic.fields import FieldInfo

from eventkit.codec.defaults import NO_DEFAULT, json_default
from eventkit.codec.names import qualified_avro_name, simple_name
from eventkit.codec.records import RecordShape
from eventkit.codec.shapes import Shape, Writing
from eventkit.codec.wires import MARKED, Wires
from eventkit.codec.written import Written
from eventkit.errors import UnsupportedType

UNDOCUMENTED = "(no description given)"
"""Stands at the end of each `doc` that was not written by hand."""
_OPTIONS = (
    py_avro_schema.Option.NO_AUTO_NAMESPACE
    | py_avro_schema.Option.NO_DOC
    | py_avro_schema.Option.LOGICAL_JSON_STRING
)


def derive(shape: RecordShape, full_name: str) -> tuple[dict[str, Any], Writing]:
    """The schema of a record as JSON, and what its writers share: the names in it.

    Parameters:
        shape: the record.
        full_name: its Avro name; its namespace, if any, holds for the named types within.

    Raises:
        UnsupportedType: two classes in it cannot be told apart by name.
    """
    names = _names(shape, full_name)
    wires = Wires()
    derived = json.loads(py_avro_schema.generate(shape.wire(wires), options=_OPTIONS))
    writing = Writing(names)
    return _Completion(shape, wires, writing).record(derived), writing


def _names(shape: RecordShape, full_name: str) -> dict[Hashable, str]:
    """The Avro name of each record and enum: its own, with its module where two share one."""
    namespace = full_name.rpartition(".")[0]
    prefix = f"{namespace}." if namespace else ""
    names: dict[Hashable, str] = {shape.key: full_name}
    nested = [s for s in _all_shapes(shape) if s.key is not None and s.key not in names]
    classes = [s.key for s in nested if isinstance(s.key, type)]
    simple = [prefix + simple_name(cls) for cls in classes] + [full_name]
    for cls in classes:
        name = prefix + simple_name(cls)
        names[cls] = name if simple.count(name) == 1 else prefix + qualified_avro_name(cls)
    for number, pairs in enumerate((s for s in nested if not isinstance(s.key, type)), 1):
        names[pairs.key] = f"{full_name}Entry{number}"
    if len(set(names.values())) < len(names):
        raise UnsupportedType(shape.label, "it holds two classes of one module and one name")
    return names


def _all_shapes(shape: Shape) -> Iterator[Shape]:
    """Every shape within a shape once, in order."""
    seen: dict[int, Shape] = {}
    todo = [shape]
    while todo:
        found = todo.pop(0)
        if id(found) not in seen:
            seen[id(found)] = found
            todo = [*found.children(), *todo]
    return iter(seen.values())


class _Completion:
    """Walks a derived schema and completes it."""

    def __init__(self, shape: RecordShape, wires: Wires, writing: Writing) -> None:
        self._shapes = {s.key: s for s in _all_shapes(shape) if s.key is not None}
        self._wires = wires
        self._writing = writing
        self._named: dict[str, Any] = {}

    def record(self, derived: dict[str, Any]) -> dict[str, Any]:
        key = self._wires.tokens[derived["name"]]
        shape = self._shapes[key]
        name = self._writing.names[key]
        record: dict[str, Any] = {"type": "record", "name": name}
        self._named[name] = record
        if not isinstance(shape, RecordShape):  # the key and value of a dict
            record["doc"] = "One entry of a dict."
            record["fields"] = [
                {"name": f["name"], "doc": f"Its {f['name']}.", "type": self.node(f["type"])}
                for f in derived["fields"]
            ]
            return record
        record["doc"] = _doc(shape.model) or f"{shape.model.__name__} {UNDOCUMENTED}"
        record["fields"] = [self._field(shape, field) for field in derived["fields"]]
        return record

    def _field(self, shape: RecordShape, derived: dict[str, Any]) -> dict[str, Any]:
        name = derived["name"]
        info = shape.infos[name]
        doc = inspect.cleandoc(info.description or "")
        field = {
            "name": name,
            "doc": " ".join(doc.split()) or f"{name} of {shape.model.__name__} {UNDOCUMENTED}",
            "type": self.node(derived["type"]),
        }
        default = self._default(shape.fields[name], info, field["type"])
        return field if default is NO_DEFAULT else {**field, "default": default}

    def _default(self, shape: Shape, info: FieldInfo, node: Any) -> Any:
        """The default as JSON; what a factory makes has none, unless that is an empty container."""
        made = info.default_factory in (list, dict, set, frozenset, tuple)
        if info.is_required() or (info.default_factory is not None and not made):
            return NO_DEFAULT
        value = info.get_default(call_default_factory=True, validated_data={})
        return json_default(shape, value, Written(node, self._named), self._writing)

    def node(self, derived: Any) -> Any:
        """Any part of a schema."""
        if isinstance(derived, list):
            return [self.node(branch) for branch in derived]
        if isinstance(derived, str):
            key = self._wires.tokens.get(derived)
            return derived if key is None else self._writing.names[key]
        complete = {
            "record": self.record,
            "enum": self._enum,
            "array": self._array,
            "map": self._map,
        }.get(derived["type"], self._scalar)
        return complete(derived)

    @staticmethod
    def _scalar(derived: dict[str, Any]) -> dict[str, Any]:
        if "namedString" in derived:
            return dict(MARKED[derived["namedString"]])
        return {key: derived[key] for key in ("type", "logicalType") if key in derived}

    def _map(self, derived: dict[str, Any]) -> dict[str, Any]:
        return {"type": "map", "values": self.node(derived["values"])}

    def _enum(self, derived: dict[str, Any]) -> dict[str, Any]:
        # The library's default, the first symbol, would stand for every symbol a reader lacks.
        key = self._wires.tokens[derived["name"]]
        assert isinstance(key, type)  # noqa: S101 - a class is what an enum is found by
        doc = _doc(key) or f"{key.__name__} {UNDOCUMENTED}"
        name = self._writing.names[key]
        enum = {"type": "enum", "name": name, "doc": doc, "symbols": derived["symbols"]}
        self._named[name] = enum
        return enum

    def _array(self, derived: dict[str, Any]) -> dict[str, Any]:
        items = derived["items"]
        array = {"type": "array", "items": self.node(items)}
        token = items["name"] if isinstance(items, dict) and "name" in items else items
        shape = self._shapes.get(self._wires.tokens.get(token)) if isinstance(token, str) else None
        if shape is not None and shape.logical is not None:
            array["logicalType"] = shape.logical
        return array


def _doc(cls: type) -> str:
    """The first paragraph of the class's own docstring, as one line; not an inherited one."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    return " ".join(text.split("\n\n")[0].split())
