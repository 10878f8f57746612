"""What the acceptance tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli_kit import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """The command line with the hotel as its app, and a store in an empty folder."""
    cli = Cli(tmp_path)
    yield cli
    cli.close()
