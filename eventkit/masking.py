"""Passwords and other secrets are `***` in all that is shown or logged."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN_NAMES = "password|passwd|passphrase|secret|token"
"""Of settings and of options in URLs: what has one of these in its name is secret."""

# In a text a URL ends at a blank; alone it may hold blanks, also in its password.
_USER_IN_TEXT = re.compile(r"(://[^:/@\s]*):\S*@")
_OPTION_IN_TEXT = re.compile(rf"([?&][^=&\s]*(?:{HIDDEN_NAMES})[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)
_USER = re.compile(r"^([^:/]*://[^:/@]*):.*@", re.DOTALL)
_OPTION = re.compile(rf"([?&][^=&]*(?:{HIDDEN_NAMES})[^=&]*=)[^&]+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with the passwords of all URLs in it replaced by `***`, as far as they can be told.

    It is for texts of others. Where a URL ends in a text is a guess, so one that we put into a text
    goes through `masked_url` first.
    """
    return _OPTION_IN_TEXT.sub(r"\1***", _USER_IN_TEXT.sub(r"\1:***@", text))


def masked_url(url: str) -> str:
    """A URL alone, with its passwords replaced by `***`."""
    return _OPTION.sub(r"\1***", _USER.sub(r"\1:***@", url))


def without(values: Iterable[str], text: str) -> str:
    """The text with secret values replaced by `***`, wherever they stand."""
    for value in sorted(filter(None, values), key=len, reverse=True):  # one may begin another
        text = text.replace(value, "***")
    return text
