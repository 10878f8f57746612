"""Aggregates: deciding, recording, folding; no store needed."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventkit import Aggregate, Event, Metadata, Position, RecordedEvent, apply
from eventkit.aggregate import (
    applied_events,
    apply_methods,
    category_of_class,
    fold,
    pending_of,
    restore,
    saved,
    state_of,
    undeclared_state,
)
from eventkit.errors import AggregateError, InvalidAggregateId, MissingApply


class Earned(Event):
    points: int


class Label(BaseModel):
    text: str


class EarnedTwice(Earned):
    pass


class Spent(Event):
    points: int


class Reset(Event):
    pass


class Unapplied(Event):
    pass


class Card(Aggregate):
    points: int = 0
    history: list[int] = []  # noqa: RUF012 - each aggregate gets its own copy

    def earn(self, points: int) -> None:
        self.record(Earned(points=points))

    def spend(self, points: int) -> None:
        if points > self.points:
            raise ValueError(points)
        self.record(Spent(points=points))

    @apply
    def _earned(self, event: Earned) -> None:
        self._move(event.points)

    @apply
    def _spent(self, event: Spent) -> None:
        self._move(-event.points)

    def _move(self, points: int) -> None:
        self.points += points
        self.history.append(points)


class Counter(Aggregate, category="tally"):
    """Applies all events in one place."""

    total: int = 0

    def apply(self, event: Event) -> None:
        match event:
            case Earned(points=points):
                self.total += points
            case Spent(points=points):
                self.total -= points
            case Reset():
                self.total = 0
            case _:
                super().apply(event)


EVENTS = st.lists(
    st.builds(Earned, points=st.integers())
    | st.builds(Spent, points=st.integers())
    | st.just(Reset())
)


def recorded(version: int, event: Event, aggregate_id: str = "card-1") -> RecordedEvent:
    metadata = Metadata(timestamp=datetime(2024, 1, 1, tzinfo=UTC))
    position = Position("events", 0, version)
    return RecordedEvent(
        UUID(int=version), aggregate_id, version, type(event).__name__, event, metadata, position
    )


class TestRecording:
    def test_a_new_aggregate_is_at_version_0(self) -> None:
        card = Card("card-1")
        assert (card.aggregate_id, card.version, card.points) == ("card-1", 0, 0)
        assert list(card.pending_events) == []

    def test_a_recorded_event_is_applied_counted_and_kept_for_the_save(self) -> None:
        card = Card("card-1")
        card.earn(5)
        card.spend(2)
        assert (card.points, card.version) == (3, 2)
        assert list(card.pending_events) == [Earned(points=5), Spent(points=2)]

    def test_a_refused_decision_leaves_nothing(self) -> None:
        card = Card("card-1")
        with pytest.raises(ValueError, match="1"):
            card.spend(1)
        assert (card, list(card.pending_events)) == (Card("card-1"), [])

    def test_an_event_that_cannot_be_applied_is_not_recorded(self) -> None:
        card = Card("card-1")
        with pytest.raises(MissingApply):
            card.record(Unapplied())
        assert (card.version, list(card.pending_events)) == (0, [])

    def test_a_pending_event_has_its_id_from_the_start(self) -> None:
        card = Card("card-1")
        card.earn(1)
        card.earn(2)
        ids = [item.event_id for item in pending_of(card)]
        assert ids == [item.event_id for item in pending_of(card)]
        assert len(set(ids)) == 2

    def test_what_was_saved_is_pending_no_more(self) -> None:
        card = Card("card-1")
        card.earn(1)
        card.earn(2)
        saved(card, 1)
        assert list(card.pending_events) == [Earned(points=2)]
        assert (card.version, card.points) == (2, 3)

    def test_aggregates_do_not_share_their_state(self) -> None:
        one, two = Card("card-1"), Card("card-2")
        one.earn(5)
        assert (one.history, two.history, Card.history) == ([5], [], [])


class TestFolding:
    def test_events_make_the_state(self) -> None:
        card = Card.replay_from([Earned(points=5), Spent(points=2)], "card-1")
        assert (card.points, card.history, card.version) == (3, [5, -2], 2)
        assert (card.aggregate_id, list(card.pending_events)) == ("card-1", [])

    def test_no_id_and_no_store_are_needed_to_fold(self) -> None:
        assert Card.replay_from([Earned(points=5)]).points == 5
        assert Card.replay_from([]) == Card()

    def test_recorded_events_tell_the_id(self) -> None:
        card = Card.replay_from([recorded(1, Earned(points=5)), recorded(2, Spent(points=1))])
        assert (card.aggregate_id, card.version, card.points) == ("card-1", 2, 4)

    def test_what_was_recorded_is_what_is_folded_later(self) -> None:
        card = Card("card-1")
        card.earn(5)
        card.spend(3)
        assert Card.replay_from(card.pending_events, "card-1") == card

    @given(EVENTS)
    def test_one_match_folds_as_well_as_many_methods(self, events: list[Event]) -> None:
        expected = 0
        for event in events:
            match event:
                case Earned(points=points):
                    expected += points
                case Spent(points=points):
                    expected -= points
                case _:
                    expected = 0
        assert Counter.replay_from(events).total == expected

    def test_an_event_outside_the_match_is_named(self) -> None:
        with pytest.raises(MissingApply, match="Counter has no @apply method for Unapplied"):
            Counter().record(Unapplied())

    @pytest.mark.parametrize(
        "second",
        [
            recorded(3, Earned(points=1)),
            recorded(1, Earned(points=1)),
            recorded(2, Earned(points=1), "card-2"),
        ],
        ids=["gap", "again", "another aggregate"],
    )
    def test_events_that_do_not_follow_are_refused(self, second: RecordedEvent) -> None:
        with pytest.raises(AggregateError, match="card-1 at version 1 cannot go on with card-"):
            Card.replay_from([recorded(1, Earned(points=1)), second])

    def test_events_of_another_aggregate_than_asked_for_are_refused(self) -> None:
        with pytest.raises(AggregateError, match="card-2 at version 0 cannot go on with card-1"):
            Card.replay_from([recorded(1, Earned(points=1))], "card-2")

    def test_a_fold_goes_on_where_a_snapshot_was_taken(self) -> None:
        card = Card("card-1")
        restore(card, 7, {"points": 40, "history": [40]})
        fold(card, [recorded(8, Earned(points=2))])
        assert (card.version, card.points, card.history) == (8, 42, [40, 2])

    def test_what_an_event_was_applied_by_before_is_no_declaration(self) -> None:
        before = apply_methods(Card)
        Card.replay_from([EarnedTwice(points=1)])
        assert apply_methods(Card) == before == {Earned: "_earned", Spent: "_spent"}
        assert applied_events(Card) == (Earned, Spent)


class Packed(Event):
    items: list[str]
    marks: dict[str, list[int]] = {}  # noqa: RUF012 - each event gets its own copy
    label: Label | None = None


class Added(Event):
    item: str


class Crate(Aggregate):
    """Keeps what its events hold, and changes it later."""

    items: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy
    marks: dict[str, list[int]] = {}  # noqa: RUF012 - each aggregate gets its own copy
    label: Label | None = None

    @apply
    def _packed(self, event: Packed) -> None:
        self.items, self.marks, self.label = event.items, event.marks, event.label

    @apply
    def _added(self, event: Added) -> None:
        self.items.append(event.item)
        self.marks.setdefault("added", []).append(len(self.items))
        if self.label is not None:
            self.label.text += event.item


def packed() -> Packed:
    return Packed(items=["a"], marks={"added": [0]}, label=Label(text="a"))


class TestEventsThatHoldWhatCanChange:
    def test_a_recorded_event_stays_as_it_was(self) -> None:
        crate = Crate("crate-1")
        crate.record(packed())
        crate.record(Added(item="b"))
        assert crate.pending_events == (packed(), Added(item="b"))
        assert (crate.items, crate.marks, crate.label) == (
            ["a", "b"], {"added": [0, 2]}, Label(text="ab")
        )  # fmt: skip
        assert Crate.replay_from(crate.pending_events, "crate-1") == crate

    def test_what_the_caller_does_with_its_event_changes_nothing_that_is_recorded(self) -> None:
        crate, event = Crate("crate-1"), packed()
        crate.record(event)
        event.items.append("not an event")
        assert crate.pending_events == (packed(),)
        assert crate.items == ["a"]

    def test_state_that_an_event_is_made_of_is_not_recorded_as_it_is_later(self) -> None:
        crate = Crate("crate-1")
        crate.record(packed())
        crate.record(Packed(items=[], label=crate.label))
        crate.record(Added(item="b"))
        assert crate.pending_events[1] == Packed(items=[], label=Label(text="a"))

    def test_recorded_events_make_the_same_state_each_time(self) -> None:
        events = [recorded(1, packed()), recorded(2, Added(item="b"))]
        first = Crate.replay_from(events, "card-1")
        assert Crate.replay_from(events, "card-1") == first
        assert events[0].event == packed()

    def test_events_make_the_same_state_each_time(self) -> None:
        events = [packed(), Added(item="b")]
        assert Crate.replay_from(events) == Crate.replay_from(events)
        assert events[0] == packed()

    def test_an_event_that_cannot_change_is_recorded_itself(self) -> None:
        card, event = Card("card-1"), Earned(points=5)
        card.record(event)
        assert card.pending_events[0] is event


class TestIdentity:
    @pytest.mark.parametrize("aggregate_id", ["card", "card-", "-1", "\n-1"])
    def test_an_id_is_a_category_and_an_id(self, aggregate_id: str) -> None:
        with pytest.raises(InvalidAggregateId):
            Card(aggregate_id)

    @pytest.mark.parametrize(
        ("name", "category"),
        [
            ("Card", "card"),
            ("LoyaltyCard", "loyalty_card"),
            ("HTTPServer", "http_server"),
            ("CardV2", "card_v2"),
            ("card", "card"),
        ],
    )
    def test_the_category_is_the_class_name_in_snake_case(self, name: str, category: str) -> None:
        assert category_of_class(type(name, (Aggregate,), {})) == category

    def test_another_category_can_be_given(self) -> None:
        assert category_of_class(Counter) == "tally"

    @pytest.mark.parametrize("category", ["a-b", "a b", "ä", "x" * 201])
    def test_a_category_that_no_id_could_have_is_refused(self, category: str) -> None:
        with pytest.raises((AggregateError, InvalidAggregateId)):

            class Odd(Aggregate, category=category):
                pass

    def test_aggregates_are_equal_by_class_id_version_and_state(self) -> None:
        def card(aggregate_id: str = "card-1", points: int = 1) -> Card:
            return Card.replay_from([Earned(points=points)], aggregate_id)

        assert card() == card()
        assert card() != card("card-2")
        assert card() != card(points=2)
        assert card() != Card.replay_from([Earned(points=0), Earned(points=1)], "card-1")
        assert card() != Counter.replay_from([Earned(points=1)], "card-1")
        assert card() != "card-1"

    def test_an_aggregate_changes_and_so_has_no_hash(self) -> None:
        with pytest.raises(TypeError):
            hash(Card())

    def test_its_text_shows_id_version_and_state(self) -> None:
        card = Card.replay_from([Earned(points=5)], "card-1")
        assert repr(card) == "Card('card-1', version=1, points=5, history=[5])"

    def test_id_version_and_pending_events_cannot_be_set(self) -> None:
        card = Card("card-1")
        for name in ("aggregate_id", "version", "pending_events"):
            with pytest.raises(AttributeError):
                setattr(card, name, None)

    def test_state_outside_the_typed_fields_is_found(self) -> None:
        card = Card("card-1")
        assert undeclared_state(card) == set()
        vars(card)["secret"] = 1
        assert (undeclared_state(card), state_of(card)) == (
            {"secret"},
            {"points": 0, "history": []},
        )
