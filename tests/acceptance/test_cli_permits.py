"""The permit office's log through the command line, against what its lines say."""

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from projections.sample import main as write_sample
from tests.acceptance.cli_kit import Cli, summary
from tests.projection.permit_log import PermitLog, moment
from tests.unit.source import ROOT

REAL = ROOT / "../shared/data/permits.jsonl"
DRAWN = 10


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> PermitLog:
    """The real log where it is there, else one of the same form."""
    if REAL.exists():
        return PermitLog(REAL.resolve())
    path = tmp_path_factory.mktemp("log") / "sample.jsonl"
    write_sample([str(path), "--permits", "300"])
    return PermitLog(path)


@pytest.fixture(scope="module")
def office(log: PermitLog, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The log, imported."""
    cli = Cli(tmp_path_factory.mktemp("office"), app="projections.permits")
    done = cli("import", log.path)
    assert done == (0, summary(appended=len(log.lines), aggregates=len(log.permits)), "")
    return cli


def drawn(log: PermitLog) -> list[str]:
    """Some permits, drawn at random."""
    return Random(7).sample(sorted(log.permits), DRAWN)  # noqa: S311 - a choice, not a secret


def test_a_second_import_adds_nothing(office: Cli, log: PermitLog) -> None:
    assert office("import", log.path).out == summary(
        there=len(log.lines), aggregates=len(log.permits)
    )


def test_events_are_the_lines_of_the_permit(office: Cli, log: PermitLog) -> None:
    for permit in drawn(log):
        shown = office("events", permit, "--json").lines
        given = log.permits[permit]
        assert [(it["id"], it["type"], moment(it), it["causedbyuser"]) for it in shown] == [
            (it["id"], it["type"], moment(it), it["causedbyuser"]) for it in given
        ]


def test_the_state_as_of_a_moment_is_what_had_happened_by_then(office: Cli, log: PermitLog) -> None:
    for permit in drawn(log):
        times = [moment(line) for line in log.permits[permit]]
        for time in (times[0], times[len(times) // 2], times[-1] + timedelta(days=1)):
            (shown,) = office("state", permit, "--as-of", time.isoformat(), "--json").lines
            happened = [line for line in log.permits[permit] if moment(line) <= time]
            assert shown["version"] == len(happened)
            assert shown["state"]["steps"] == [
                line["data"]["step"] for line in happened if line["type"] == "StepCompleted"
            ]


def test_a_replay_into_a_new_store_is_the_same_log(
    office: Cli, log: PermitLog, tmp_path: Path
) -> None:
    copy = Cli(tmp_path, app="projections.permits")
    file = copy.file("copy.jsonl", office("replay").out.encode().splitlines())
    assert copy("import", file).out == summary(appended=len(log.lines), aggregates=len(log.permits))
    assert copy("replay").out == office("replay").out
