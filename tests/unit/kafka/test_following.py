"""What a store follows: the topics it knows, and those that others have put into the index."""

from contextlib import closing
from pathlib import Path

import pytest

from eventkit.kafka.following import Following
from eventkit.kafka.indexfile import LogId
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Home

HOMES = [Home(category, part, 2) for category in ("task", "note") for part in range(2)]


@pytest.mark.parametrize("names", [Names(), Names("shop."), Names("task.")], ids=str)
@pytest.mark.parametrize("known", [[], HOMES[:2]], ids=["none", "one"])
def test_topics_that_a_store_did_not_find_are_followed_where_the_index_has_them(
    names: Names, known: list[Home], tmp_path: Path
) -> None:
    all_homes = {(names.events(it.category), it.partition): it for it in HOMES}
    homes = {place: home for place, home in all_homes.items() if home in known}
    log = LogId(names.registry, {})
    with closing(Following(tmp_path / "index.db", log, homes, {}, timeout=2)) as following:
        assert {**homes, **following._later_homes(all_homes)} == all_homes
