"""Any sequence of calls on a store gives what a plain dictionary of lists would."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import ClassVar, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eventkit import (
    Append,
    Appended,
    ConcurrencyError,
    DuplicateEventId,
    Event,
    Metadata,
    Repository,
)
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, Parcel, ParcelDelivered, moves

START = datetime(2024, 1, 1, tzinfo=UTC)
NAMES = st.integers(0, 2)
EVENTS = st.lists(
    st.sampled_from([*moves("a", "b", ""), ParcelDelivered()]), min_size=1, max_size=3
)
MINUTES = st.integers(0, 5)
ROUNDS = count()


class Kept(NamedTuple):
    """An event as the model knows it."""

    event_id: UUID
    version: int
    event: Event
    timestamp: datetime


class Done(NamedTuple):
    """An append that took effect, to be asked for again."""

    ask: Append
    result: Appended


class StoreMachine(RuleBasedStateMachine):
    """Calls on a store and, beside it, on a dictionary.

    All rounds of a machine use one store; each has aggregates of its own.
    """

    open_store: OpenStore
    done: Bundle[Done] = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open_store()
        self.repository = Repository(self.store, Parcel, snapshot_every=2)
        self.workspace = f"round {next(ROUNDS)} {uuid4()}"
        self.ids = [f"parcel-{uuid4()}" for _ in range(3)]
        self.model: dict[str, list[Kept]] = {aggregate_id: [] for aggregate_id in self.ids}

    def teardown(self) -> None:
        self.store.close()

    @rule(target=done, name=NAMES, events=EVENTS, minute=MINUTES, exact=st.booleans())
    def append(self, name: int, events: list[Event], minute: int, exact: bool) -> Done:  # noqa: FBT001 - drawn
        """Append at the current version."""
        head = len(self.model[self.ids[name]])
        ask = self.ask(name, events, head if exact else None, minute)
        result = self.append_one(ask)
        assert (result.version, result.already_recorded) == (head + len(events), False)
        self.keep(ask, result)
        return Done(ask, result)

    @rule(name=NAMES, events=EVENTS, minute=MINUTES, off=st.sampled_from([-2, -1, 1, 5]))
    def append_at_a_wrong_version(
        self, name: int, events: list[Event], minute: int, off: int
    ) -> None:
        head = len(self.model[self.ids[name]])
        if head + off < 0:
            return
        with pytest.raises(ConcurrencyError) as caught:
            self.append_one(self.ask(name, events, head + off, minute))
        assert (caught.value.expected, caught.value.actual) == (head + off, head)

    @rule(target=done, asked=st.lists(st.tuples(NAMES, EVENTS), min_size=2, max_size=4))
    def append_several(self, asked: list[tuple[int, list[Event]]]) -> MultipleResults[Done]:
        asks = [self.ask(name, events, None, 0) for name, events in asked]
        results = self.store.append_each(asks)
        for ask, result in zip(asks, results, strict=True):
            assert isinstance(result, Appended)
            self.keep(ask, result)
        return multiple(*map(Done, asks, (it for it in results if isinstance(it, Appended))))

    @rule(done=done)
    def retry(self, done: Done) -> None:
        assert self.append_one(done.ask) == done.result._replace(already_recorded=True)

    @rule(done=done, other=EVENTS)
    def retry_with_other_content(self, done: Done, other: list[Event]) -> None:
        events = [*other, *done.ask.events][: len(done.ask.events)]
        if events == done.ask.events:
            return
        with pytest.raises(DuplicateEventId):
            self.append_one(self.again(done, events, done.ask.event_ids))

    @rule(done=done)
    def retry_with_a_new_id_at_the_end(self, done: Done) -> None:
        events = [*done.ask.events, ParcelDelivered()]
        ids = [*(done.ask.event_ids or ()), uuid4()]
        with pytest.raises(DuplicateEventId):
            self.append_one(self.again(done, events, ids))

    @rule(name=NAMES, first=st.integers(1, 6), last=st.none() | st.integers(0, 8))
    def read(self, name: int, first: int, last: int | None) -> None:
        aggregate_id = self.ids[name]
        expected = self.model[aggregate_id][first - 1 : last]
        assert self.read_kept(aggregate_id, first, last) == expected

    @rule(name=NAMES, minute=MINUTES)
    def read_as_of(self, name: int, minute: int) -> None:
        aggregate_id, moment = self.ids[name], START + minute * timedelta(minutes=1)
        assert self.read_kept(aggregate_id, as_of=moment) == self.until(aggregate_id, moment)

    @precondition(lambda self: any(self.model.values()))
    @rule(name=NAMES, version=st.none() | st.integers(1, 9), minute=st.none() | MINUTES)
    def load(self, name: int, version: int | None, minute: int | None) -> None:
        """Load through a repository that keeps snapshots, now or back in time."""
        aggregate_id = self.ids[name]
        moment = None if minute is None else START + minute * timedelta(minutes=1)
        kept = self.model[aggregate_id] if moment is None else self.until(aggregate_id, moment)
        if not kept or (version is not None and version > len(kept)):
            return
        expected = Parcel.replay_from([it.event for it in kept[:version]], aggregate_id)
        assert self.repository.get(aggregate_id, version, moment) == expected

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.open_store()
        self.repository = Repository(self.store, Parcel, snapshot_every=2)

    @invariant()
    def the_log_holds_what_the_model_holds(self) -> None:
        found: dict[str, list[Kept]] = {aggregate_id: [] for aggregate_id in self.ids}
        for item in self.store.replay(workspace_id=self.workspace):
            found[item.aggregate_id].append(
                Kept(item.event_id, item.version, item.event, item.timestamp)
            )
        assert found == self.model

    def ask(self, name: int, events: list[Event], expected: int | None, minute: int) -> Append:
        metadata = Metadata(
            timestamp=START + minute * timedelta(minutes=1), workspace_id=self.workspace
        )
        ids = [uuid4() for _ in events]
        return Append(self.ids[name], events, expected, metadata, ids)

    def again(
        self, done: Done, events: Sequence[Event], event_ids: Sequence[UUID] | None
    ) -> Append:
        ask = done.ask
        return Append(ask.aggregate_id, events, ask.expected_version, ask.metadata, event_ids)

    def append_one(self, ask: Append) -> Appended:
        return self.store.append(
            ask.aggregate_id, ask.events, ask.expected_version, ask.metadata, ask.event_ids
        )

    def keep(self, ask: Append, result: Appended) -> None:
        assert ask.metadata is not None
        assert ask.metadata.timestamp is not None
        kept = self.model[ask.aggregate_id]
        for event_id, event in zip(result.event_ids, ask.events, strict=True):
            kept.append(Kept(event_id, len(kept) + 1, event, ask.metadata.timestamp))
        assert len(kept) == result.version

    def until(self, aggregate_id: str, moment: datetime) -> list[Kept]:
        return [*takewhile(lambda it: it.timestamp <= moment, self.model[aggregate_id])]

    def read_kept(
        self,
        aggregate_id: str,
        first: int = 1,
        last: int | None = None,
        as_of: datetime | None = None,
    ) -> list[Kept]:
        return [
            Kept(item.event_id, item.version, item.event, item.timestamp)
            for item in self.store.get_events(aggregate_id, first, last, as_of)
        ]


class ModelContract(Contract):
    model_rounds: ClassVar[int] = 60  # fewer where opening a store takes long

    def test_a_store_does_what_a_dictionary_of_lists_would(self, open_store: OpenStore) -> None:
        machine = type("Machine", (StoreMachine,), {"open_store": staticmethod(open_store)})
        bounds = settings(
            max_examples=self.model_rounds,
            stateful_step_count=25,
            # Not shrunk: with a store that keeps its word on durability it would take minutes.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=[HealthCheck.too_slow],
        )
        run_state_machine_as_test(machine, settings=bounds)
