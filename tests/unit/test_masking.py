"""Secrets are taken out of texts and URLs, and all else stays as it is."""

import pytest

from eventkit.masking import masked, masked_url, without

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
