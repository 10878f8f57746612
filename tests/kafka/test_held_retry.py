"""A retry whose first attempt is still undecided is told of no conflict."""

import uuid
from collections.abc import Iterable
from time import monotonic, sleep

import pytest

from eventkit.kafka.inflight import Call, Waiting
from eventkit.kafka.view import View
from eventkit.store import Appended
from tests.kafka.test_writer_faults import left_open
from tests.kafka.writer_kit import SECONDS, Desk, new_topic


def test_a_retry_waits_until_what_it_followed_is_decided(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first attempt stood behind a proposal for version 1, which our tail has not met yet."""

    def none_met(_view: View, _some: Iterable[Waiting]) -> list[Waiting]:
        return []

    monkeypatch.setattr(View, "undecided", none_met)
    topic = new_topic(kafka_address)
    with Desk(topic) as desk:
        producer = left_open(topic, "task-1")
        retry = desk.waiting("task-1", 1, event_ids=(uuid.uuid4(),))
        call = Call([retry])
        desk.writer.put(call)
        deadline = monotonic() + SECONDS
        while retry.fresh_at < 0 and retry.outcome is None:
            assert monotonic() < deadline
            sleep(0.001)
        producer.commit_transaction(SECONDS)
        call.wait()
        assert isinstance(retry.outcome, Appended)
        assert retry.outcome.version == 2
