"""The store on Kafka does what every store does."""

import pytest

from tests.contract.domain import OpenStore
from tests.contract.suite import StoreContract


@pytest.fixture
def open_store(open_kafka: OpenStore) -> OpenStore:
    return open_kafka


class TestKafkaStore(StoreContract):
    model_rounds = 8
