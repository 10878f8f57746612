"""What is kept of others' records has a bound, and the tail meets each record all the same.

The broker is the one that librdkafka has for tests, inside a producer.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from confluent_kafka import Message, Producer

from eventkit.codec import AvroCodec
from eventkit.errors import StoreBusy
from eventkit.events import EventTypes
from eventkit.kafka import tails
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import InFlight, Waiting
from eventkit.kafka.proposals import ProposalTail
from eventkit.kafka.records import new_records
from eventkit.kafka.view import View
from eventkit.kafka.writing.numbering import Numbering
from tests.kafka.writer_kit import MemoryIndex, consumer_settings

BUSY, QUIET = ("task", 0), ("task", 1)
MOST, BATCH = 400, 100
SECONDS = 20


class Seen(View):
    """A view that notes what it is told, and the most that it kept."""

    def __init__(self) -> None:
        super().__init__({BUSY: 0, QUIET: 0}, "me")
        self.offsets: dict[Partition, list[int]] = {BUSY: [], QUIET: []}
        self.most = 0
        self.free: list[int] = []
        """How far the tail was in `BUSY` whenever it read on while writers could propose there."""

    def add_seen(
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        for partition, some in messages.items():
            self.offsets[partition] += [it.offset() or 0 for it in some]
            if BUSY not in self.behind:
                self.free.append(self.seen(BUSY))
        super().add_seen(messages, ends)
        self.most = max(self.most, self.kept())

    def kept(self) -> int:
        return sum(len(side.rivals) + len(side.unsorted) for side in self._sides.values())

    def bodies(self) -> int:
        return sum(
            it.message.value() is not None for side in self._sides.values() for it in side.rivals
        )


class Log(NamedTuple):
    """A topic, and a tail of it."""

    producer: Producer
    tail: ProposalTail
    view: Seen

    def put(self, partition: Partition, records: int) -> None:
        topic, number = partition
        for at in range(records):
            self.producer.produce(topic, b"body", f"task-{at}".encode(), number)
        assert self.producer.flush(SECONDS) == 0


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """`BUSY` has three times as many records as are kept, `QUIET` has ten."""
    monkeypatch.setattr(tails, "_MOST", BATCH)
    settings: dict[str, Any] = {"test.mock.num.brokers": 1, "log_level": 0}
    producer = Producer(settings)
    (broker,) = producer.list_topics("task", timeout=SECONDS).brokers.values()
    view = Seen()
    address = f"{broker.host}:{broker.port}"
    tail = ProposalTail(consumer_settings(address), view.applied, view, most=MOST)
    log = Log(producer, tail, view)
    log.put(BUSY, 3 * MOST)
    log.put(QUIET, 10)
    tail.start()
    yield log
    tail.close()
    assert view.failure is None


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_the_index_does_not_come_after_is_left_and_taken_up_again(log: Log) -> None:
    view = log.view
    until(lambda: view.behind == {BUSY})
    log.put(QUIET, 10)
    until(lambda: view.seen(QUIET) == 20)
    while (at := view.applied[BUSY]) < 3 * MOST:
        assert view.seen(BUSY) < at + MOST + 2 * BATCH
        view.add_applied({BUSY: at + MOST // 4})
        until(lambda: view.kept() > MOST // 2 or view.seen(BUSY) == 3 * MOST)
    until(lambda: not view.behind)
    assert view.most < MOST + 2 * BATCH
    assert view.offsets == {BUSY: list(range(3 * MOST)), QUIET: list(range(20))}


def test_it_stays_behind_until_the_tail_is_where_the_log_was(log: Log) -> None:
    view = log.view
    until(lambda: view.behind == {BUSY})
    view.add_applied({BUSY: view.seen(BUSY)})
    until(lambda: view.kept() >= MOST)
    view.add_applied({BUSY: 3 * MOST})
    until(lambda: not view.behind)
    assert max(view.free) < MOST
    log.put(BUSY, 1)
    until(lambda: view.seen(BUSY) > 3 * MOST)
    assert view.free[-1] == 3 * MOST


def test_our_own_records_are_met_however_much_is_kept(log: Log) -> None:
    view = log.view
    until(lambda: view.behind == {BUSY})
    assert view.wait_until_seen({BUSY: 3 * MOST}, time.monotonic() + SECONDS)
    log.put(BUSY, 10)
    until(lambda: view.behind == {BUSY} and view.kept() > 3 * MOST)
    assert not view.wait(lambda: view.has_seen({BUSY: 3 * MOST + 1}), time.monotonic() + 0.1)


def test_a_writer_in_doubt_makes_room_as_far_as_the_index_has_come(log: Log) -> None:
    view = log.view
    view.begin()
    until(lambda: view.behind == {BUSY})
    view.add_applied({BUSY: 3 * MOST})
    view.sort_by_header()
    ends = {BUSY: 3 * MOST, QUIET: 10}
    assert view.wait(lambda: view.has_seen(ends), time.monotonic() + SECONDS)
    view.end()
    until(lambda: not view.behind)


def test_of_many_rivals_no_bodies_are_kept() -> None:
    view = Seen()
    for start in range(0, 5_000, 500):
        view.add_seen({BUSY: [_message(start + it) for it in range(500)]}, {})
    assert view.kept() == 5_000
    assert view.bodies() <= 1_000
    rival = view.rival_at(BUSY, 4_999)
    assert rival is not None
    assert rival.writer == "them"
    view.add_applied({BUSY: 5_000})
    view.add_seen({BUSY: [_message(5_000)]}, {})
    assert view.bodies() == 1


def _message(offset: int) -> Any:
    headers: Any = [("ce_append", b"1.0.1"), ("ce_aggregateversion", b"1"), ("ce_writer", b"them")]
    return Message("task", 0, offset, b"task-1", b"body", headers)


def test_nothing_is_proposed_where_the_tail_has_let_go() -> None:
    view = Seen()
    numbering = Numbering(
        view, InFlight("me"), MemoryIndex(), _no_ends, AvroCodec(EventTypes(), lambda _: None)
    )
    late, waits, goes = (
        _waiting(1, BUSY, seconds=0), _waiting(2, BUSY), _waiting(3, QUIET)
    )  # fmt: skip
    view.behind = frozenset({BUSY})
    numbered = numbering.number([late, waits, goes])
    assert (numbered.behind, numbered.proposals) == ([waits], [goes])
    ((told, outcome),) = numbered.finished
    assert told is late
    assert isinstance(outcome, StoreBusy)
    assert "this call wrote nothing" in str(outcome)
    view.behind = frozenset()
    assert numbering.number([waits]).proposals == [waits]


def _waiting(number: int, partition: Partition, seconds: float = SECONDS) -> Waiting:
    event_id = UUID(int=number)
    records = new_records(f"task-{number}", [(event_id, "Done", b"body")], 1_700_000_000_000_000)
    deadline = time.monotonic() + seconds
    return Waiting(f"task-{number}", partition, records, (event_id,), None, deadline, given=False)


def _no_ends(partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
    raise AssertionError(partitions, committed)
