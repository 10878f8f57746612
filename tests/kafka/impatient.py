"""A user's module with a read model of all categories; its workers look for new ones at once."""

import os

from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.kafka import growth
from eventkit.projection import Projection, Transaction, on
from tests.projection.accounts import Opened

if os.environ.get("EVENTKIT_APP") == __name__:  # in a worker, and not in the test that imports it
    growth._LOOK, growth._SETTLE = 0.2, 0.1


class Openings(Projection):
    name = "openings"
    opened = Table(
        "opened",
        MetaData(),
        Column("account", String, primary_key=True),
        Column("version", Integer, nullable=False),
    )

    @on(Opened)
    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(self.opened, {"account": recorded.aggregate_id, "version": recorded.version})


class OpenDepots(Openings):
    """Of one category, which may not be there yet."""

    name = "open_depots"
    categories = ("depot",)
    opened = Table(
        "open_depots",
        MetaData(),
        Column("account", String, primary_key=True),
        Column("version", Integer, nullable=False),
    )
