"""What an installation brings."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.unit.source import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and return the names of its files."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = Path(folder).glob("*.whl")
    return ZipFile(built).namelist()


def test_the_wheel_installs_the_package_eventkit_only(wheel: list[str]) -> None:
    folders = {name.split("/")[0] for name in wheel}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"eventkit"}


def test_the_wheel_says_that_it_is_typed(wheel: list[str]) -> None:
    assert "eventkit/py.typed" in wheel
