"""The report of `make bench`, on made-up figures, and small runs of the benchmarks themselves."""

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks import embedded
from tests.benchmarks.__main__ import main
from tests.benchmarks.appending import EVENTKIT, Callers, Wanted, Way, appended
from tests.benchmarks.callers import threads
from tests.benchmarks.kit import Kit, Sizes
from tests.benchmarks.limits import KAFKA
from tests.benchmarks.machine import Load
from tests.benchmarks.record import Record
from tests.benchmarks.report import write
from tests.benchmarks.results import (
    Aim,
    Figure,
    Latency,
    Point,
    Result,
    alone,
    beside,
    latency,
)
from tests.benchmarks.run import measure
from tests.benchmarks.spending import OTHERS, REST, Spent, Watch
from tests.benchmarks.steps import Section, Step
from tests.benchmarks.texts import distance, summary
from tools.postgres.errors import PostgresError

SECTION = Section("made-up", "Made up", "What it is.", "Why it is so.", "callers", "appends/s")
PEER = "the peer"
QUIET = Load((0.1, 0.2, 0.3), 0.01)
PNG = b"\x89PNG\r\n\x1a\n"
SILENT = Console(quiet=True)
TINY = Sizes(
    rounds=1, part=0.001, lengths=(1, 10), loading=0.001, events=100, peer_events=10, memory=100
)


def record(*, quick: bool = False, before: Load = QUIET) -> Record:
    return Record(
        datetime(2030, 1, 2, 3, 4, tzinfo=UTC), "python -m tests.benchmarks", quick, Sizes(),
        {"CPU": "one that counts", "cores": "2"}, {"Python": "CPython 3"}, before, QUIET,
    )  # fmt: skip


def spent(who: str, seconds: float, **ours: float) -> Spent:
    return Spent("append", who, 1_000, seconds, ours, {"the broker": 0.02, OTHERS: 0.0}, 2)


def results() -> list[Result]:
    return [
        alone("open", "s", [0.3, 0.1, 0.2], Aim(1, most=True)),
        beside("append", "appends/s", [100.0, 120.0], PEER, [10.0, 10.0], Aim(15, of_ratio=True)),
        latency("append", "eventkit", [it / 1e3 for it in range(1, 1_001)]),
        latency("append", PEER, [0.5]),
        Point("eventkit", 1, 100.0),
        Point("eventkit", 200, 4_000.0),
        Point(KAFKA, 1, 300.0),
        spent("eventkit", 0.2, callers=0.05, writer=0.03),
        spent(KAFKA, 0.05, callers=0.01),
    ]


def report_of(found: Record, folder: Path) -> str:
    return write(found, folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a report of all kinds of results is written, once: plots take a second."""
    place, found = tmp_path_factory.mktemp("report"), record()
    found.add(SECTION, results())
    write(found, place)
    return place


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


def test_the_report_has_the_ratios_first(text: str) -> None:
    first, *rows = [line for line in text.splitlines() if line.startswith("| ")][:4]
    assert first.startswith("| ratio | what | unit | eventkit | beside |")
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[1:]]
    assert cells == [
        ["11.00", "append", "appends/s", "110 (100 to 120)", PEER, "10 (10 to 10)", "≥ 15 times",
         "27% short"],
        ["", "open", "s", "0.2 (0.1 to 0.3)", "", "", "≤ 1 s", "holds"],
    ]  # fmt: skip


def test_the_report_names_machine_versions_load_and_how_to_repeat(text: str) -> None:
    for told in (
        "one that counts",
        "CPython 3",
        "2030-01-02 03:04 UTC",
        "`python -m tests.benchmarks`",
        "0.10, 0.20, 0.30",
        "| rounds | 5; 3 of what reads the whole log |",
    ):
        assert told in text


def test_all_plots_are_png_files_that_the_report_shows(folder: Path, text: str) -> None:
    shown = re.findall(r"!\[[^]]+]\(([^)]+)\)", text)
    assert shown == [
        "ratios.png", "made-up-curve.png", "made-up-latency.png", "made-up-time.png",
    ]  # fmt: skip
    for name in shown:
        data = (folder / name).read_bytes()
        assert data.startswith(PNG)
        assert len(data) > 5_000


def test_the_latencies_are_told_by_percentile(text: str) -> None:
    assert "| append | eventkit | 1,000 | 501 | 901 | 991 | 1,000 | 1,000 |" in text


def test_the_raw_figures_are_kept(folder: Path) -> None:
    raw = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    figures = raw["sections"]["made-up"]["figures"]
    assert [it["rounds"] for it in figures] == [[0.3, 0.1, 0.2], [100.0, 120.0]]
    assert [it["verdicts"][0]["holds"] for it in figures] == [True, False]
    assert raw["machine"]["cores"] == "2"


def test_a_report_without_results_can_be_written(tmp_path: Path) -> None:
    found = record()
    found.interrupted = True
    assert "ended early" in report_of(found, tmp_path)
    assert not list(tmp_path.glob("*.png"))


def test_an_earlier_run_leaves_no_plots(tmp_path: Path) -> None:
    (tmp_path / "ratios.png").write_bytes(PNG)
    write(record(), tmp_path)
    assert not list(tmp_path.glob("*.png"))


def test_a_quick_run_says_so(tmp_path: Path) -> None:
    assert "quick run" in report_of(record(quick=True), tmp_path)
    assert "quick" not in report_of(record(), tmp_path)


def test_a_busy_machine_is_told(text: str, tmp_path: Path) -> None:
    assert "not quiet" not in text
    busy = record(before=Load((3.0, 3.0, 3.0), 0.55))
    assert "before it other programs took 55% of the cores" in report_of(busy, tmp_path)


def test_other_programs_are_told_that_ran_meanwhile(tmp_path: Path) -> None:
    found = record()
    outside = {OTHERS: 0.5}
    found.add(SECTION, [Spent("append", "eventkit", 10, 1.0, {"callers": 0.1}, outside, 2)])
    assert "while it measured other programs took 25% of the cores" in report_of(found, tmp_path)


@pytest.mark.parametrize(
    ("aim", "holds", "text"),
    [
        (Aim(50), True, "holds"),
        (Aim(80), True, "holds"),
        (Aim(160), False, "50% short"),
        (Aim(80.1), False, "under 1% short"),
        (Aim(50, most=True), False, "60% over"),
        (Aim(100, most=True), True, "holds"),
        (Aim(4, of_ratio=True), True, "holds"),
        (Aim(5, of_ratio=True), False, "20% short"),
    ],
)
def test_the_verdict(aim: Aim, holds: bool, text: str) -> None:  # noqa: FBT001
    figure = Figure("append", "appends/s", 80.0, PEER, 20.0, 4.0, (aim,))
    assert figure.verdicts == [(holds, text)]


def test_a_ratio_without_its_peer_is_not_judged() -> None:
    figure = alone("append", "appends/s", [80.0], Aim(5, of_ratio=True))
    assert figure.verdicts == [(False, "not measured")]


def test_less_is_better_for_times() -> None:
    assert beside("load", "µs", [10.0], PEER, [40.0]).ratio == 4.0
    assert beside("append", "appends/s", [10.0], PEER, [40.0]).ratio == 0.25


def test_the_summary_names_what_does_not_hold() -> None:
    found = summary([it for it in results() if isinstance(it, Figure)])
    assert found.startswith("1 of 2 aims hold.")
    assert found.endswith("- append: ≥ 15 times wanted, 11.00 times found, 27% short")


def test_the_distance_is_computed_from_what_was_spent() -> None:
    told = distance([it for it in results() if isinstance(it, Spent)])
    assert "a call takes 200 µs of the clock" in told
    assert "compute for 80 µs of processor time (callers 50, writer 30)" in told
    assert "75% of the time of the 2 cores nobody computes" in told
    assert "the distance is 150 µs of the clock, with +70 µs of our own code and +0 µs" in told


def test_the_bound_is_told() -> None:
    assert "keeps 1.00 cores busy" in distance([spent("eventkit", 0.1, callers=0.1)])
    assert "waiting" in distance([spent("eventkit", 0.1, callers=0.01)])


def test_percentiles_are_of_the_calls() -> None:
    found: Latency = latency("append", "eventkit", [0.001] * 99 + [1.0])
    assert (found.at(50), found.at(99), found.at(100)) == (1.0, 1_000.0, 1_000.0)
    assert found.at(98) == 1.0


def test_processor_time_is_told_by_thread() -> None:
    done = threading.Event()

    def burn() -> None:
        ends = time.thread_time() + 0.1
        while time.thread_time() < ends:
            pass
        done.set()
        stop.wait(10)

    stop = threading.Event()
    worker = threading.Thread(target=burn, name="eventkit writer eventkit-12-34")
    with Watch() as watch:
        worker.start()
        assert done.wait(10)
    stop.set()
    worker.join()
    found = watch.spent("burning", "eventkit", 1)
    assert 0.09 < found.ours["writer"] < 0.2
    assert found.ours[REST] < 0.09


def test_a_failing_caller_ends_the_others() -> None:
    def call(caller: int, _: int) -> None:
        if caller == 3:
            raise ValueError("no")
        time.sleep(0.01)

    began = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        threads(4, 40_000, call)
    assert time.monotonic() - began < 60  # to the end they would take 100 s


def run(steps: Iterable[Step], folder: Path) -> Record:
    found = record()
    with Kit(folder, TINY) as kit:
        measure(list(steps), kit, found, SILENT)
    return found


def step(name: str, *found: Result, error: BaseException | None = None) -> Step:
    def take() -> Iterator[Result]:
        yield from found
        if error:
            raise error

    return Step(SECTION, name, take)


def test_a_step_that_fails_is_noted_and_the_others_go_on(tmp_path: Path) -> None:
    first, second = alone("first", "s", [1.0]), alone("second", "s", [2.0])
    found = run([step("bad", first, error=OSError("no disk")), step("good", second)], tmp_path)
    assert found.problems == ["bad: OSError: no disk"]
    assert list(found.all(Figure)) == [first, second]
    assert "**Not measured: bad: OSError: no disk**" in report_of(found, tmp_path)


def test_without_a_database_the_others_are_measured_and_its_aims_are_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_server() -> None:
        raise PostgresError("there is no initdb")

    monkeypatch.setattr("tests.benchmarks.kit.choose", no_server)
    found = record()
    with Kit(tmp_path, TINY) as kit:

        def take() -> Iterator[Result]:
            assert kit.known_postgres is None
            wanted = Wanted(beside={PEER: Aim(15, of_ratio=True)})
            ways = {EVENTKIT: Way(lambda *how: threads(how[0], how[1], pow, how[2]), 10)}
            yield from appended(kit, Callers("made-up", 2), ways, wanted)

        measure([Step(SECTION, it, take) for it in ("one", "two")], kit, found, SILENT)
    assert found.problems == ["what needs PostgreSQL: PostgresError: there is no initdb"]
    assert [it.verdicts for it in found.all(Figure)] == [[(False, "not measured")]] * 2


def test_an_interrupted_run_keeps_what_is_there(tmp_path: Path) -> None:
    first, second = alone("first", "s", [1.0]), alone("second", "s", [2.0])
    found = run([step("ended", first, error=KeyboardInterrupt()), step("late", second)], tmp_path)
    assert found.interrupted
    assert list(found.all(Figure)) == [first]


def test_the_embedded_store_is_measured(tmp_path: Path) -> None:
    with Kit(tmp_path, TINY) as kit:
        dear = re.compile(r"1,000|200 callers|50 callers")
        wanted = [it for it in embedded.steps(kit) if not dear.search(it.name)]
        found = record()
        measure(wanted, kit, found, SILENT)
    assert found.problems == []
    assert [section.name for section in found.found] == [
        "embedded-append", "embedded-load", "embedded-replay",
    ]  # fmt: skip
    assert all(it.ours > 0 for it in found.all(Figure))
    assert len(list(found.all(Point))) >= 10
    assert "What the distance is made of" in report_of(found, tmp_path)


def test_the_command_prints_a_table_and_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["embedded", "--quick", "--only", "append, 16 callers", "--into", str(tmp_path)])
    said = capsys.readouterr().out
    assert code == 0
    assert "1/1" in said
    assert "embedded append, 16 threads" in said
    assert f"report: {tmp_path / 'report.md'}" in said.replace("\n", "")
    assert "quick run" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not list(tmp_path.glob("work-*"))
