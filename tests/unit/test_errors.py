"""The error tree: drawn as it is, and fit to be caught, copied and sent on."""

import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from uuid import UUID

import pytest

import eventkit
from eventkit import errors
from eventkit.errors import (
    AggregateNotFound,
    AmbiguousEventType,
    ConcurrencyError,
    DuplicateEventId,
    EventkitError,
    IncompatibleSchema,
    InvalidAggregateId,
    InvalidUrl,
    MissingApply,
    OutcomeUnknown,
    StoreBusy,
    StoreClosed,
    StoreUnavailable,
    UnencodableEvent,
    UnknownEventType,
    UnknownSchema,
    UnsupportedType,
)

ID = UUID(int=7)

EXAMPLES: dict[EventkitError, dict[str, object]] = {
    InvalidAggregateId("task", "it has no dash"): {
        "aggregate_id": "task",
        "reason": "it has no dash",
    },
    InvalidUrl("ftp://x", "unknown"): {"url": "ftp://x", "reason": "unknown"},
    ConcurrencyError("task-1", 3, 5): {"aggregate_id": "task-1", "expected": 3, "actual": 5},
    DuplicateEventId(ID, "task-1", 4, "its content differs"): {
        "event_id": ID,
        "aggregate_id": "task-1",
        "version": 4,
        "reason": "its content differs",
    },
    AggregateNotFound("task-1"): {"aggregate_id": "task-1", "detail": "has no events"},
    MissingApply("Task", "TaskCreated"): {"aggregate_type": "Task", "event_type": "TaskCreated"},
    UnknownEventType("TaskCreated"): {"event_type": "TaskCreated"},
    AmbiguousEventType("TaskCreated", ["a.T", "b.T"]): {
        "event_type": "TaskCreated",
        "claimants": ("a.T", "b.T"),
    },
    UnsupportedType("Task.x: object", "no form"): {
        "type_name": "Task.x: object",
        "reason": "no form",
    },
    UnencodableEvent("TaskCreated", "too large"): {
        "event_type": "TaskCreated",
        "reason": "too large",
    },
    UnknownSchema("00ff", "TaskCreated"): {"fingerprint": "00ff", "event_type": "TaskCreated"},
    IncompatibleSchema("TaskCreated", "00ff", "no default"): {
        "event_type": "TaskCreated",
        "fingerprint": "00ff",
        "reason": "no default",
    },
    StoreClosed("the store"): {"what": "the store"},
    OutcomeUnknown([ID], "the disk failed"): {"event_ids": (ID,), "reason": "the disk failed"},
}

each_example = pytest.mark.parametrize(
    ("error", "data"), EXAMPLES.items(), ids=[type(error).__name__ for error in EXAMPLES]
)


def all_errors(parent: type[EventkitError] = EventkitError) -> Iterator[type[EventkitError]]:
    """Yield the errors of the tree, parents before children."""
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from all_errors(child)


def drawn() -> dict[str, str]:
    """Return the parent of each error in the drawing."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│ ]*)(?:[├└]── )?([A-Z]\w+)", line)
        if found and ("──" in line or line == "EventkitError"):
            depth = line.index(found[2]) // 4
            path[depth:] = [found[2]]
            if depth:
                parents[found[2]] = path[depth - 1]
    return parents


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    defined = {
        error.__name__: error.__bases__[0].__name__
        for error in all_errors()
        if error is not EventkitError
    }
    assert drawn() == defined


def test_every_error_has_one_root() -> None:
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    own = [value for value in found if value.__module__ == errors.__name__]
    assert [value for value in own if not issubclass(value, EventkitError)] == []


@pytest.mark.parametrize("error", [*all_errors()])
def test_every_error_says_when_it_is_raised(error: type[EventkitError]) -> None:
    assert inspect.getdoc(error)


@each_example
def test_an_error_carries_its_data(error: EventkitError, data: dict[str, object]) -> None:
    assert {name: getattr(error, name) for name in data} == data


@each_example
def test_the_message_names_the_data(error: EventkitError, data: dict[str, object]) -> None:
    message = str(error)
    missing = [
        value
        for name, value in data.items()
        if name not in {"event_ids", "claimants"} and str(value) not in message
    ]
    assert missing == []


@each_example
def test_an_error_can_be_copied_and_sent_to_another_process(
    error: EventkitError, data: dict[str, object]
) -> None:
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert (type(other), str(other)) == (type(error), str(error))
        assert {name: getattr(other, name) for name in data} == data


def test_a_located_error_says_where_it_was_met() -> None:
    error = UnknownEventType("TaskCreated")
    message = str(error)
    assert error.where is None
    located = error.located("task-1 version 3")
    assert located is error
    assert (str(located), located.where) == (f"task-1 version 3: {message}", "task-1 version 3")
    assert copy.copy(located).where == "task-1 version 3"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InvalidAggregateId("x", "y"), ValueError),
        (InvalidUrl("x", "y"), ValueError),
        (AggregateNotFound("task-1"), LookupError),
    ],
)
def test_some_errors_are_also_builtin_ones(error: EventkitError, builtin: type[Exception]) -> None:
    assert isinstance(error, builtin)


def test_errors_say_whether_trying_again_may_help() -> None:
    retryable = {error.__name__ for error in all_errors() if error.retryable}
    assert retryable >= {"ConcurrencyError", "StoreBusy", "OutcomeUnknown"}
    assert not {StoreUnavailable.__name__, "DuplicateEventId", "InvalidInput"} & retryable
    assert StoreBusy("locked").retryable


def test_the_errors_most_users_catch_are_at_hand() -> None:
    for name in ("ConcurrencyError", "DuplicateEventId", "AggregateNotFound", "OutcomeUnknown"):
        assert getattr(eventkit, name) is getattr(errors, name)
