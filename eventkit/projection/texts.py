"""Texts from events and errors, as databases take them."""

from __future__ import annotations


def storable(text: str) -> str:
    """A text that every database takes: no NUL, no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
