"""What the parts of the suite share."""

from collections.abc import Iterator

import pytest

from eventkit import EventStore
from tests.contract.domain import OpenStore


class Contract:
    """Opens the store of a test and closes it."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[EventStore]:
        with open_store() as store:
            yield store
