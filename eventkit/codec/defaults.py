"""Defaults of fields as Avro's JSON, for readers that fill in what was not written."""

from __future__ import annotations

import math
from typing import Any

from fastavro.write import LOGICAL_WRITERS

from eventkit.codec.shapes import Shape, Writing
from eventkit.codec.written import Written

NO_DEFAULT = object()


def json_default(shape: Shape, value: Any, written: Written, writing: Writing) -> Any:
    """A default value as it stands in a schema, or NO_DEFAULT where JSON cannot say it.

    Parameters:
        shape: the shape of the field.
        value: its default.
        written: its schema.
        writing: the names in the schema.
    """
    try:
        return _json(shape.writer(writing)(value), written)
    except Exception:  # noqa: BLE001 - pydantic does not check defaults: writing one will say why
        return NO_DEFAULT


def _json(datum: Any, written: Written) -> Any:
    if written.base == "union":
        return _json_branch(datum, written)
    if written.base == "array":
        return [_json(item, written.within("items")) for item in datum]
    if written.base == "map":
        values = written.within("values")
        return {key: _json(item, values) for key, item in datum.items()}
    if written.base == "record":
        return {name: _json(datum[name], node) for name, node in written.fields().items()}
    prepare = LOGICAL_WRITERS.get(f"{written.base}-{written.logical}")
    if prepare is not None:
        datum = prepare(datum, written.node)
    if isinstance(datum, bytes):
        return datum.decode("latin-1")
    if isinstance(datum, float) and not math.isfinite(datum):
        raise ValueError("JSON has no such number")
    return datum


def _json_branch(datum: Any, union: Written) -> Any:
    """The value of a union: of the branch that comes with it, or else of the one beside null."""
    branches = union.branches()
    if isinstance(datum, tuple):
        branch, datum = datum
        found = [b for b in branches if branch == (b.name if b.is_named else b.base)]
    else:
        found = [b for b in branches if (b.base == "null") == (datum is None)]
    return _json(datum, found[0])
