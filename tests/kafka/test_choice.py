"""Which Kafka a test run takes, shown by runs of one test in a process of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.test_broker import test_a_committed_transaction_is_read as a_test
from tools.broker import jars

ROOT = Path(__file__).parents[2]
TEST = f"tests/kafka/test_broker.py::{a_test.__name__}"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run TEST by a pytest of its own."""
    command = [sys.executable, "-m", "pytest", TEST, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_address_that_is_given_is_used_and_named_with_its_release(kafka_address: str) -> None:
    done = run("--kafka", kafka_address)
    release = ".".join(jars.kafka_version().split(".")[:2])
    assert (done.returncode, f"kafka: Kafka {release} at {kafka_address}" in done.stdout) == (
        0,
        True,
    )


def test_the_address_can_be_given_by_the_environment(kafka_address: str) -> None:
    done = run(EVENTKIT_TEST_KAFKA=kafka_address)
    assert (done.returncode, f" at {kafka_address}" in done.stdout) == (0, True)


def test_an_address_where_nothing_answers_fails_the_run() -> None:
    done = run("--kafka", "localhost:1")
    assert (done.returncode, "no Kafka answers at localhost:1" in done.stdout) == (1, True)


NOTHING = {"PATH": "/nowhere", "JAVA_HOME": "/nowhere", "DOCKER_HOST": "tcp://localhost:1"}


@pytest.mark.parametrize("ci", ["true", ""])
def test_where_no_kafka_can_be_had_the_run_fails_with_the_command_that_helps(ci: str) -> None:
    done = run(**NOTHING, CI=ci)
    told = [line for line in done.stdout.splitlines() if jars.INSTALL in line]
    assert (done.returncode, bool(told), "skipped" in done.stdout) == (1, True, False)


def test_tests_that_need_no_kafka_ask_for_none() -> None:
    done = run("--deselect", TEST, PATH="/nowhere", JAVA_HOME="/nowhere")
    assert "kafka:" not in done.stdout


def test_the_compose_file_has_the_kafka_that_tests_have() -> None:
    compose = ROOT.joinpath("docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"apache/kafka:(\S+)", compose)) == {jars.kafka_version()}
