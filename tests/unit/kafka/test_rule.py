"""The rule of the log by examples."""

import pytest

from eventkit.kafka import rule
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.reading import LogRecord, unreadable
from eventkit.kafka.rule import Home, PartitionRule, Progress
from tests.unit.kafka.rule_kit import HOME, Reader, Verdicts, record, verdicts


def test_an_append_takes_effect_at_its_last_record() -> None:
    first, second = (record(part, "task-1", part + 1, part=part, parts=2) for part in (0, 1))
    judge = PartitionRule(HOME, lambda _: 0)
    assert (judge.feed(first), judge.feed(second)) == ((), (first, second))


def test_appends_of_other_writers_may_stand_between_the_parts_of_one() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 2, "w1"),
        record(1, "task-2", 1, "b", 0, 2, "w2"),
        record(2, "task-3", 1, "c", 0, 1, "w3"),
        record(3, "task-1", 2, "a", 1, 2, "w1"),
        record(4, "task-2", 2, "b", 1, 2, "w2"),
    ]
    assert verdicts(log) == Verdicts([[2], [0, 3], [1, 4]], [])


def test_of_two_appends_at_one_version_the_first_to_be_whole_takes_effect() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 2, "w1"),
        record(1, "task-1", 1, "b", 0, 1, "w2"),
        record(2, "task-1", 2, "a", 1, 2, "w1"),
    ]
    reader = Reader().read(log)
    assert reader.verdicts == Verdicts([[1]], [[0, 2]])
    assert reader.reasons == ["it begins at version 1, the aggregate is at 1"]


def test_an_append_that_leaves_a_gap_never_takes_effect() -> None:
    log = [record(0, "task-1", 1, "a"), record(1, "task-1", 3, "b"), record(2, "task-1", 2, "c")]
    assert verdicts(log) == Verdicts([[0], [2]], [[1]])


def test_a_repeated_append_takes_effect_once() -> None:
    log = [record(0, "task-1", 1, "a"), record(1, "task-1", 1, "a")]
    assert verdicts(log) == Verdicts([[0]], [[1]])


def test_a_writer_that_goes_on_gives_up_its_open_append() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 3),
        record(1, "task-1", 2, "a", 1, 3),
        record(2, "task-1", 1, "b"),
        record(3, "task-1", 3, "a", 2, 3),
    ]
    reader = Reader().read(log)
    assert reader.verdicts == Verdicts([[2]], [[0, 1], [3]])
    assert reader.reasons == [
        "its writer went on before it was whole",
        "part 2 does not continue an append",
    ]


def test_an_append_that_begins_again_counts_from_there() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 2),
        record(1, "task-1", 1, "a", 0, 2),
        record(2, "task-1", 2, "a", 1, 2),
    ]
    assert verdicts(log) == Verdicts([[1, 2]], [[0]])


@pytest.mark.parametrize(
    "second",
    [
        record(1, "task-1", 2, "b", 1, 2),
        record(1, "task-2", 2, "a", 1, 2),
        record(1, "task-1", 3, "a", 1, 2),
        record(1, "task-1", 2, "a", 1, 3),
        record(1, "task-1", 2, "a", 2, 3),
        record(1, "task-1", 2, "a", 1, 2, "w2"),
    ],
)
def test_parts_that_do_not_fit_together_never_take_effect(second: LogRecord) -> None:
    first = record(0, "task-1", 1, "a", 0, 2)
    closing = record(2, "task-9", 1, "z")
    accepted, rejected = verdicts([first, second, closing])
    assert (accepted, sorted(rejected)) == ([[2]], [[0], [1]])


def test_a_record_that_is_none_of_ours_is_rejected_and_disturbs_nothing() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 2),
        unreadable(1, b"task-1", "it has no header ce_append"),
        record(2, "task-1", 2, "a", 1, 2),
    ]
    reader = Reader().read(log)
    assert reader.verdicts == Verdicts([[0, 2]], [[1]])
    assert reader.reasons == ["it has no header ce_append"]


@pytest.mark.parametrize("aggregate_id", ["loan-1", "task", "task-\x00", ""])
def test_an_aggregate_of_another_topic_is_rejected(aggregate_id: str) -> None:
    reader = Reader().read([record(0, aggregate_id, 1)])
    assert reader.reasons == [f"{aggregate_id!r} does not belong to this partition"]


def test_an_aggregate_of_another_partition_is_rejected() -> None:
    log = [record(number, f"task-{number}", 1) for number in range(8)]
    for partition in range(3):
        judge = PartitionRule(Home("task", partition, 3), lambda _: 0)
        taken = [item.aggregate_id for item in log if judge.feed(item)]
        homes = [partition_for(item.aggregate_id.encode(), 3) for item in log]
        at_home = [
            item.aggregate_id for item, home in zip(log, homes, strict=True) if home == partition
        ]
        assert taken == at_home


def test_a_torn_transaction_is_seen_alike_by_all() -> None:
    """The commit of one transaction is applied to the next, which its writer gave up."""
    log = [
        record(0, "task-1", 1, "a", writer="w1"),
        record(1, "task-1", 2, "b", writer="w2"),
        record(2, "task-1", 2, "c", writer="w1"),  # lost, and committed all the same
        record(3, "task-1", 3, "d", writer="w2"),
    ]
    assert verdicts(log) == Verdicts([[0], [1], [3]], [[2]])


def test_an_append_that_stays_open_for_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule, "MAX_SPAN", 10)
    late = [record(0, "task-1", 1, "a", 0, 2), record(11, "task-1", 2, "a", 1, 2)]
    in_time = [record(0, "task-1", 1, "a", 0, 2), record(10, "task-1", 2, "a", 1, 2)]
    assert verdicts(late) == Verdicts([], [[0], [11]])
    assert verdicts(in_time) == Verdicts([[0, 10]], [])


def test_of_too_many_open_appends_the_oldest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MAX_OPEN", 2)
    log = [record(n, f"task-{n}", 1, "a", 0, 2, f"w{n}") for n in range(3)]
    log += [record(3 + n, f"task-{n}", 2, "a", 1, 2, f"w{n}") for n in range(3)]
    assert verdicts(log) == Verdicts([[1, 4], [2, 5]], [[0], [3]])


def test_a_reader_resumes_at_the_oldest_open_append() -> None:
    judge = PartitionRule(HOME, lambda _: 0)
    seen = [judge.progress]
    for item in (
        record(3, "task-1", 1, "a", 0, 2, "w1"),
        record(5, "task-2", 1, "b", 0, 2, "w2"),
        record(6, "task-1", 2, "a", 1, 2, "w1"),
        record(8, "task-2", 2, "b", 1, 2, "w2"),
    ):
        judge.feed(item)
        seen.append(judge.progress)
    assert seen == [
        Progress(0, 0), Progress(3, 4), Progress(3, 6), Progress(5, 7), Progress(9, 9),
    ]  # fmt: skip


def test_what_was_rejected_as_too_early_stays_rejected_when_it_is_read_again() -> None:
    log = [
        record(0, "task-2", 1, "a", 0, 2, "w1"),
        record(1, "task-1", 2, "b", writer="w2"),
        record(2, "task-1", 1, "c", writer="w3"),
        record(3, "task-2", 2, "a", 1, 2, "w1"),
    ]
    reader = Reader().read(log, 3)
    assert (reader.progress, reader.stored) == (Progress(0, 3), {"task-1": 1})
    assert reader.read(log).verdicts == Verdicts([[2], [0, 3]], [[1]])


def test_a_reader_may_stop_again_before_it_is_where_it_was() -> None:
    log = [
        record(0, "task-1", 1, "a", 0, 2, "w1"),
        record(1, "task-2", 2, "b", writer="w2"),
        record(2, "task-1", 2, "a", 1, 2, "w1"),
    ]
    reader = Reader().read(log, 2).read(log, 1)
    assert reader.progress == Progress(0, 2)
    assert reader.read(log).verdicts == Verdicts([[0, 2]], [[1]])


def test_stored_heads_are_asked_for() -> None:
    stored = {"task-1": 0}
    judge = PartitionRule(HOME, lambda aggregate_id: stored[aggregate_id])
    first, second = record(0, "task-1", 1, "a"), record(1, "task-1", 5, "b")
    assert judge.feed(first) == (first,)
    stored["task-1"] = 4  # not what the rule returned: shows who is asked
    judge.heads_stored()
    assert judge.feed(second) == (second,)
