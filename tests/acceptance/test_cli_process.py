"""The command line as a process of its own: pipes, signals, death, terminals."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import IO

import pytest

from eventkit.importer import _BATCH_LINES as BATCH
from eventkit.projection import ReadModels
from tests.acceptance.cli_kit import Cli, event, events, finish, summary
from tests.acceptance.hotel import Occupancy, Visits
from tests.unit.source import ROOT

TICK = 0.01  # seconds between two looks at what another process has done


def recorded(cli: Cli) -> int:
    """How many events are in the store."""
    if not (cli.folder / "events.db").exists():
        return 0
    with cli.open() as store:
        return store.last_position()


def wait_until(process: subprocess.Popen[bytes], true: Callable[[], bool]) -> None:
    """Return when something has come true, or the process has ended."""
    while not true():
        try:
            process.wait(TICK)
        except subprocess.TimeoutExpired:
            continue
        return


def read_all(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.read().decode()


def test_the_module_can_be_run_as_a_program(cli: Cli) -> None:
    done = finish(cli.start("import", cli.file("log.jsonl", events(3))))
    assert done == (0, summary(appended=3, aggregates=1), "")


@pytest.mark.parametrize("after", [1, 3])
def test_an_import_that_is_killed_goes_on_and_adds_nothing_twice(cli: Cli, after: int) -> None:
    count = 5 * BATCH
    log = cli.file("log.jsonl", events(count))
    process = cli.start("import", log)
    wait_until(process, lambda: recorded(cli) >= after * BATCH)
    process.kill()
    process.communicate()
    there = recorded(cli)
    assert there >= after * BATCH
    assert cli("import", log).out == summary(
        appended=count - there, there=there, aggregates=count // 10
    )
    assert recorded(cli) == count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_says_what_is_in_the_store(cli: Cli, number: int) -> None:
    process = cli.start("import", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"\n".join([*events(BATCH + 5), b""]))
    process.stdin.flush()
    wait_until(process, lambda: recorded(cli) == BATCH)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert read_all(process.stdout) == summary(appended=BATCH, aggregates=BATCH // 10)
    assert read_all(process.stderr) == "interrupted\n"


def test_replay_ends_quietly_when_its_reader_has_enough(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(2_000)))
    process = cli.start("replay")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"specversion":"1.0"')
    process.stdout.close()
    assert (process.wait(60), read_all(process.stderr)) == (0, "")


def test_an_output_that_is_full_is_told(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = cli.start("replay", stdout=full)
        assert (process.wait(60), read_all(process.stderr)) == (
            3,
            "error: No space left on device\n",
        )


def test_streams_that_are_closed_are_told(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(1)))
    done = finish(cli.start("import", "-", preexec_fn=partial(os.close, 0)))
    assert (done.code, "standard input is closed" in done.err) == (2, True)
    done = finish(cli.start("replay", preexec_fn=partial(os.close, 1)))
    assert (done.code, done.err) == (3, "error: standard output: Bad file descriptor\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_projections_follow_the_log_until_they_are_told_to_stop(cli: Cli, number: int) -> None:
    cli("import", cli.file("log.jsonl", [event(0)]))
    models = ReadModels(f"sqlite:///{cli.folder}/events-read-models.db")

    def rows() -> list[int]:
        tables = (Occupancy.rooms, Visits.visits)
        with models.connect() as connection:
            return [len(connection.execute(table.select()).all()) for table in tables]

    cli("projection", "run")
    process = cli.start("projection", "run", "--follow")
    cli("import", cli.file("more.jsonl", [event(10, subject="guest-new")]))
    wait_until(process, lambda: rows() == [2, 2])
    process.send_signal(number)
    done = finish(process)
    models.close()
    assert (done.code, done.out) == (
        0,
        (
            "occupancy: 1 events handled; ready, at position 2 of 2\n"
            "visits: 1 events handled; ready, at position 2 of 2\n"
        ),
    )
    assert done.err.startswith(f"following {cli.url} into sqlite:///")


def test_a_projection_that_fails_ends_them_all_with_its_error(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", [event(0), event(0, id="again")]))  # no such room twice
    done = finish(cli.start("projection", "run", "--follow"))
    assert done.code == 1
    assert "\nerror: projection occupancy failed on " in done.err
    assert "Traceback" not in done.err


def test_a_terminal_sees_events_rate_and_time_left(cli: Cli) -> None:
    ours, theirs = os.openpty()
    log = cli.file("log.jsonl", events(3))
    process = cli.start("import", log, stderr=theirs)
    assert process.wait(60) == 0
    shown = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "3 events" in shown
    assert "/s" in shown
    assert "left" in shown
    assert read_all(process.stdout) == summary(appended=3, aggregates=1)


def test_a_terminal_without_our_characters_is_no_reason_to_fail(cli: Cli) -> None:
    log = cli.file("Zoë.jsonl", [event(0, data={"name": "Zoë"}), b"{"])
    done = finish(cli.start("import", log, env={"PYTHONIOENCODING": "ascii"}))
    assert (done.code, r"Zo\xeb.jsonl:2: not JSON" in done.err) == (1, True)
    done = finish(cli.start("events", "guest-0", env={"PYTHONIOENCODING": "ascii"}))
    assert (done.code, '"name": "Zo' in done.out) == (0, True)


INTERRUPTED = """
import signal, sys, eventkit
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from eventkit.cli import main
"""


def test_ctrl_c_while_modules_are_loaded_ends_a_command_in_silence() -> None:
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, check=False
    )
    assert (told.returncode, told.stdout, told.stderr) == (130, b"", b"")
