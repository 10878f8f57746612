"""The names of the attributes, shared by reading and writing."""

from __future__ import annotations

import re

REQUIRED = ("specversion", "id", "source", "type", "subject", "time", "data")
METADATA = {
    "workspaceid": "workspace_id",
    "causedbyuser": "caused_by_user",
    "causationid": "causation_id",
    "correlationid": "correlation_id",
}
"""Attributes that are fields of `Metadata`."""
VERSION = "aggregateversion"
EXTRA = "eventkitextra"
KNOWN = frozenset((*REQUIRED, *METADATA, VERSION, EXTRA, "data_base64"))

DEFAULT_SOURCE = "eventkit"
"""What an event without a source is written with; when read, it is none."""

_NAME = re.compile(r"[a-z0-9]+")


def is_extension(name: str) -> bool:
    """Whether `name` can stand as an attribute of its own."""
    return name not in KNOWN and _NAME.fullmatch(name) is not None


def meant_attribute(name: str) -> str | None:
    """The known attribute that `name` misspells, such as `causedByUser` or `workspace_id`."""
    meant = re.sub(r"[^a-z0-9]", "", name.lower())
    return meant if meant in KNOWN else None
