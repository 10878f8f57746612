"""A projection that has effects alone, on the partitions of a log on Kafka."""

from eventkit import RecordedEvent
from eventkit.kafka.store import KafkaStore
from eventkit.projection import Projection, ReadModels, Runner, effect
from tests.kafka.test_dead_letters import models, store
from tests.kafka.worker_kit import fill
from tests.projection.accounts import Deposited
from tests.projection.following import following, until

__all__ = ["models", "store"]
ACCOUNTS = 6


class Mails(Projection):
    name = "mails"
    categories = ("account",)

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    @effect(Deposited)
    def mailed(self, recorded: RecordedEvent) -> None:
        self.sent.append((recorded.aggregate_id, recorded.version))


def deposit(store: KafkaStore) -> list[tuple[str, int]]:
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    return [(name, store.append(name, [Deposited(amount=1)]).version) for name in names]


def test_effects_run_once_for_what_comes_in_each_partition(
    store: KafkaStore, models: ReadModels
) -> None:
    fill(store, ACCOUNTS, rounds=2)
    mails = Mails()
    runner = Runner(mails, store, models)
    runner.run()
    first = deposit(store)
    with following(runner):
        until(lambda: len(mails.sent) == ACCOUNTS)
        second = deposit(store)
        until(lambda: len(mails.sent) == 2 * ACCOUNTS and runner.status().lag == 0)
    third = deposit(store)
    assert runner.status().lag == ACCOUNTS
    assert runner.rebuild() == ACCOUNTS
    assert sorted(mails.sent) == sorted(first + second + third)
    status = runner.status()
    assert (status.lag, status.state, status.events) == (0, "ready", 3 * ACCOUNTS)
    assert {part.partition for part in status.partitions} == {0, 1}
