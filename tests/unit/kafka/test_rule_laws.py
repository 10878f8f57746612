"""What holds for the rule of the log whatever stands in it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.kafka import rule
from eventkit.kafka.reading import LogRecord, unreadable
from tests.unit.kafka.rule_kit import Reader, flat, offsets, record, verdicts


class Plan(NamedTuple):
    """One step of a writer: go on with its append, or begin one."""

    writer: int
    aggregate: int
    parts: int
    version_off_by: int
    go_on: bool


plans = st.builds(
    Plan,
    writer=st.integers(0, 2),
    aggregate=st.integers(1, 2),
    parts=st.integers(1, 3),
    version_off_by=st.sampled_from([0, 0, 0, 0, 1, -1]),
    go_on=st.sampled_from([True, True, True, False]),
)
faults = st.tuples(
    st.integers(0, 60),
    st.sampled_from(
        [
            "drop",
            "repeat",
            "swap",
            "garbage",
            "version",
            "part",
            "parts",
            "append",
            "writer",
            "aggregate",
        ]
    ),
)


def build(steps: Sequence[Plan]) -> list[LogRecord]:
    """A log in which most appends fit, if no fault is put into it."""
    log: list[LogRecord] = []
    heads: dict[int, int] = defaultdict(int)
    pending: dict[int, list[LogRecord]] = defaultdict(list)
    for number, (writer, aggregate, parts, off_by, go_on) in enumerate(steps):
        if not (pending[writer] and go_on):
            first = heads[aggregate] + 1 + off_by
            pending[writer] = [
                record(
                    0, f"task-{aggregate}", first + part, f"a{number}", part, parts, f"w{writer}"
                )
                for part in range(parts)
            ]
        item = pending[writer].pop(0)
        if not pending[writer] and item.version - item.parts == heads[aggregate]:
            heads[aggregate] = item.version
        log.append(item)
    return log


def damage(log: list[LogRecord], kind: str, at: int) -> None:
    item = log[at]
    match kind:
        case "drop":
            del log[at]
        case "repeat":
            log.insert(at, item)
        case "swap":
            log[at - 1], log[at] = item, log[at - 1]
        case "garbage":
            log[at] = unreadable(0, b"task-1", "garbage")
        case _:
            log[at] = item._replace(**changed(item)[kind])


def changed(item: LogRecord) -> dict[str, dict[str, Any]]:
    """Return for each kind of damage the field it changes."""
    return {
        "version": {"version": item.version + 1},
        "part": {"part": min(item.part + 1, item.parts - 1)},
        "parts": {"parts": item.parts + 1},
        "append": {"append_id": b"other"},
        "writer": {"writer": "w0"},
        "aggregate": {"aggregate_id": "task-1"},
    }


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """Logs of many writers with torn, repeated, stale, early and foreign records."""
    log = build(draw(st.lists(plans, max_size=60)))
    for at, kind in draw(st.lists(faults, max_size=4)):
        if log:
            damage(log, kind, at % len(log))
    steps = draw(st.lists(st.integers(1, 3), min_size=len(log), max_size=len(log)))
    return [item._replace(offset=sum(steps[: n + 1])) for n, item in enumerate(log)]


def whole_frames(log: Sequence[LogRecord]) -> list[list[LogRecord]]:
    """Every run of records, adjacent among those of their writer, that is a whole append."""
    found = []
    for writer in {item.writer for item in log if item.problem is None}:
        own = [item for item in log if item.problem is None and item.writer == writer]
        for start, first in enumerate(own):
            run = own[start : start + first.parts]
            expected = [
                first._replace(offset=item.offset, part=part, version=first.version + part)
                for part, item in enumerate(run)
            ]
            if len(run) == first.parts and run == expected:
                found.append(run)
    return found


def plain_rule(log: Sequence[LogRecord]) -> list[list[int]]:
    """The accepted appends, stated without a state machine."""
    accepted: list[list[int]] = []
    heads: dict[str, int] = defaultdict(int)
    for append in sorted(whole_frames(log), key=lambda frame: frame[-1].offset):
        first = append[0]
        if first.version == heads[first.aggregate_id] + 1:
            heads[first.aggregate_id] = append[-1].version
            accepted.append(offsets(append))
    return accepted


@given(logs())
def test_exactly_the_appends_take_effect_of_which_the_rule_says_so(log: list[LogRecord]) -> None:
    assert verdicts(log).accepted == plain_rule(log)


@given(logs())
def test_the_versions_of_every_aggregate_are_1_2_3(log: list[LogRecord]) -> None:
    for versions in Reader().read(log).events.values():
        assert versions == list(range(1, len(versions) + 1))


@given(logs())
def test_every_record_gets_one_verdict_or_waits_for_its_append(log: list[LogRecord]) -> None:
    reader = Reader().read(log)
    accepted, rejected = (flat(groups) for groups in reader.verdicts)
    waiting = set(offsets(log)) - set(accepted) - set(rejected)
    assert len(accepted) + len(rejected) + len(waiting) == len(log)
    assert min(waiting, default=reader.progress.decided) == reader.progress.resume


def read_in_pieces(log: Sequence[LogRecord], stops: Iterable[int]) -> Reader:
    reader = Reader()
    for stop in [*stops, len(log)]:
        reader.read(log, stop)
    return reader


@given(logs(), st.lists(st.integers(0, 60), max_size=5))
def test_a_reader_that_stops_anywhere_and_resumes_comes_to_the_same_verdicts(
    log: list[LogRecord], stops: list[int]
) -> None:
    whole, pieces = Reader().read(log), read_in_pieces(log, stops)
    assert pieces.verdicts == whole.verdicts
    assert (pieces.reasons, pieces.progress) == (whole.reasons, whole.progress)


@given(logs(), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 9), st.integers(1, 3))
def test_giving_up_open_appends_does_not_depend_on_where_a_reader_stopped(
    log: list[LogRecord], stops: list[int], span: int, at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule, "MAX_SPAN", span)
        patch.setattr(rule, "MAX_OPEN", at_once)
        whole, pieces = Reader().read(log), read_in_pieces(log, stops)
    assert pieces.verdicts == whole.verdicts
    assert (pieces.reasons, pieces.progress) == (whole.reasons, whole.progress)
