"""A retry that is given up is not told "nothing was written" while its first attempt may come."""

import uuid
from collections.abc import Mapping, Sequence
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from eventkit.errors import EventkitError, OutcomeUnknown, StoreBusy, StoreUnavailable
from eventkit.kafka.inflight import Call, InFlight, Waiting
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.view import View
from eventkit.kafka.writing.doubt import Doubt
from eventkit.kafka.writing.earlier import Earlier
from eventkit.kafka.writing.numbering import Numbering
from eventkit.kafka.writing.together import Together, Whole
from eventkit.kafka.writing.turns import Turns
from eventkit.kafka.writing.waitlist import WaitList
from eventkit.sqlite.retries import Known

PARTITION = ("task.events", 0)
IDS = (uuid.uuid4(), uuid.uuid4())
Ids = tuple[uuid.UUID, ...]
NOT_USED: Any = None


def waiting(ids: Ids = IDS, aggregate_id: str = "task-1", *, given: bool = True) -> Waiting:
    """An append whose deadline is over."""
    records = new_records(aggregate_id, [(it, "Done", b"body") for it in ids], 0)
    return Waiting(aggregate_id, PARTITION, records, ids, None, monotonic(), given=given)


class Index:
    """What the writer asks of the index; `failure` is what it answers instead."""

    def __init__(self) -> None:
        self.ids: set[bytes] = set()
        self.failure: Exception | None = None

    def place(self, _: int) -> Any:
        raise AssertionError

    def heads(self, aggregate_ids: Any) -> Mapping[str, int]:
        return dict.fromkeys(aggregate_ids, 0)

    def known(self, event_ids: Sequence[bytes]) -> Mapping[bytes, Known]:
        if self.failure is not None:
            raise self.failure
        return {it: Known("task-1", 1, "Done", b"body", 0) for it in event_ids if it in self.ids}


class Desk:
    """The parts of a writer that give appends up, without a broker."""

    def __init__(self) -> None:
        self.index = Index()
        self.in_flight = InFlight("me")
        self.view = View({PARTITION: 0}, "me")
        earlier = Earlier(self.view, self.in_flight, self.index.known)
        self.list = WaitList(self.in_flight, Turns(self.view), earlier, 100)
        self.doubt = Doubt(NOT_USED, self.view, self.in_flight, NOT_USED, NOT_USED)
        self.numbering = Numbering(self.view, self.in_flight, self.index, NOT_USED, NOT_USED)

    def in_doubt(self, it: Waiting) -> Waiting:
        """It is sent to be committed, and Kafka stays away past its deadline."""
        it.append_id = "1"
        self.in_flight.add([it])
        self.doubt.give_up([it], "Kafka did not answer in time")
        assert isinstance(it.outcome, OutcomeUnknown)
        return it

    def proposed_elsewhere(self, it: Waiting) -> None:
        """The read_uncommitted tail meets its records, of a writer that has died."""
        headers = framed(it.records, "1", 1, "dead")
        messages: list[Any] = [
            SimpleNamespace(
                offset=lambda offset=offset: offset,
                key=lambda: it.records[0].key,
                value=lambda: None,  # bodies are not always kept
                headers=lambda found=found: [(name, _bytes(value)) for name, value in found],
            )
            for offset, found in enumerate(headers)
        ]
        self.view.add_seen({PARTITION: messages}, {})

    def expired(self, it: Waiting) -> object:
        """What it is told at its deadline while Kafka is away."""
        self.list.put(Call([it]))
        self.list.expire(StoreUnavailable("Kafka cannot be reached"))
        return it.outcome

    def numbered(self, it: Waiting) -> object:
        """What it is told at its deadline in a round of the writer."""
        return dict(self.numbering.number([it]).finished).get(it)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def assert_unknown(outcome: object, ids: Ids = IDS) -> None:
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.event_ids == ids
    assert outcome.retryable


class TestWhileKafkaIsAway:
    def test_nobody_knows_of_an_earlier_attempt(self, desk: Desk) -> None:
        assert isinstance(desk.expired(waiting()), StoreUnavailable)

    def test_the_first_attempt_is_in_doubt(self, desk: Desk) -> None:
        first = desk.in_doubt(waiting(given=False))
        assert_unknown(desk.expired(waiting()))
        assert isinstance(desk.expired(waiting((uuid.uuid4(),))), StoreUnavailable)
        desk.in_flight.decide([first])
        assert isinstance(desk.expired(waiting()), StoreUnavailable)

    def test_the_first_attempt_has_no_verdict_yet(self, desk: Desk) -> None:
        desk.in_flight.add([waiting()])
        assert_unknown(desk.expired(waiting()))

    def test_the_first_attempt_is_recorded(self, desk: Desk) -> None:
        desk.index.ids.add(IDS[1].bytes)
        assert_unknown(desk.expired(waiting()))

    def test_another_process_has_proposed_it(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting())
        assert_unknown(desk.expired(waiting()))

    def test_of_an_append_all_one_part_is_enough(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting(IDS[1:], "task-2"))
        assert_unknown(desk.expired(Whole([waiting(IDS[:1]), waiting(IDS[1:], "task-2")])))

    def test_an_index_that_fails_keeps_nobody_from_an_answer(self, desk: Desk) -> None:
        desk.index.failure = OSError("gone")
        assert isinstance(desk.expired(waiting()), StoreUnavailable)
        desk.in_doubt(waiting())
        assert_unknown(desk.expired(waiting()))


class TestWhileOthersKeepTheStoreBusy:
    def test_nobody_knows_of_an_earlier_attempt(self, desk: Desk) -> None:
        assert isinstance(desk.numbered(waiting()), StoreBusy)

    def test_another_process_has_proposed_it(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting())
        assert_unknown(desk.numbered(waiting()))
        assert_unknown(desk.numbered(waiting(IDS[1:])), IDS[1:])

    def test_another_process_has_proposed_something_else(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting((uuid.uuid4(),)))
        assert isinstance(desk.numbered(waiting()), StoreBusy)

    def test_what_was_proposed_elsewhere_is_decided_and_not_there(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting())
        desk.view.add_applied({PARTITION: 2})
        assert isinstance(desk.numbered(waiting()), StoreBusy)

    def test_the_first_attempt_has_no_verdict_yet(self, desk: Desk) -> None:
        desk.in_flight.add([waiting()])
        assert_unknown(desk.numbered(waiting()))

    def test_the_first_attempt_was_withdrawn_and_is_not_decided(self, desk: Desk) -> None:
        first = waiting()
        first.last_offset = 1
        assert_unknown(desk.numbered(first))
        assert_unknown(desk.numbered(waiting()))
        assert_unknown(desk.expired(waiting()))
        desk.view.add_applied({PARTITION: 2})
        assert isinstance(desk.numbered(waiting()), StoreBusy)
        assert isinstance(desk.expired(waiting()), StoreUnavailable)

    def test_of_an_append_all_one_part_is_enough(self, desk: Desk) -> None:
        desk.proposed_elsewhere(waiting(IDS[1:], "task-2"))
        assert_unknown(self.judged(desk))

    def test_of_an_append_all_a_part_is_recorded(self, desk: Desk) -> None:
        """The other one may be undecided, although our tail has not met it yet."""
        desk.index.ids.add(IDS[0].bytes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.index, "place", lambda _: (*PARTITION, 0))
            assert_unknown(self.judged(desk))

    @staticmethod
    def judged(desk: Desk) -> object:
        whole = Whole([waiting(IDS[:1]), waiting(IDS[1:], "task-2")])
        tools: Any = SimpleNamespace(numbering=desk.numbering)
        assert Together(tools)._judge(whole) is None
        assert isinstance(whole.outcome, EventkitError)
        return whole.outcome
