"""Who is in a consumer group, asked in a process of its own.

librdkafka 2.16 aborts the process in which a question to a group's coordinator is cut off (its
issue 4605: an assertion on `rd_kafka_enq_once`). Nobody is to die of a look at the neighbours, so
this file is also a program: it reads settings and a group from its input, and prints the members.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

_POLL = 0.02
_START = 10.0
"""Seconds that the process may take beside those for the answer."""


class Membership(NamedTuple):
    """A member of a group, as it says itself, and where it is."""

    client_id: str
    host: str


class Look:
    """One question for the members of a group, under way.

    Parameters:
        settings: of an AdminClient; callbacks are left out.
        group: its name.
        timeout: seconds that the brokers may take.
    """

    def __init__(self, settings: Mapping[str, Any], group: str, timeout: float) -> None:
        plain = {name: it for name, it in settings.items() if isinstance(it, str | int | float)}
        self._deadline = monotonic() + timeout + _START
        self._output = TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with self._process.stdin as asked:  # not by the command line, where all can read secrets
            asked.write(json.dumps([plain, group, timeout]).encode())

    def done(self) -> bool:
        """Whether there is an answer, or will be none."""
        return self._process.poll() is not None or monotonic() > self._deadline

    def wait(self, seconds: float) -> None:
        """Wait for the answer, for so long at most."""
        until = monotonic() + seconds
        while not self.done() and monotonic() < until:
            sleep(_POLL)

    def members(self) -> list[Membership]:
        """The answer.

        Raises:
            KafkaException: there is none.
        """
        self._output.seek(0)
        try:
            told = json.loads(self._output.read() or "{}")
        except ValueError:
            told = {}
        if "members" in told:
            return [Membership(*it) for it in told["members"]]
        local = KafkaError._FAIL  # noqa: SLF001 - its public name
        error = KafkaError(told.get("code", local), told.get("why", "the question was cut off"))
        raise KafkaException(error)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._output.close()


def main() -> None:
    """Ask, and print the answer."""
    settings, group, timeout = json.load(sys.stdin)
    admin = AdminClient(settings)
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=timeout)
        members = asked[group].result(timeout).members
        told: dict[str, Any] = {"members": [(it.client_id, it.host) for it in members]}
    except KafkaException as error:
        told = {"code": error.args[0].code(), "why": error.args[0].str()}
    except TimeoutError:
        told = {"code": KafkaError._TIMED_OUT, "why": "no answer"}  # noqa: SLF001 - its public name
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
