"""The options before the command, the user's module, exit codes and messages."""

import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eventkit.cli.main import app
from eventkit.cli.urls import read_models_beside
from eventkit.errors import InvalidUrl
from tests.acceptance.cli_kit import HOTEL, Cli, event, events, summary

COMMANDS: tuple[list[str], ...] = (
    [],
    ["import"],
    ["events"],
    ["state"],
    ["replay"],
    ["demo"],
    ["projection"],
    ["projection", "list"],
    ["projection", "run"],
    ["projection", "status"],
    ["projection", "rebuild"],
    ["schemas"],
    ["schemas", "export"],
    ["schemas", "check"],
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(here: Path, name: str, text: str = "") -> list[str]:
    """The lines that a module with this text is refused with."""
    if text:
        Path(f"{name}.py").write_text(text)
    done = Cli(here, app=name)("projection", "list")
    assert done.code == 2
    return done.err.splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert (result.exit_code, "Usage: " in result.stdout) == (0, True)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in (["projection"], ["schemas"])])
def test_the_help_of_every_command_has_an_example(command: list[str]) -> None:
    assert "eventkit " in CliRunner().invoke(app, [*command, "--help"]).stdout.split("Usage:")[1]


def test_the_help_tells_the_exit_codes() -> None:
    assert "Exit codes: 0 all went well" in CliRunner().invoke(app, ["--help"]).stdout


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"eventkit {version('eventkit-kafka')}\n"


@pytest.mark.parametrize("arguments", [["imp"], ["replay", "--limit", "-1"], ["events"], ["--bad"]])
def test_wrong_usage_has_an_exit_code_of_its_own(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments).code == 2


NO_TEXT = (
    ["replay", "--type", "\udcff"],
    ["replay", "--workspace", "\udcff"],
    ["dead-letters", "list", "\udcff"],
    ["dead-letters", "discard", "1", "--reason", "\udcff"],
    ["events", "guest-\udcff"],
    ["--read-models", "postgresql://h/\udcff", "dead-letters", "list"],
)


def test_arguments_that_are_no_text_are_wrong_usage(cli: Cli, subtests: pytest.Subtests) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    cli("projection", "run")
    for arguments in NO_TEXT:
        with subtests.test(ascii(arguments)):
            done = cli(*arguments)
            assert (done.code, "\\udcff" in done.err) == (2, True)


def test_files_may_have_names_that_are_no_text(cli: Cli) -> None:
    """The name of a file is bytes; Python shows those that are no UTF-8 as surrogates."""
    log = cli.file("log\udcff.jsonl", [event(0), b"{"])
    cli.options[-1] = f"sqlite:///{cli.folder}/\udcff.db"
    done = cli("import", log, "--keep-going", "--json")
    assert done.lines[0]["rejected_file"] == f"{cli.folder}/log\\udcff.jsonl.rejected.jsonl"
    assert (cli.folder / "\udcff.db").exists()
    assert len(cli("events", "guest-0", "--json").lines) == 1
    assert cli("doctor", "--json").code == 0


def test_the_environment_stands_for_the_options(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTKIT_APP", HOTEL)
    monkeypatch.setenv("EVENTKIT_STORE", "sqlite:///a.db")
    monkeypatch.setenv("EVENTKIT_READ_MODELS", "sqlite:///b.db")
    runner = CliRunner()
    assert runner.invoke(app, ["import", "-"], input=events(1)[0]).stdout == summary(
        appended=1, aggregates=1
    )
    assert runner.invoke(app, ["projection", "run"]).exit_code == 0
    assert {path.name for path in here.iterdir()} == {"a.db", "b.db"}


def test_the_store_is_events_db_here_unless_given(here: Path) -> None:
    CliRunner().invoke(app, ["--app", HOTEL, "import", "-"], input=events(1)[0])
    assert [path.name for path in here.iterdir()] == ["events.db"]


def test_a_module_in_the_working_directory_is_found(here: Path) -> None:
    Path("mine.py").write_text("from eventkit import Event\nclass Done(Event): pass\n")
    assert Cli(here, app="mine")("schemas", "export", "--folder", here / "out").code == 0
    assert (here / "out" / "Done.avsc").exists()


def test_classes_in_modules_of_a_package_are_found(here: Path) -> None:
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("import pack.events\n")
    Path("pack/events.py").write_text("from eventkit import Event\nclass Done(Event): pass\n")
    assert Cli(here, app="pack")("schemas", "export", "--folder", here / "out").code == 0
    assert (here / "out" / "Done.avsc").exists()


def test_without_an_app_a_command_that_needs_one_says_so(cli: Cli) -> None:
    done = Cli(cli.folder, app=None)("import", "-", stdin=b"")
    assert done.code == 2
    assert done.err.startswith("error: this command needs your classes: eventkit --app MODULE")
    assert list(cli.folder.iterdir()) == []


def test_a_module_that_is_not_there_is_named(here: Path) -> None:
    assert refused(here, "nowhere.at_all") == [
        f"error: there is no module 'nowhere'; looked in {here} and in the installed packages"
    ]


def test_a_file_name_instead_of_a_module_is_explained(here: Path) -> None:
    Path("mine.py").write_text("")
    assert refused(here, "./mine.py") == [
        "error: './mine.py' is a file; name the module in it: --app mine"
    ]


def test_an_error_in_the_module_is_shown_with_its_own_lines(here: Path) -> None:
    text = "import eventkit\n\ndef begin():\n    return 1 / 0\n\nbegin()\n"
    assert refused(here, "broken", text) == [
        "error: the module broken cannot be imported:",
        "  broken.py:6: begin()",
        "  broken.py:4: return 1 / 0",
        "  ZeroDivisionError: division by zero",
    ]


def test_a_missing_import_in_the_module_is_shown(here: Path) -> None:
    assert refused(here, "lacking", "import nothing_like_it\n") == [
        "error: the module lacking cannot be imported:",
        "  lacking.py:1: import nothing_like_it",
        "  ModuleNotFoundError: No module named 'nothing_like_it'",
    ]


def test_bad_syntax_in_the_module_is_shown(here: Path) -> None:
    assert refused(here, "typo", "x = 1\ndef f(:\n") == [
        "error: the module typo cannot be imported:",
        "  typo.py:2: def f(:",
        "  SyntaxError: invalid syntax",
    ]


def test_a_class_that_eventkit_refuses_is_shown(here: Path) -> None:
    text = "from eventkit import Event\nclass Done(Event, aliases='Gone'):\n    pass\n"
    first, where, why = refused(here, "odd", text)
    assert (first, where) == (
        "error: the module odd cannot be imported:",
        "  odd.py:2: class Done(Event, aliases='Gone'):",
    )
    assert why == "  InvalidInput: Done: aliases is a tuple of names, as ('Gone',)"


def test_a_module_that_ends_the_program_is_shown(here: Path) -> None:
    assert refused(here, "ends", "raise SystemExit\n")[-1] == "  SystemExit"


def test_a_module_without_classes_is_refused(here: Path) -> None:
    (message,) = refused(here, "empty", "x = 1\n")
    assert "has no event, aggregate or projection class; define or import them there" in message


def test_code_of_the_user_that_fails_is_shown_with_its_own_lines(cli: Cli) -> None:
    cli("import", "-", stdin=events(1)[0])
    done = Cli(cli.folder, app="tests.acceptance.failing")("state", "guest-0")
    assert done.code == 1
    first, *lines = done.err.splitlines()
    assert first == "error: your code failed:"
    assert [line.partition("tests/acceptance/")[2] for line in lines[:-1]] == [
        'failing.py:15: self.name = {"Ann": "Ann"}[event.name]'
    ]
    assert lines[-1] == "  KeyError: 'Guest 0'"


def test_a_handler_that_fails_is_shown_with_its_own_line(cli: Cli) -> None:
    cli("import", "-", stdin=events(1)[0])
    done = Cli(cli.folder, app="tests.acceptance.failing")("projection", "run")
    assert done.code == 1
    first, where, why = done.err.splitlines()
    assert first.startswith("error: projection names failed on GuestArrived")
    assert where.endswith('failing.py:25: raise RuntimeError("full")')
    assert why == "  RuntimeError: full"


def test_a_fault_of_ours_keeps_its_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.cli.events.show_table", None)
    cli("import", "-", stdin=events(1)[0])
    with pytest.raises(TypeError):
        Cli(cli.folder, app=None)("events", "guest-0")


TWO = """
from eventkit import Aggregate, Event
class Done(Event): pass
class Car(Aggregate): pass
class Bike(Aggregate): pass
"""


def test_a_category_that_no_class_has_is_explained(here: Path) -> None:
    Path("two.py").write_text(TWO)
    done = Cli(here, app="two")("state", "guest-1")
    assert (done.code, done.err) == (
        2,
        (
            "error: two has several classes for the category 'guest': Car (category car), Bike "
            "(category bike). Write one as class X(Aggregate, category='guest').\n"
        ),
    )


def test_an_app_without_an_aggregate_class_is_explained(here: Path) -> None:
    Path("none.py").write_text("from eventkit import Event\nclass Done(Event): pass\n")
    assert Cli(here, app="none")("state", "guest-1").err.startswith(
        "error: none has no aggregate class for the category 'guest'. Write one as "
    )


def test_the_only_aggregate_class_is_taken_for_any_category(here: Path) -> None:
    imported = Cli(here)("import", "-", stdin=events(1)[0].replace(b"guest-0", b"visitor-0"))
    assert (imported.code, imported.err) == (0, "")
    shown = Cli(here)("state", "visitor-0", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert shown.lines[0]["state"]["name"] == "Guest 0"


def test_a_url_that_no_command_can_use_is_refused_by_all(
    cli: Cli, subtests: pytest.Subtests
) -> None:
    cli("import", "-", stdin=event(0))
    good = cli.options[-1]
    bad = [f"{good}?timeout=abc", f"{good}?wait=1", f"{good}#x", "sqlite://[::1", "http://[::1"]
    for command in ("doctor", "verify", "events guest-0", "projection status", "import -"):
        for url in [*bad, "kafka://[::1"]:
            if url.startswith("kafka:") and command in {"verify", "import -"}:
                continue  # these ask the client, which cannot resolve it
            with subtests.test(f"{command} {url}"):
                cli.options[-1] = url
                done = cli(*command.split(), stdin=b"")
                assert (done.code, done.err[:7], done.out) == (2, "error: ", "")


HUGE = "9" * 23


def test_numbers_may_be_larger_than_a_machine_counts(cli: Cli, subtests: pytest.Subtests) -> None:
    cli("import", "-", stdin=event(0))
    cli("projection", "run")
    assert len(cli("replay", "--limit", HUGE).lines) == 1
    for command in (f"show {HUGE}", f"retry {HUGE}", f"discard {HUGE} --reason x"):
        with subtests.test(command):
            assert cli("dead-letters", *command.split()).code == 2
    assert cli("verify", "--snapshots", "9" * 5_000).code == 2


@pytest.mark.parametrize("url", ["events.db", "sqlite://events.db", "mongo://host/db"])
def test_a_url_that_leads_to_no_store_is_wrong_usage(here: Path, url: str) -> None:
    result = CliRunner().invoke(app, ["--app", HOTEL, "--store", url, "replay"])
    assert (result.exit_code, result.stderr[:7]) == (2, "error: ")
    assert list(here.iterdir()) == []


def test_a_database_of_another_program_is_left_alone(cli: Cli) -> None:
    other = sqlite3.connect(cli.folder / "events.db")
    other.execute("CREATE TABLE notes (text)")
    other.close()
    done = cli("import", "-", stdin=events(1)[0])
    assert done.code == 3
    assert "is a database of another program" in done.err


def test_passwords_are_never_shown(here: Path) -> None:
    url = "amqp://ann:s3cr3t@broker:9092"
    result = CliRunner().invoke(app, ["--app", HOTEL, "--store", url, "import", "-"])
    assert "s3cr3t" not in result.output
    assert "amqp://ann:***@broker:9092" in result.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "read_models"),
    [
        ("kafka://localhost:9092", "localhost-9092"),
        ("kafka://a:1,b:2?prefix=x.&config=/run/secret", "a-1-b-2-x"),
    ],
)
def test_read_models_of_a_store_on_kafka_are_named_after_it(store: str, read_models: str) -> None:
    assert read_models_beside(store) == f"sqlite:///{read_models}-read-models.db"


def test_read_models_have_no_place_beside_what_is_no_store() -> None:
    with pytest.raises(InvalidUrl, match="say --read-models URL"):
        read_models_beside("mongo://localhost/db")
