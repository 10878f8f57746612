"""The checker of read models finds each promise that is broken, and nothing where none is."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tests.torture.checker import Entry
from tests.torture.domain import chained
from tests.torture.history import History, Op, Status
from tests.torture.model_checker import check_models, check_rows
from tests.torture.model_history import (
    Folded,
    ModelHistory,
    Operation,
    Seen,
    Standing,
    Streamed,
    Waited,
)
from tests.torture.read_models import Row, Sums, summed


def chain(*tokens: str) -> str:
    made = ""
    for token in tokens:
        made = chained(made, token)
    return made


VIEW = [
    Entry("note-1", 1, "a", (0, 0), "a"),
    Entry("note-1", 2, "b", (0, 2), "b"),
    Entry("note-2", 1, "c", (1, 0), "c"),
    Entry("note-2", 2, "d", (1, 5), "d"),
]
ONE: Row = ("note-1", 1, 1, chain("a"))
TWO: Row = ("note-1", 2, 2, chain("a", "b"))
OTHER: Row = ("note-2", 1, 1, chain("c"))
ALL: Row = ("note-2", 2, 2, chain("c", "d"))
END = {0: 3, 1: 5}


def seen(began: float, at: Mapping[int, int], *rows: Row, **more: Any) -> Seen:
    """Of version 1, ready; `more` changes the build."""
    live = Standing(1, 1, "ready", at)._replace(**more)
    return Seen(began, began + 0.5, "lite", live, (live,), summed(rows))


def promises(*found: Seen, **more: list[object]) -> set[str]:
    history = dataclasses.replace(ModelHistory(seen=list(found)), **more)  # type: ignore[arg-type]
    op = Op("x", "c0", "index", "note-1", None, ("b",), ("b",), 1.0, 2.0, Status.DONE, 2)
    return {it.promise for it in check_models(history, History({"x": op}), VIEW)}


SOUND = [
    seen(1, {0: -1, 1: -1}),
    seen(2, {0: 0, 1: -1}, ONE),
    seen(3, {0: 1, 1: 4}, ONE, OTHER),
    seen(4, END, TWO, ALL),
]


def test_a_sound_history_has_no_violation() -> None:
    assert promises(*SOUND) == set()
    assert list(check_rows("lite", [TWO, ALL], VIEW)) == []


WRONG_ROWS = {
    "a row that is lost": [TWO],
    "an update that is lost": [ONE, ALL],
    "an event that counts twice": [TWO, ("note-2", 2, 3, chain("c", "d", "d"))],
    "an event that counts twice in the count alone": [TWO, ("note-2", 2, 3, ALL[3])],
    "another order": [TWO, ("note-2", 2, 2, chain("d", "c"))],
    "a row of nobody": [TWO, ALL, ("note-9", 1, 1, chain("x"))],
}


@pytest.mark.parametrize("wrong", WRONG_ROWS)
def test_rows_that_are_wrong_are_found(wrong: str) -> None:
    rows = WRONG_ROWS[wrong]
    assert promises(seen(4, END, *rows)) == {"rows are the fold of what the checkpoint names"}
    assert [it.promise for it in check_rows("lite", rows, VIEW)] == [
        "in the end the read model is the fold of the log"
    ]


WRONG_CHECKPOINTS = {
    "rows ahead of the checkpoint": seen(4, {0: 0, 1: 5}, TWO, ALL),
    "rows behind the checkpoint": seen(4, END, ONE, ALL),
    "a partition that has no checkpoint": seen(4, {0: 3}, TWO, ALL),
}


@pytest.mark.parametrize("wrong", WRONG_CHECKPOINTS)
def test_rows_and_a_checkpoint_that_do_not_belong_together_are_found(wrong: str) -> None:
    assert promises(WRONG_CHECKPOINTS[wrong]) == {"rows are the fold of what the checkpoint names"}


def test_a_checkpoint_that_goes_back_is_found() -> None:
    assert promises(SOUND[3], seen(5, {0: 1, 1: 5}, ONE, ALL)) == {"checkpoints go forward"}


def test_a_rebuild_in_place_may_go_back() -> None:
    rebuild = Operation("rebuild", "lite", 1, 4.8, 6.0, 0)
    half = seen(5, {0: 1, 1: 5}, ONE, ALL, state="rebuilding")
    assert promises(SOUND[3], half, seen(7, END, TWO, ALL), operations=[rebuild]) == set()


def test_a_half_built_model_after_a_switch_is_found() -> None:
    half = seen(5, {0: 1, 1: 5}, ONE, ALL, version=2, state="building")
    switch = Operation("switch", "lite", 2, 4.8, 4.9, 0)
    assert promises(SOUND[3], half, operations=[switch]) == {"no reader sees a partial model"}


def test_a_model_that_is_called_ready_too_early_is_found() -> None:
    beside = Operation("rebuild --beside", "lite", 2, 4.6, 4.7, 0)
    half = seen(5, {0: 1, 1: 5}, ONE, ALL, version=2)
    assert promises(SOUND[3], half, operations=[beside]) == {"a model that is ready is whole"}


def test_tables_that_were_exchanged_while_they_were_read_may_be_those_of_the_other_build() -> None:
    """As PostgreSQL shows them: names are those of now, rows those of before."""
    live, beside = Standing(1, 1, "ready", END), Standing(2, 2, "ready", {0: 1, 1: 5})
    found = Seen(4, 5, "lite", live, (live, beside), summed([ONE, ALL]))
    promise = "rows are the fold of what the checkpoint names"
    assert promises(found) == {promise}
    assert promises(dataclasses.replace(found, moved=True)) == set()
    assert promises(dataclasses.replace(found, moved=True, sums=Sums(1, 1, 1))) == {promise}


def test_a_write_that_was_waited_for_and_is_not_there_is_found() -> None:
    live = Standing(1, 1, "ready", END)
    waited = Waited(4, 4.1, 4.2, "lite", "note-1", 2, (0, 2), 1, live)
    assert promises(waited=[waited]) == {"read your write"}
    assert promises(waited=[dataclasses.replace(waited, shown=2)]) == set()
    switch = Operation("switch", "lite", 2, 3.9, 4.15, 0)
    assert promises(waited=[waited], operations=[switch]) == set()


FOLDED = Folded("v0", "index", 4.0, "note-1", None, 2, 2, TWO[3])
WRONG_FOLDS = {
    "another chain": ({"chain": chain("b", "a")}, "a snapshot and its tail are the fold"),
    "another count": ({"events": 3}, "a snapshot and its tail are the fold"),
    "more than there is": ({"version": 3, "events": 3}, "a snapshot and its tail are the fold"),
    "too old": (
        {"version": 1, "events": 1, "chain": ONE[3]},
        "what was acknowledged can be read at once",
    ),
    "not what was asked for": ({"asked": 1}, "an aggregate is at the version that was asked for"),
}


@pytest.mark.parametrize("wrong", WRONG_FOLDS)
def test_a_snapshot_that_differs_is_found(wrong: str) -> None:
    changed, promise = WRONG_FOLDS[wrong]
    assert promises(folded=[FOLDED]) == set()
    (found,) = promises(folded=[dataclasses.replace(FOLDED, **changed)])  # type: ignore[arg-type]
    assert found.startswith(promise)


WRONG_STREAMS = {
    "skipped": (2, 1, chain("b")),
    "shown twice": (2, 3, chain("a", "b", "b")),
    "in another order": (2, 2, chain("b", "a")),
    "not there": (1, 2, chain("a", "x")),
}


@pytest.mark.parametrize("wrong", WRONG_STREAMS)
def test_a_subscription_that_is_wrong_is_found(wrong: str) -> None:
    sound = Streamed("v0", {0: (2, 2, chain("a", "b")), 1: (0, 1, chain("c"))})
    assert promises(streamed=[sound]) == set()
    wrongly = Streamed("v0", {0: WRONG_STREAMS[wrong]})
    assert promises(streamed=[wrongly]) == {"a subscription shows each event once, in order"}


def test_a_worker_that_gives_up_for_what_does_not_pass_is_found() -> None:
    passes = ("lite0", "ReadModelUnavailable", "the server is gone")
    other = ("lite0", "RebuildNeeded", "the database holds version 2, this code is version 1")
    assert promises(ends=[passes, other]) == set()
    shorter = ("lite0", "RebuildNeeded", "the log is shorter than what was read of it")
    assert promises(ends=[shorter]) == {"a worker gives up only for what passes"}
