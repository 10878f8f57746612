"""Many appends in one call: the writer gets them in parts, the caller hears of each."""

import pytest

from eventkit.errors import EventkitError, StoreBusy, StoreClosed
from eventkit.events import Position
from eventkit.kafka.inflight import Call, Waiting, finish
from eventkit.kafka.store import KafkaStore
from eventkit.reentry import Calls
from eventkit.store import Append, Appended

PLACE = Position("task", 0, 1)
MANY = [Append(f"task-{number}", []) for number in range(11_000)]


class Writer:
    """Writes at once what it takes, and refuses one of the calls.

    Parameters:
        refused: which one, from 0.
        error: what it is refused with.
    """

    def __init__(self, refused: int, error: EventkitError) -> None:
        self._refused = refused
        self._error = error
        self._calls = 0
        self.written: list[str] = []

    def put(self, call: Call) -> None:
        number, self._calls = self._calls, self._calls + 1
        if number == self._refused:
            raise self._error
        self.written += [it.aggregate_id for it in call.waitings]
        finish([(it, Appended(it.aggregate_id, 1, PLACE, ())) for it in call.waitings])


class Store(KafkaStore):
    """A store with a writer, and without Kafka."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer  # type: ignore[assignment]
        self._calls = Calls("the event store")

    def _check_usable(self) -> None:
        """It is open."""

    def _waiting(self, asked: Append) -> Waiting:
        return Waiting(asked.aggregate_id, ("task", 0), (), (), None, 0.0, given=False)


@pytest.mark.parametrize("error", [StoreBusy("20,000 wait"), StoreClosed("the event store")])
def test_what_is_written_is_told_although_a_later_part_is_refused(error: EventkitError) -> None:
    writer = Writer(1, error)
    outcomes = Store(writer).append_each(MANY[:6_000])
    assert all(isinstance(it, Appended) for it in outcomes[:5_000])
    assert [str(it) for it in outcomes[5_000:]] == [str(error)] * 1_000
    assert {type(it) for it in outcomes[5_000:]} == {type(error)}
    assert len({id(it) for it in outcomes}) == 6_000  # who raises one does not write into another
    assert writer.written == [it.aggregate_id for it in MANY[:5_000]]


def test_nothing_behind_a_part_that_is_refused_is_tried() -> None:
    writer = Writer(1, StoreBusy("20,000 wait"))
    outcomes = Store(writer).append_each(MANY)
    assert [type(it) for it in outcomes] == [Appended] * 5_000 + [StoreBusy] * 6_000
    assert writer.written == [it.aggregate_id for it in MANY[:5_000]]


def test_where_none_could_be_written_it_raises() -> None:
    writer = Writer(0, StoreBusy("20,000 wait"))
    with pytest.raises(StoreBusy):
        Store(writer).append_each(MANY)
    assert writer.written == []
