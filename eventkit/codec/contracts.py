"""The contracts: schemas as .avsc files, for those who read the log without this library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eventkit.codec.derive import UNDOCUMENTED
from eventkit.codec.schema import AvroSchema


def write_contracts(schemas: Iterable[AvroSchema], folder: Path) -> list[Path]:
    """Write one file a schema, named after its record, and remove the contracts of others.

    Parameters:
        schemas: the schemas.
        folder: where the files go; made if it is not there.

    Returns the files, in order of their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _contents(schemas)
    for path in sorted(folder.glob("*.avsc")):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in wanted]


def check_contracts(schemas: Iterable[AvroSchema], folder: Path) -> list[str]:
    """What keeps the files of a folder from being the contracts of these schemas, if anything."""
    wanted = _contents(schemas)
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.avsc")}
    complaints = [f"{name} is missing" for name in wanted if name not in there]
    complaints += [f"{name} belongs to no schema" for name in there if name not in wanted]
    complaints += [
        f"{name} differs from its class"
        for name, content in wanted.items()
        if there.get(name, content) != content
    ]
    return sorted(complaints)


def undocumented(schema: AvroSchema) -> list[str]:
    """The records, enums and fields of a schema that nobody described, as `Record.field`."""
    return list(_undocumented(json.loads(schema.json), ""))


def _undocumented(node: Any, where: str) -> Iterable[str]:
    if isinstance(node, list):
        for part in node:
            yield from _undocumented(part, where)
    elif isinstance(node, dict):
        name = node.get("name", "")
        here = f"{where}.{name}" if "fields" not in node and where else name or where
        if node.get("doc", "").endswith(UNDOCUMENTED):
            yield here
        for key in ("type", "fields", "items", "values"):
            yield from _undocumented(node.get(key), here)


def _contents(schemas: Iterable[AvroSchema]) -> dict[str, str]:
    by_name = {f"{schema.name}.avsc": json.loads(schema.json) for schema in schemas}
    return {
        name: json.dumps(by_name[name], indent=2, ensure_ascii=False) + "\n"
        for name in sorted(by_name)
    }
