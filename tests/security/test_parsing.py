"""What a stranger writes, given to the functions that take records apart, without a broker."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.kafka import reading, rule
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.reading import LogRecord, proposal_of, read_record
from eventkit.kafka.rule import Home, PartitionRule
from eventkit.kafka.snapshots.record import read as read_snapshot
from eventkit.kafka.snapshots.record import record_schema
from tests.kafka.verify_kit import MOVED
from tests.security.strangers import HOSTILE, Fields, Stranger, hostile, mangled, true_record

PARTITIONS = 2
HOME = Home("parcel", partition_for(b"parcel-1", PARTITIONS), PARTITIONS)
LONGEST = 1_000
"""Characters of what is said of a record, however large it is."""


def judged(strangers: list[Stranger]) -> tuple[list[LogRecord], list[str]]:
    """What takes effect of records, where `parcel-1` is at version 3, and why the others do not."""
    one = PartitionRule(HOME, lambda it: 3 if it == "parcel-1" else 0)
    accepted: list[LogRecord] = []
    for offset, it in enumerate(strangers):
        proposal_of(it.headers)
        accepted += one.feed(read_record(offset, it.key, it.value, it.headers))
    return accepted, [it.reason for it in one.take_rejected()]


def test_what_is_hostile_by_design_never_takes_effect_and_is_told_in_short() -> None:
    strangers = list(hostile(MOVED))
    accepted, reasons = judged(strangers)
    assert [it.type for it in accepted] == []
    for reason in reasons:
        assert len(reason) < LONGEST
        assert reason.isprintable()


def test_the_record_that_the_hostile_ones_are_made_of_would_take_effect() -> None:
    (accepted,), reasons = judged([true_record("parcel-1", 4, MOVED)])
    assert (accepted.version, reasons) == (4, [])


@given(st.integers(0, 1 << 64))
def test_mangled_records_are_no_events(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    true = true_record("parcel-1", 2, MOVED)
    accepted, reasons = judged([mangled(true, chance) for _ in range(50)])
    assert all(it.version == 4 for it in accepted)  # the bits of its version may be turned, too
    assert all(it.isprintable() and len(it) < LONGEST for it in reasons)


TEXTS = st.one_of(st.none(), st.binary(max_size=40), st.sampled_from([b"a.0.1", b"4", b"{}"]))
HEADERS = st.lists(st.tuples(st.sampled_from([*HOSTILE, "x"]), TEXTS), max_size=12)


@given(st.one_of(st.none(), st.binary(max_size=30)), st.one_of(st.none(), st.binary()), HEADERS)
def test_any_record_is_read_or_is_told_why_not(
    key: bytes | None, value: bytes | None, headers: Fields
) -> None:
    found = read_record(7, key, value, headers)
    assert found.offset == 7
    assert found.problem is None or found.problem.isprintable()
    proposal_of(headers)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_snapshot_or_none(body: bytes) -> None:
    for value in (body, record_schema().header + body):
        assert read_snapshot(b"parcel-1", value) is None


@pytest.mark.parametrize("size", [100, 100_000])
def test_large_texts_of_strangers_are_not_remembered(size: int) -> None:
    rule._home_of.cache_clear()
    reading._known_extra.cache_clear()
    true = true_record("parcel-1", 2, MOVED)
    for number in range(50):
        extra = f'{{"a":"{number}{"x" * size}"}}'.encode()
        read_record(0, true.key, b"x", [*true.headers, ("ce_extra", extra)])
        judged([true._replace(key=f"parcel-{number}-{'x' * size}".encode())])
    large = size > 1_024
    assert (reading._known_extra.cache_info().currsize == 0) is large
    assert (rule._home_of.cache_info().currsize == 0) is large
