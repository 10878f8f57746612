"""What must hold: judged by the log itself and by what clients were told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from eventkit.kafka.index import OFFSET_BITS, Partition
from eventkit.kafka.reading import read_message
from eventkit.kafka.rule import PartitionRule
from tests.model.broker import Broker
from tests.model.store import HOMES, Host

if TYPE_CHECKING:
    from tests.model.clients import Client


class Violation(Exception):
    """A promise is broken.

    Args:
        kind: which.
        what: how.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class Place(NamedTuple):
    """Where an event took effect."""

    aggregate_id: str
    version: int
    partition: Partition
    offset: int


class Truth:
    """The log as far as it is decided, by the rule."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._heads: dict[str, int] = {}
        self._rules = {
            it: PartitionRule(home, lambda name: self._heads.get(name, 0))
            for it, home in HOMES.items()
        }
        self._read = dict.fromkeys(HOMES, 0)
        self.events: dict[bytes, Place] = {}
        self.found: list[Violation] = []
        """By those who cannot raise, in the middle of a store."""

    @property
    def may_be_half(self) -> bool:
        """Whether that happened to an `append_all` what nobody can mend."""
        return self._broker.is_cut_off

    def head(self, aggregate_id: str) -> int:
        self.read_on()
        return self._heads.get(aggregate_id, 0)

    def read_on(self) -> None:
        """Judge what was decided meanwhile."""
        for partition, log in self._broker.logs.items():
            rule = self._rules[partition]
            for entry in log.entries[self._read[partition] : log.stable]:
                if entry.message is not None and entry.committed:
                    self._take(partition, rule.feed(read_message(entry.message)))
                    self._check_rejected(rule)
            self._read[partition] = max(self._read[partition], log.stable)

    def _take(self, partition: Partition, append: Iterable[Any]) -> None:
        for it in append:
            if it.event_id in self.events:
                first = self.events[it.event_id]
                raise Violation(
                    "twice",
                    f"{it.aggregate_id} has an event as v{first.version} and v{it.version}",
                )
            self.events[it.event_id] = Place(it.aggregate_id, it.version, partition, it.offset)
            self._heads[it.aggregate_id] = it.version

    def _check_rejected(self, rule: PartitionRule) -> None:
        """Transactions keep what breaks the rule out of sight, unless requests come late."""
        for reason, records in rule.take_rejected():
            if not self._broker.is_torn:
                raise Violation("untidy", f"{records[0].aggregate_id}: {reason}")

    def check_the_end(self, clients: Iterable[Client], hosts: Iterable[Host]) -> None:
        """All is decided and read: what was told is what is there, and all see the same."""
        self.read_on()
        for client in clients:
            for asked in client.asked:
                asked.check(self)
        numbers = {partition: number for number, partition in enumerate(sorted(HOMES), 1)}
        expected = sorted(
            (numbers[it.partition] << OFFSET_BITS | it.offset, it.aggregate_id, it.version, event)
            for event, it in self.events.items()
        )
        for host in hosts:
            found = [
                (position, aggregate_id, version, event)
                for aggregate_id, version, event, position in host.rows()
            ]
            if found != expected:
                raise Violation("other view", f"host {host.name} sees {found}, not {expected}")
