"""How events find the methods that apply them."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from eventkit import Aggregate, Event, apply
from eventkit.errors import AggregateError, MissingApply
from eventkit.folding import apply_table, find_apply


class Opened(Event):
    pass


class OpenedWide(Opened):
    pass


class OpenedWider(OpenedWide):
    pass


class Shut(Event):
    pass


class Door(Aggregate):
    log: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy

    @apply
    def _opened(self, event: Opened) -> None:
        self.log.append(f"{type(event).__name__} in Door")

    @apply
    def _forward(self, _event: "DefinedBelow") -> None:
        self.log.append("below")


class DefinedBelow(Event):
    pass


def log_of(aggregate: type[Any], *events: Event) -> list[str]:
    log: list[str] = aggregate.replay_from(events).log
    return log


def test_an_event_goes_to_the_method_typed_with_its_class() -> None:
    assert log_of(Door, Opened()) == ["Opened in Door"]


def test_an_event_of_a_subclass_goes_to_the_method_of_the_nearest_base() -> None:
    class Gate(Door):
        @apply
        def _wide(self, _event: OpenedWide) -> None:
            self.log.append("wide")

    assert log_of(Gate, Opened(), OpenedWide(), OpenedWider()) == ["Opened in Door", "wide", "wide"]
    assert log_of(Door, OpenedWider()) == ["OpenedWider in Door"]


def test_one_method_may_apply_several_classes() -> None:
    class Gate(Aggregate):
        log: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy

        @apply
        def _either(self, event: Opened | Shut) -> None:
            self.log.append(type(event).__name__)

    assert log_of(Gate, Shut(), Opened()) == ["Shut", "Opened"]


def test_a_subclass_may_apply_an_event_in_another_way() -> None:
    class Gate(Door):
        @apply
        def _opened(self, _event: Opened) -> None:
            self.log.append("in Gate")

    assert (log_of(Gate, Opened()), log_of(Door, Opened())) == (["in Gate"], ["Opened in Door"])


def test_a_subclass_may_override_a_method_without_marking_it_again() -> None:
    class Gate(Door):
        def _opened(self, _event: Opened) -> None:
            self.log.append("in Gate")

    assert log_of(Gate, Opened()) == ["in Gate"]


def test_a_subclass_may_apply_an_event_by_a_method_of_another_name() -> None:
    class Gate(Door):
        @apply
        def _other(self, _event: Opened) -> None:
            self.log.append("other")

    assert log_of(Gate, Opened()) == ["other"]


def test_an_event_class_may_be_defined_below_the_aggregate() -> None:
    assert log_of(Door, DefinedBelow()) == ["below"]


def test_an_event_class_may_be_defined_inside_a_function() -> None:
    class Knocked(Event):
        pass

    class Gate(Aggregate):
        log: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy

        @apply
        def _knocked(self, _event: Knocked) -> None:
            self.log.append("knocked")

    assert log_of(Gate, Knocked()) == ["knocked"]


def test_a_decorator_above_keeps_the_mark() -> None:
    def twice(method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def run(*arguments: Any) -> None:
            method(*arguments)
            method(*arguments)

        return run

    class Gate(Aggregate):
        log: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy

        @twice
        @apply
        def _opened(self, _event: Opened) -> None:
            self.log.append("opened")

    assert log_of(Gate, Opened()) == ["opened", "opened"]


def test_an_event_without_a_method_is_named() -> None:
    with pytest.raises(MissingApply) as caught:
        Door().record(Shut())
    assert (caught.value.aggregate_type, caught.value.event_type) == ("Door", "Shut")


def test_a_class_that_is_never_defined_is_named_with_the_first_event() -> None:
    class Gate(Aggregate):
        @apply
        def _gone(self, _event: "NeverDefined") -> None:  # type: ignore[name-defined]  # noqa: F821
            pass

    with pytest.raises(AggregateError, match=r"an @apply method of Gate .*'NeverDefined'"):
        Gate().record(Opened())


def no_annotation(self: Any, event) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def no_event(self: Any, event: int) -> None: ...
def half_an_event(self: Any, event: Opened | None) -> None: ...
def too_many(self: Any, event: Opened, other: Shut) -> None: ...
def none_at_all(self: Any) -> None: ...
def event_itself(self: Any, event: Any) -> None: ...


@pytest.mark.parametrize(
    "method", [no_annotation, no_event, half_an_event, too_many, none_at_all, event_itself]
)
def test_a_method_needs_one_parameter_typed_with_an_event_class(
    method: Callable[..., None],
) -> None:
    with pytest.raises(AggregateError, match=f"@apply {method.__name__} needs one parameter"):
        type("Gate", (Aggregate,), {method.__name__: apply(method)})


def test_two_methods_for_one_class_are_refused() -> None:
    with pytest.raises(AggregateError, match="Gate has two @apply methods for Opened: _a and _b"):

        class Gate(Aggregate):
            @apply
            def _a(self, event: Opened) -> None: ...

            @apply
            def _b(self, event: Opened | Shut) -> None: ...


@pytest.mark.parametrize("thing", [staticmethod(no_event), classmethod(no_event), property(), 3])
def test_only_methods_can_be_marked(thing: Any) -> None:
    with pytest.raises(AggregateError, match="right above `def`"):
        apply(thing)


def test_the_table_names_the_methods_a_class_has_today() -> None:
    assert apply_table(Door) == {Opened: Door._opened, DefinedBelow: Door._forward}
    assert find_apply(apply_table(Door), OpenedWider) is Door._opened
    assert find_apply(apply_table(Door), Shut) is None
