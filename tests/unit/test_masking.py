"""Secrets are taken out of texts and URLs, and all else stays as it is."""

import ast
from collections.abc import Iterator

import pytest

from eventkit.masking import masked, masked_url, without
from tests.unit.source import Module, modules

PASSWORDS = [
    ("postgresql://u:p@ss:w/rd@h/db", "postgresql://u:***@h/db"),
    ("sqlite:///a.db?x=1", "sqlite:///a.db?x=1"),
    ("kafka://h?sasl_password=p&x=1", "kafka://h?sasl_password=***&x=1"),
    ("x://h/?a=1&API_TOKEN=p", "x://h/?a=1&API_TOKEN=***"),
    ("no url: a@b", "no url: a@b"),
]


@pytest.mark.parametrize(("url", "shown"), PASSWORDS)
def test_passwords_are_taken_out_of_a_url_alone_and_in_a_text(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert masked(f"at {url} 'y'") == f"at {shown} 'y'"


def test_a_url_alone_may_have_blanks_and_quotes_in_its_password() -> None:
    url = "x://u:a 'b\"\n@h?token=c 'd\"&y=1"
    assert masked_url(url) == "x://u:***@h?token=***&y=1"


def test_values_are_taken_out_wherever_they_stand() -> None:
    assert without(["ann2", "", "bob3"], "ann2 said bob3ann2") == "*** said ******"


def test_of_two_values_where_one_begins_the_other_nothing_stays() -> None:
    assert without(["abc", "abcdef"], "abcdef and abc") == "*** and ***"


def test_a_quote_in_a_password_does_not_end_the_url_in_a_text() -> None:
    assert masked("into x://u:it's-\"hidden@h/db: ready") == "into x://u:***@h/db: ready"


MODULES = modules("eventkit")


@pytest.mark.parametrize("name", MODULES)
def test_no_module_puts_a_url_into_a_text_without_masking_it(name: str) -> None:
    assert [ast.unparse(it) for it in _told(MODULES[name]) if _is_url(it)] == []


def _told(module: Module) -> Iterator[ast.expr]:
    """What becomes a part of a text, or of a command line that is shown."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FormattedValue):
            yield node.value
        elif isinstance(node, ast.Call) and _name(node.func) in {"quote", "masked"}:
            yield from node.args


def _is_url(node: ast.expr) -> bool:
    return _name(node).lower().endswith("url")


def _name(node: ast.expr) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))
