"""What librdkafka has to say goes to the logger `eventkit.kafka`, never past it to stderr."""

import logging

import pytest
from confluent_kafka import Producer

from eventkit import Event
from tests.contract.domain import OpenStore
from tests.kafka.clients import SECONDS, at


class Logged(Event):
    number: int


def test_a_writer_that_is_fenced_tells_its_logger_and_nobody_else(
    open_kafka: OpenStore,
    kafka_address: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with open_kafka() as store:
        store.append("parcel-1", [Logged(number=1)])
        writer = store._view._writer_id  # type: ignore[attr-defined]
        other = Producer({**at(kafka_address), "transactional.id": writer, "log_level": 0})
        other.init_transactions(SECONDS)
        assert store.append("parcel-1", [Logged(number=2)]).version == 2
    told = [
        (record.name, record.levelno) for record in caplog.records if "[thrd:" in record.message
    ]
    assert ("eventkit.kafka", logging.ERROR) in told
    assert capfd.readouterr() == ("", "")


def test_a_process_that_sets_up_no_logging_sees_no_line_of_librdkafka(
    open_kafka: OpenStore, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = logging.getLogger("eventkit.kafka").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
    with open_kafka() as store:
        store.append("parcel-1", [Logged(number=1)])
    assert capfd.readouterr() == ("", "")
