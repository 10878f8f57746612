"""Reading a record by the schema it was written with alone, where its class is not at hand."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from eventkit.codec.shapes import Convert
from eventkit.codec.written import Written


def plain_reader(written: Written) -> Convert:
    """How what fastavro read, without names of types, becomes plain Python values."""
    return _Plain().reader(written)


class _Plain:
    """The readers of one schema; that of a record may be needed while it is being made."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Convert]] = {}

    def reader(self, written: Written) -> Convert:
        if written.base == "union":
            return self._union(written)
        if written.base == "record":
            return self._record(written)
        if written.base == "array":
            return self._array(written)
        if written.base == "map":
            read = self.reader(written.within("values"))
            return lambda items: {key: read(item) for key, item in items.items()}
        return _LOGICAL.get((written.base, written.logical), _same)

    def _record(self, written: Written) -> Convert:
        name = written.name
        if name not in self._records:
            fields = self._records[name] = {}
            fields.update((field, self.reader(node)) for field, node in written.fields().items())
        readers = self._records[name]
        return lambda datum: {field: read(datum[field]) for field, read in readers.items()}

    def _array(self, written: Written) -> Convert:
        read = self.reader(written.within("items"))
        if written.logical != "map":
            return lambda items: [read(item) for item in items]
        return lambda items: {_key(entry["key"]): entry["value"] for entry in map(read, items)}

    def _union(self, written: Written) -> Convert:
        readers = {
            branch.name if branch.is_named else branch.python: self.reader(branch)
            for branch in written.branches()
        }

        def read(value: Any) -> Any:
            key = type(value)
            if key is tuple:
                key, value = value
            return readers[key](value)

        return read


def _same(value: Any) -> Any:
    return value


def _key(value: Any) -> Any:
    """A key of a dict that can be hashed: a model stands in it as a dict, a tuple as a list."""
    if isinstance(value, dict):
        return tuple((name, _key(item)) for name, item in value.items())
    return tuple(map(_key, value)) if isinstance(value, list) else value


_LOGICAL: dict[tuple[str, str | None], Convert] = {
    ("string", "json"): json.loads,
    ("long", "duration-micros"): lambda count: timedelta(microseconds=count),
}
