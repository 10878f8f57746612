"""Aggregate ids and event ids."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.errors import InvalidAggregateId
from eventkit.ids import MAX_AGGREGATE_ID, MAX_CATEGORY, category_of, new_event_id


@pytest.mark.parametrize(
    ("aggregate_id", "category"),
    [
        ("task-42", "task"),
        ("task-4-2", "task"),
        ("task--", "task"),
        ("Task.v2_x-ü 🚚", "Task.v2_x"),
        ("9-9", "9"),
        ("x" * MAX_CATEGORY + "-1", "x" * MAX_CATEGORY),
        ("x-" + "y" * (MAX_AGGREGATE_ID - 2), "x"),
    ],
)
def test_the_category_is_what_stands_before_the_first_dash(
    aggregate_id: str, category: str
) -> None:
    assert category_of(aggregate_id) == category


@pytest.mark.parametrize(
    ("aggregate_id", "reason"),
    [
        ("", "it needs a category, a '-' and an id"),
        ("task", "it needs a category, a '-' and an id"),
        ("task-", "it needs a category, a '-' and an id"),
        ("-42", "its category may hold 1 to 200 of the characters A-Z a-z 0-9 . _"),
        ("tä-42", "its category may hold 1 to 200 of the characters A-Z a-z 0-9 . _"),
        ("ta sk-42", "its category may hold 1 to 200 of the characters A-Z a-z 0-9 . _"),
        ("task\n-42", "its category may hold 1 to 200 of the characters A-Z a-z 0-9 . _"),
        ("x" * 201 + "-1", "its category may hold 1 to 200 of the characters A-Z a-z 0-9 . _"),
        ("task-4\n", "it holds a control character"),
        ("task-\x00", "it holds a control character"),
        ("task-\x7f", "it holds a control character"),
        ("task-\udc80", "it is no valid Unicode text"),
        ("task-" + "é" * 510, "it is longer than 1024 bytes"),
        (42, "it must be a string"),
        (None, "it must be a string"),
        (b"task-1", "it must be a string"),
    ],
)
def test_what_is_no_aggregate_id_is_refused_with_the_reason(aggregate_id: Any, reason: str) -> None:
    with pytest.raises(InvalidAggregateId) as caught:
        category_of(aggregate_id)
    assert caught.value.reason == reason
    assert str(caught.value).endswith("Write it as category-id, for example 'task-42'.")
    assert len(str(caught.value)) < 400


@given(st.text(), st.text())
def test_an_id_is_taken_apart_at_its_first_dash_or_refused(left: str, right: str) -> None:
    try:
        category = category_of(f"{left}-{right}")
    except InvalidAggregateId:
        return
    assert category == left.partition("-")[0]


def test_event_ids_are_uuids_of_version_7() -> None:
    event_id = new_event_id()
    assert (event_id.version, event_id.variant) == (7, RFC_4122)
    assert (UUID(str(event_id)), hash(event_id)) == (event_id, hash(UUID(str(event_id))))


def test_an_event_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    event_id = new_event_id()
    after = time.time_ns() // 1_000_000
    assert before <= event_id.int >> 80 <= after


def test_every_bit_that_is_not_fixed_is_used() -> None:
    ids = [new_event_id().int for _ in range(2_000)]
    ones = zeros = 0
    for value in ids:
        ones |= value
        zeros |= ~value
    random_bits = (1 << 62) - 1 | (1 << 12) - 1 << 64
    assert (ones & random_bits, zeros & random_bits) == (random_bits, random_bits)


def test_event_ids_of_threads_are_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = [*pool.map(lambda _: [new_event_id() for _ in range(2_000)], range(8))]
    assert len({event_id for some in ids for event_id in some}) == 16_000


def test_event_ids_do_not_repeat_when_the_user_seeds_random() -> None:
    random.seed(1)
    first = new_event_id()
    random.seed(1)
    assert new_event_id().int & (1 << 62) - 1 != first.int & (1 << 62) - 1
