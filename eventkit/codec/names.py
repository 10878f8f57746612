"""Avro names: any text becomes a valid one, and no two texts the same one."""

from __future__ import annotations

import re

_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9a-f]+[^A-Za-z0-9])")
_INVALID = re.compile(r"^[0-9]|[^A-Za-z0-9_]")
_VALID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def avro_name(text: str) -> str:
    """A valid Avro name for `text`: `text` itself where it is one.

    Other characters become `_xHH_`, HH being the code point in hexadecimal:
    `W_Completeren aanvraag` is `W_Completeren_x20_aanvraag`. A text that already holds what looks
    like such an escape has the underscore of it escaped, so that two texts never share a name.
    """
    text = _LOOKS_ESCAPED.sub("_x5f_", text)
    return _INVALID.sub(lambda found: f"_x{ord(found.group()):x}_", text)


def avro_full_name(text: str) -> str:
    """As `avro_name`, but dots part a namespace: `nl.acme.PermitReceived` stays as it is."""
    parts = text.split(".")
    return ".".join(map(avro_name, parts)) if all(parts) else avro_name(text)


def is_avro_name(text: str) -> bool:
    """Whether a field may be called `text`."""
    return _VALID.fullmatch(text) is not None


def class_names(cls: type) -> frozenset[str]:
    """The Avro names a nested class may go by: its own, or with its module where two share one."""
    return frozenset({simple_name(cls), qualified_avro_name(cls)})


def simple_name(cls: type) -> str:
    """The Avro name of a nested class."""
    return avro_name(cls.__name__)


def qualified_avro_name(cls: type) -> str:
    """The Avro name of a nested class where the simple one is taken by another class.

    No namespace is made of the module: Avro hands a namespace down to all that is nested in it.
    """
    return avro_name(f"{cls.__module__}.{cls.__qualname__}")
