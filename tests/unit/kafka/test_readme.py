"""The README of the Kafka engine names every file there is, and only tests that there are."""

import re

from tests.unit.source import ROOT

FOLDER = ROOT / "eventkit" / "kafka"
TEXT = FOLDER.joinpath("README.md").read_text(encoding="utf-8")


def test_the_map_names_every_file_once() -> None:
    files = {str(it.relative_to(FOLDER)) for it in FOLDER.rglob("*.py")}
    files = {it for it in files if not it.endswith("__init__.py")}
    named = re.findall(r"`([\w/]+\.py)`", TEXT[TEXT.index("## Map of the files") :])
    assert sorted(named) == sorted(files)


def test_races_are_numbered_without_a_gap() -> None:
    numbers = [
        int(it) for it in re.findall(r"(?m)^(\d+)\. \*\*", TEXT[TEXT.index("## Every race") :])
    ]
    assert numbers == list(range(1, len(numbers) + 1))


def test_tests_that_are_named_exist() -> None:
    names = set(re.findall(r"\btest_\w+", TEXT))
    assert names
    for name in names:
        assert ROOT.joinpath("tests", "kafka", f"{name}.py").exists(), name
    assert ROOT.joinpath("tests", "torture").is_dir()
