"""The checker finds each promise that a history breaks, and nothing in one that breaks none."""

import dataclasses
from typing import Any

import pytest

from tests.torture.checker import Entry, check
from tests.torture.history import History, Op, Read, Status, resumed


def entry(version: int, token: str, offset: int, aggregate: str = "note-1") -> Entry:
    return Entry(aggregate, version, f"id of {token}", (0, offset), token)


LOG = [entry(1, "a", 0), entry(2, "b", 2), entry(3, "c", 3), entry(1, "d", 5, "note-2")]


def op(name: str, expected: int | None, version: int, *tokens: str, **more: Any) -> Op:
    ids = tuple(f"id of {it}" for it in tokens)
    made = Op(name, "c0", "index", "note-1", expected, tokens, ids, began=float(version))
    done: dict[str, Any] = {"status": Status.DONE, "version": version, "ended": version + 0.5}
    return dataclasses.replace(made, **(done | more))


def history(**changed: Op) -> History:
    """What led to LOG, but for what is changed."""
    ops = {
        "first": op("first", 0, 1, "a"),
        "second": op("second", None, 3, "b", "c"),
        "other": op("other", 0, 1, "d", aggregate="note-2"),
        "lost": op("lost", 1, 0, "e", status=Status.FAILED, began=4.0, ended=5.0),
        "killed": op("killed", 3, 0, "f", status=Status.PENDING, began=4.0, ended=0.0),
    }
    reads = [Read("c1", "index", 4.0, "note-1", 2, ("b", "c"), 4.5)]
    return History(ops | changed, reads)


def promises(found: History, *views: list[Entry]) -> set[str]:
    shown = {str(number): view for number, view in enumerate(views or [LOG])}
    return {it.promise for it in check(found, shown)}


def test_a_sound_history_has_no_violation() -> None:
    plain = [it._replace(token=None) for it in LOG]
    assert check(history(), {"plain": plain, "library": LOG}) == []


def test_a_killed_append_may_be_there_whole() -> None:
    killed = op("killed", 3, 0, "f", status=Status.PENDING)
    assert promises(history(killed=killed), [*LOG, entry(4, "f", 9)]) == set()


WRONG_LOGS = {
    "lost": (LOG[1:], "what was acknowledged is there, at its version"),
    "a gap": ([LOG[0], *LOG[2:]], "versions without gap or double"),
    "a version twice": (
        [*LOG, LOG[2]._replace(event_id="x", place=(0, 9))],
        "versions without gap or double",
    ),
    "an event twice": ([*LOG, entry(4, "c", 9)], "each event once"),
    "out of order": (
        [LOG[0], LOG[1]._replace(place=(0, 3)), LOG[2]._replace(place=(0, 2)), LOG[3]],
        "versions without gap or double",
    ),
    "refused, but there": ([*LOG, entry(4, "e", 9)], "what was refused is not there"),
    "from nowhere": ([*LOG, entry(4, "x", 9)], "nothing that nobody asked for"),
    "half": ([*LOG[:2], LOG[3]], "an append is whole or not there"),
}


@pytest.mark.parametrize("wrong", WRONG_LOGS)
def test_a_log_that_is_wrong_is_found(wrong: str) -> None:
    log, promise = WRONG_LOGS[wrong]
    assert promise in promises(history(), log)


WRONG_ANSWERS = {
    "another version": (op("second", None, 4, "b", "c"), "what was acknowledged is there"),
    "other ids": (op("second", None, 3, "b", "c", ids=("x", "y")), "event ids as told"),
    "another place": (op("second", 0, 3, "b", "c"), "an append stands where it was expected"),
    "never found out": (op("second", None, 3, "b", "c", status=Status.UNKNOWN), "a retry finds"),
    "overtaken": (op("second", None, 3, "b", "c", began=0.1, ended=0.2), "order of real time"),
}


@pytest.mark.parametrize("wrong", WRONG_ANSWERS)
def test_an_answer_that_is_wrong_is_found(wrong: str) -> None:
    answer, promise = WRONG_ANSWERS[wrong]
    assert any(it.startswith(promise) for it in promises(history(second=answer)))


WRONG_READS = {
    "of what is not there": (("b", "x"), "no reader sees what another does not"),
    "of too little": (("b",), "what was acknowledged can be read at once"),
}


@pytest.mark.parametrize("wrong", WRONG_READS)
def test_a_read_that_is_wrong_is_found(wrong: str) -> None:
    tokens, promise = WRONG_READS[wrong]
    found = history()
    found.reads.append(Read("c1", "index", 4.0, "note-1", 2, tokens))
    assert promises(found) == {promise}


def test_a_read_that_shows_less_than_one_before_is_found() -> None:
    found = history(second=op("second", None, 3, "b", "c", index="other"))
    found.reads.append(Read("c1", "index", 5.0, "note-1", 1, ("a",), 5.5))
    assert promises(found) == {"reads do not go back"}
    found.reads[-1] = Read("c1", "another", 5.0, "note-1", 1, ("a",), 5.5)
    assert promises(found) == set()


def test_readers_that_differ_are_found() -> None:
    moved = [*LOG[:3], LOG[3]._replace(place=(0, 6))]
    assert promises(history(), LOG, moved) == {"all readers see the same"}


def test_errors_of_clients_are_found() -> None:
    found = history()
    found.broken.append("c0: Traceback ...")
    assert promises(found) == {"no unexpected error"}


def test_a_refusal_after_doubt_says_nothing_of_the_earlier_attempt() -> None:
    """And a client that starts again goes on with what its predecessor left open."""
    found = History()
    asked = {
        "kind": "invoke", "client": "c0", "op": "x", "aggregate": "note-1", "expected": None,
        "tokens": ["t"], "ids": None, "at": 1.0,
    }  # fmt: skip
    found.take(asked, "index")
    found.take({"kind": "unknown", "client": "c0", "op": "x", "ids": ["i"], "at": 2.0}, "index")
    found.take({**asked, "ids": ["i"], "at": 3.0}, "index")
    found.take({"kind": "refused", "client": "c0", "op": "x", "at": 4.0}, "index")
    assert [it.status for it in resumed(found)] == [Status.UNKNOWN]
    assert [(it.began, it.ids) for it in resumed(found)] == [(1.0, ("i",))]
