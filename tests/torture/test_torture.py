"""A short run of the rig."""

from pathlib import Path

import pytest

from tests.torture.rig import Plan, run

pytestmark = [
    pytest.mark.torture,
    pytest.mark.usefixtures("kafka_address"),  # no Kafka here: said as everywhere else
]


@pytest.mark.timeout(300)
def test_nothing_is_lost_while_clients_and_the_broker_are_killed_and_frozen(
    tmp_path: Path,
) -> None:
    result = run(Plan(tmp_path, seconds=20, seed=3, clients=3, quiet=0.7), print)
    assert list(result.violations) == []
    # Few: on a busy machine the broker is away for half of the run.
    assert result.counts["appends done"] > 20
    assert result.counts["model observations"] > 0
