"""`eventkit demo` tells its story on one screen, of any log and any app."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Aggregate, Event, RecordedEvent, apply, connect
from eventkit.cli.app import App, load_app
from eventkit.cli.demo import demo
from eventkit.errors import InvalidCloudEvent, InvalidInput
from eventkit.projection import Projection, Transaction, on
from projections.permits import Permit
from projections.sample import main as write_sample
from tests.unit.source import ROOT

WIDTH, HEIGHT = 80, 40


class Counted(Event):
    by: int


class Case(Aggregate):
    total: int = 0

    @apply
    def _counted(self, event: Counted) -> None:
        self.total += event.by


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 60 permits."""
    path = tmp_path_factory.mktemp("log") / "sample.jsonl"
    write_sample([str(path), "--permits", "60"])
    return path


def told(app: App, folder: Path, file: Path | None) -> str:
    """What the demo prints in a pipe."""
    console = Console(file=StringIO(), width=WIDTH)
    demo(app, f"sqlite:///{folder}/e.db", f"sqlite:///{folder}/r.db", file, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, where `eventkit` is the one of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command] if isinstance(command, str) else command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        check=False,
    )


def proposed(output: str) -> list[str]:
    """The commands that the demo proposes."""
    _, _, end = output.partition("Go on:\n")
    return end.replace("\\\n", "").splitlines()


def test_the_story_goes_from_the_log_to_an_equal_read_model(tmp_path: Path, log: Path) -> None:
    output = told(load_app("projections.permits"), tmp_path, log)
    events = len(log.read_text(encoding="utf-8").splitlines())
    assert f"{events:,} events of 60 aggregates appended" in output
    assert re.search(r"^   2  20[0-9: -]+  StepCompleted ", output, re.MULTILINE)
    assert re.search(r"^   closed +no +yes *$", output, re.MULTILINE)
    verdicts = re.findall(r"^   (\w+) .* rows, (.*)$", output, re.MULTILINE)
    expected = {"open_permits": "equal", "step_times": "equal", "audit_trail": "equal"}
    assert dict(verdicts) == expected


def test_telling_it_again_appends_nothing(tmp_path: Path, log: Path) -> None:
    app = load_app("projections.permits")
    told(app, tmp_path, log)
    again = told(app, tmp_path, log)
    assert "none is added twice" in again
    assert " appended in " not in again


def test_without_a_file_it_is_told_of_what_is_in_the_store(tmp_path: Path, log: Path) -> None:
    app = load_app("projections.permits")
    told(app, tmp_path, log)
    assert "rows, equal" in told(app, tmp_path, None)


def test_an_empty_store_and_no_file_make_no_story(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="give a file"):
        told(load_app("projections.permits"), tmp_path, None)


def test_a_line_that_cannot_be_imported_ends_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("\nno JSON\n", encoding="utf-8")
    with pytest.raises(InvalidCloudEvent, match=r"broken\.jsonl:2: not JSON"):
        told(load_app("projections.permits"), tmp_path, broken)


def test_an_app_of_events_alone_has_a_short_story(tmp_path: Path, log: Path) -> None:
    app = load_app("projections.permits.events")
    output = told(app, tmp_path, log)
    assert "events of 60 aggregates appended" in output
    assert "Read models" not in output


def test_of_a_long_life_the_beginning_and_the_end_are_shown(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path}/e.db") as store:
        store.append("case-1", [Counted(by=number) for number in range(1, 31)])
    output = told(App("cases", (Counted,), (Case,), ()), tmp_path, None)
    assert re.findall(r"^   (\d+|\.\.) ", output, re.MULTILINE) == ["1", "2", "3", "4", "..", "30"]


def test_a_class_of_another_category_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path}/e.db") as store:
        store.append("other-1", [Counted(by=1)])
    assert "A case is what happened to it. This is other-1:" in told(
        App("cases", (Counted,), (Case,), ()), tmp_path, None
    )


def test_a_read_model_of_another_log_is_built_anew(tmp_path: Path, log: Path) -> None:
    app = load_app("projections.permits")
    told(app, tmp_path, log)
    tmp_path.joinpath("e.db").unlink()
    few = tmp_path / "few.jsonl"
    few.write_text(
        "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[:20]), encoding="utf-8"
    )
    assert "20 events" in told(app, tmp_path, few)


def test_a_read_model_that_comes_back_different_is_told(tmp_path: Path, log: Path) -> None:
    built = []

    class Unsteady(Projection):
        name = "unsteady"
        table = Table(
            "unsteady",
            MetaData(),
            Column("permit_id", String, primary_key=True),
            Column("builds", Integer),
        )

        @on(Event)
        def happened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            built.append(recorded)
            row = {"permit_id": recorded.aggregate_id, "builds": len(built)}
            tx.upsert(self.table, row)

    permits = load_app("projections.permits")
    app = App("unsteady", permits.events, (Permit,), (Unsteady(),))
    assert "60 rows, NOT EQUAL" in told(app, tmp_path, log)


def test_on_the_command_line_it_fits_on_one_screen_and_its_proposals_work(
    tmp_path: Path, log: Path
) -> None:
    options = ["--app", "projections.permits", "--store", "sqlite:///events.db"]
    story = run(["eventkit", *options, "demo", str(log)], tmp_path)
    assert (story.returncode, story.stderr) == (0, "")
    lines = story.stdout.splitlines()
    assert len(lines) < HEIGHT
    assert max(map(len, lines)) <= WIDTH
    commands = proposed(story.stdout)
    assert len(commands) == 3
    for command in commands:
        done = run(command, tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout


def test_it_needs_nothing_but_the_installation(tmp_path: Path) -> None:
    story = run(["eventkit", "demo"], tmp_path)
    assert (story.returncode, story.stderr) == (0, "")
    assert "TaskReopened" in story.stdout
    for command in proposed(story.stdout):
        done = run(command, tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert run(["eventkit", "demo"], tmp_path).returncode == 0


def test_the_example_keeps_out_of_stores_that_are_in_use(tmp_path: Path, log: Path) -> None:
    told(load_app("projections.permits"), tmp_path, log)
    events = len(log.read_text(encoding="utf-8").splitlines())
    done = run(["eventkit", "--store", "sqlite:///e.db", "demo"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "sqlite:///e.db holds events already" in done.stderr
    with connect(f"sqlite:///{tmp_path}/e.db") as store:
        assert len(list(store.replay())) == events
