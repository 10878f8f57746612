"""The README is true: its examples run, and what it names is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import eventkit
from eventkit.cli.main import app
from tests.acceptance.readme import README, blocks, matches, run_console, run_python
from tests.unit.source import ROOT

TEXT = README.read_text(encoding="utf-8")
CLI = get_command(app)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README shows."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks():
        if block.file:
            folder.joinpath(block.file).write_text(block.text, encoding="utf-8")
    return folder


def test_the_python_examples_print_what_the_readme_says(folder: Path) -> None:
    results = run_python(folder)
    assert len(results) > 5
    for block, expected, output in results:
        assert output == expected, f"README.md line {block.line}"


def test_the_console_examples_print_what_the_readme_says(folder: Path) -> None:
    results = run_console(folder)
    assert len(results) > 5
    for command, expected, output in results:
        assert matches(expected, output), f"$ {command}\n{output}"


def test_the_quickstart_has_at_most_thirty_lines() -> None:
    quickstart = next(block for block in blocks() if block.language == "python")
    assert len([line for line in quickstart.text.splitlines() if line]) <= 30


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", "\n".join(_shell_lines())))
    assert named - targets == set()


def test_every_command_that_is_named_exists_with_its_options() -> None:
    for line in _shell_lines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["eventkit"]:
            _follow(CLI, words[1:], line)


def test_every_command_is_named() -> None:
    named = "\n".join(_shell_lines())
    for words in _commands(CLI, ()):
        assert re.search(rf"\beventkit (--app MODULE )?{' '.join(words)}\b", named), words


def test_every_public_name_is_named() -> None:
    missing = {name for name in eventkit.__all__ if not re.search(rf"\b{name}\b", TEXT)}
    assert missing == set()


def test_every_file_and_section_that_is_linked_exists() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    local = {link for link in links if not link.startswith("https://")}
    assert {link for link in local - anchors if not ROOT.joinpath(link).exists()} == set()


def _shell_lines() -> Iterator[str]:
    for block in blocks():
        if block.language in {"sh", "console"}:
            yield from block.text.splitlines()


def _follow(command: Any, words: list[str], line: str) -> None:
    """See that each option and subcommand is known where it stands."""
    options = {option: each for each in command.params for option in each.opts}
    subcommands = getattr(command, "commands", None)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            assert word in options, f"{word} in: {line}"
            if not getattr(options[word], "is_flag", False):
                words.pop(0)
        elif subcommands is not None:
            assert word in subcommands, f"{word} in: {line}"
            _follow(subcommands[word], words, line)
            return


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield words
        return
    for name, child in subcommands.items():
        yield from _commands(child, (*words, name))
