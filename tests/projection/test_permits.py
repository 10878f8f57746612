"""The reference service on a whole log: the real one where it is there, and a made-up one."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from eventkit import AggregateNotFound, Event, EventStore, Metadata, Repository, connect
from eventkit.aggregate import state_of
from eventkit.importer import ImportCounts, Importer, read_lines
from eventkit.projection import Projection, ReadModels, Runner
from eventkit.projection.projection import tables_of
from projections.permits import (
    AuditTrail,
    NotAllowed,
    OpenPermits,
    Permit,
    PermitClosed,
    PermitReceived,
    StepCompleted,
    StepTimes,
)
from projections.sample import cloud_events, main
from tests.projection.permit_log import PermitLog, moment
from tests.unit.source import ROOT

REAL = ROOT.parent / "shared" / "data" / "permits.jsonl"
PROJECTIONS = (OpenPermits, StepTimes, AuditTrail)


def import_into(store: EventStore, log: PermitLog) -> ImportCounts:
    def refuse(rejection: object) -> None:
        pytest.fail(f"rejected: {rejection}")

    importer = Importer(store, refuse)
    with log.path.open("rb") as file:
        for _ in importer.run(read_lines(file)):
            pass
    return importer.counts


@pytest.fixture(scope="module", params=["real", "sample"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PermitLog:
    """A log file."""
    if request.param == "real":
        if not REAL.exists():
            pytest.skip("the real log is not on this machine")
        return PermitLog(REAL)
    path = tmp_path_factory.mktemp("sample") / "sample.jsonl"
    main([str(path), "--permits", "200"])
    return PermitLog(path)


@pytest.fixture(scope="module")
def store(log: PermitLog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    """A store that holds the log."""
    with connect(f"sqlite:///{tmp_path_factory.mktemp('store')}/events.db") as store:
        import_into(store, log)
        yield store


@pytest.fixture(scope="module")
def models(store: EventStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadModels]:
    """The read models of all projections, built once."""
    with ReadModels(f"sqlite:///{tmp_path_factory.mktemp('models')}/board.db") as models:
        for projection in PROJECTIONS:
            Runner(projection(), store, models).run()
        yield models


def rows_of(projection: Projection, models: ReadModels) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables of a projection, by table, in the order of the keys."""
    with models.connect() as connection:
        return {
            name: [
                tuple(row)
                for row in connection.execute(table.select().order_by(*table.primary_key))
            ]
            for name, table in tables_of(projection).items()
        }


def test_importing_the_log_again_adds_nothing(log: PermitLog, store: EventStore) -> None:
    counts = import_into(store, log)
    assert (0, len(log.lines)) == (counts.appended, counts.already_there)


@pytest.mark.parametrize("log", ["real"], indirect=True)
def test_the_real_log_has_the_known_facts(log: PermitLog, store: EventStore) -> None:
    events = list(store.replay())
    permits = {recorded.aggregate_id for recorded in events}
    assert (len(events), len(permits), len(log.open_permits())) == (11_340, 1_434, 105)


def test_the_board_shows_the_permits_that_are_open(log: PermitLog, models: ReadModels) -> None:
    assert log.open_permits() == rows_of(OpenPermits(), models)["board"]


def test_the_step_times_are_those_between_the_events_of_each_permit(
    log: PermitLog, models: ReadModels
) -> None:
    expected = log.step_times()
    actual = [row[:4] for row in rows_of(StepTimes(), models)["times"]]
    assert [row[:2] for row in expected] == [row[:2] for row in actual]
    hours = [value for row in expected for value in row[2:]]
    assert hours == pytest.approx([value for row in actual for value in row[2:]], rel=1e-12)


def test_the_audit_trail_tells_who_did_what_when(log: PermitLog, models: ReadModels) -> None:
    assert log.audit_trail() == rows_of(AuditTrail(), models)["trail"]


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_rebuilt_read_model_equals_the_first(
    projection: type[Projection], store: EventStore, models: ReadModels
) -> None:
    built = rows_of(projection(), models)
    Runner(projection(), store, models).rebuild()
    assert built == rows_of(projection(), models)


def test_permits_have_at_any_moment_the_state_that_the_log_tells(
    log: PermitLog, store: EventStore
) -> None:
    rng = Random(7)  # noqa: S311 - draws examples
    first, last = moment(log.lines[0]), moment(log.lines[-1])
    repository = Repository(store, Permit)
    for permit in rng.sample(sorted(log.permits), 100):
        near = moment(rng.choice(log.permits[permit]))
        for as_of in (first + rng.random() * (last - first), near, near - timedelta.resolution):
            try:
                state = state_of(repository.get(permit, as_of=as_of))
            except AggregateNotFound:
                state = None
            assert log.state(permit, as_of) == state


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    assert cloud_events(20, seed=3) == cloud_events(20, seed=3)
    assert cloud_events(20, seed=3) != cloud_events(20, seed=4)


def test_the_sample_has_the_shape_of_the_real_log(tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    main([str(path)])
    log = PermitLog(path)
    assert len(log.permits) == 1_434
    assert 10_000 < len(log.lines) < 12_000
    assert 30 < len(log.open_permits()) < 150
    assert [moment(line) for line in log.lines] == sorted(moment(line) for line in log.lines)
    assert {"PermitReceived"} == {lines[0]["type"] for lines in log.permits.values()}


DEADLINE = datetime(2024, 3, 1, tzinfo=UTC)
RECEIVED = PermitReceived(
    channel="Desk", department="General", responsible="ann", deadline=DEADLINE
)
CHECKED = StepCompleted(step="Check", task="task-1", group="Reviewers")


def test_a_permit_records_what_it_decides() -> None:
    permit = Permit("permit-1")
    permit.receive("Desk", "General", "ann", DEADLINE)
    permit.complete_step("Check", "task-1", "Reviewers")
    permit.close()
    assert (RECEIVED, CHECKED, PermitClosed()) == permit.pending_events


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ([], lambda permit: permit.close()),
        ([], lambda permit: permit.complete_step("Check", "task-1", "Reviewers")),
        ([RECEIVED], lambda permit: permit.receive("Desk", "General", "bob", DEADLINE)),
        ([RECEIVED, PermitClosed()], lambda permit: permit.close()),
        (
            [RECEIVED, PermitClosed()],
            lambda permit: permit.complete_step("Check", "task-1", "Reviewers"),
        ),
    ],
    ids=["close nothing", "work on nothing", "receive twice", "close twice", "work when closed"],
)
def test_a_permit_refuses_what_the_rules_forbid(
    events: list[Event], command: Callable[[Permit], None]
) -> None:
    permit = Permit.replay_from(events, "permit-1")
    with pytest.raises(NotAllowed):
        command(permit)
    assert permit.pending_events == ()


def test_history_may_hold_a_step_after_the_closing(tmp_path: Path) -> None:
    history = [RECEIVED, PermitClosed(), CHECKED]
    at = [Metadata(timestamp=DEADLINE + timedelta(hours=hours)) for hours in (0, 1, 3)]
    with connect(f"sqlite:///{tmp_path}/events.db") as store:
        for event, metadata in zip(history, at, strict=True):
            store.append("permit-1", [event], metadata=metadata)
        permit = Repository(store, Permit).get("permit-1")
        with ReadModels(f"sqlite:///{tmp_path}/board.db") as models:
            for projection in PROJECTIONS:
                Runner(projection(), store, models).run()
            assert rows_of(OpenPermits(), models)["board"] == []
            assert [row[:4] for row in rows_of(StepTimes(), models)["times"]] == [
                ("Check", 1, 2.0, 2.0)
            ]
            assert len(rows_of(AuditTrail(), models)["trail"]) == 3
    assert (permit.steps, permit.closed) == (["Check"], True)
