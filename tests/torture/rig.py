"""A run: brokers behind proxies, clients, a nemesis for each, and the check at the end."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from eventkit.kafka.cluster import Cluster as KafkaCluster
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from tests.torture import bugs, failpoints
from tests.torture.checker import Violation, check
from tests.torture.client import AGGREGATES, PATIENCE
from tests.torture.clients import Client, Setting, wait_for_more
from tests.torture.domain import CATEGORY
from tests.torture.history import History, Status, history_of
from tests.torture.nemesis import BrokerNemesis, ClientNemesis, Nemesis
from tests.torture.reading import library_views, plain_view
from tools.broker.cluster import Cluster, Wanted
from tools.broker.from_jars import start_from_jars
from tools.proxy.proxy import Proxy

PARTITIONS = 3
_LOOK = 0.5
HEALED = 40.0
"""Seconds after the last fault in which each client must have appends acknowledged again."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        folder: of logs, indexes and brokers.
        seconds: of faults.
        seed: the same one makes the same faults.
        brokers: 1 or 3.
        clients: processes; the first two thirds share one index.
        callers: threads of each.
        quiet: seconds between faults, on average.
        holds: whether requests are held back and released late. Without it, a plain consumer of
            read_committed must see what the library shows and nothing else.
        bug: the name of a planted one, to see whether the checker finds it; none unless given.
        failpoints: whether processes also stop and die at named steps.
        steps: how the names of those begin that are meant, to be struck more often; all if empty.
        faults: what else goes wrong: something with the `clients`, or with the `brokers`.
        aggregates: to how few all is appended; 0 for a few and many.
    """

    folder: Path
    seconds: float = 120.0
    seed: int = 1
    brokers: int = 1
    clients: int = 4
    callers: int = 3
    quiet: float = 1.5
    holds: bool = True
    bug: str = ""
    failpoints: bool = True
    steps: str = ""
    faults: tuple[str, ...] = ("clients", "brokers")
    aggregates: int = 0

    @property
    def calm(self) -> Path:
        """A file that is made when all is to become well again."""
        return self.folder / "calm"

    def environment(self) -> dict[str, str]:
        """What the processes of the run are told by their environment."""
        told = {
            bugs.BUG: self.bug,
            failpoints.CALM: str(self.calm),
            failpoints.ONLY: self.steps,
            AGGREGATES: str(self.aggregates or ""),
        }
        if self.failpoints:
            told[failpoints.SEED] = str(self.seed)
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        violations: of what must hold.
        counts: of appends, by what is known of them.
        longest: seconds that the slowest client took for its first appends after the last fault.
    """

    violations: Sequence[Violation]
    counts: dict[str, int]
    longest: float


@contextmanager
def brokers_behind_proxies(folder: Path, count: int) -> Iterator[tuple[Cluster, list[Proxy]]]:
    """Start brokers that clients can only reach through a proxy each."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy()) for _ in range(count)]
        wanted = Wanted(brokers=count, advertised=[it.address for it in proxies])
        cluster = stack.enter_context(start_from_jars(folder / "brokers", wanted))
        for proxy, node in zip(proxies, cluster.nodes.values(), strict=True):
            proxy.target = node.address
        yield cluster, proxies


def run(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run a plan; returns what was found."""
    with brokers_behind_proxies(plan.folder, plan.brokers) as (cluster, proxies):
        topics = Topics(KafkaCluster(KafkaSettings(cluster.bootstrap)))
        topics.create(CATEGORY, PARTITIONS, plan.brokers)
        url = f"kafka://{cluster.bootstrap}?timeout=15"
        setting = Setting(url, plan.folder, plan.seed, plan.callers, plan.environment())
        shared = max(2, plan.clients * 2 // 3)
        clients = [
            Client(f"c{number}", "shared" if number < shared else f"own{number}", setting)
            for number in range(plan.clients)
        ]
        try:
            found, longest = _torture(plan, clients, cluster, proxies, say)
        finally:
            for client in clients:
                client.kill()
        history = history_of([it.log for it in clients], {it.name: str(it.index) for it in clients})
        found += _check(plan, history, clients, cluster, url, say)
        return Result(found, _counts(history), longest)


def _torture(
    plan: Plan,
    clients: Sequence[Client],
    cluster: Cluster,
    proxies: Sequence[Proxy],
    say: Callable[[str], None],
) -> tuple[list[Violation], float]:
    """The run itself; returns who did not go on after it, and how long the slowest took."""
    began = monotonic()

    def told(what: str) -> None:
        say(f"{monotonic() - began:6.1f} s  {what}")

    plan.calm.touch()
    for client in clients:
        client.start()
    wait_for_more(clients, 1, HEALED)
    nemeses: dict[str, Nemesis] = {
        "clients": ClientNemesis(plan.seed, told, plan.quiet, clients),
        "brokers": BrokerNemesis(
            plan.seed, told, plan.quiet, cluster, proxies, holds=plan.holds
        ),
    }  # fmt: skip
    _break(plan, clients, [nemeses[it] for it in plan.faults])
    told("healed")
    took = wait_for_more(clients, 3, HEALED)
    found = [
        Violation("clients go on when all is well again", f"{it.name}: not in {HEALED} s")
        for it in clients
        if it.name not in took
    ]
    for client in clients:
        client.send(signal.SIGTERM)
    for client in clients:
        code = client.ended(PATIENCE + HEALED)
        if code != 0:
            found.append(Violation("a client ends in order", f"{client.name}: {code}"))
    told("clients ended")
    return found, max(took.values(), default=HEALED)


def _break(plan: Plan, clients: Sequence[Client], nemeses: Sequence[Nemesis]) -> None:
    """Let everything go wrong for a while; those who died at a failpoint are started again."""
    plan.calm.unlink()
    for nemesis in nemeses:
        nemesis.start()
    until = monotonic() + plan.seconds
    while monotonic() < until:
        sleep(_LOOK)
        for client in clients:
            client.start()
    plan.calm.touch()
    for nemesis in nemeses:
        nemesis.end()
    sleep(_LOOK)  # whoever was about to die at a failpoint is dead
    for client in clients:
        client.start()


def _check(
    plan: Plan,
    history: History,
    clients: Sequence[Client],
    cluster: Cluster,
    url: str,
    say: Callable[[str], None],
) -> list[Violation]:
    say("reading")
    plain = plain_view(cluster.bootstrap, f"{CATEGORY}.events")
    views = {"plain consumer": plain.effective}
    for index in sorted({it.index for it in clients}):
        views |= library_views(url, index, index.stem)
    views |= library_views(url, plan.folder / "fresh.db", "fresh")
    say(f"checking {len(plain.effective)} events; {len(plain.torn)} records are torn")
    found = [
        Violation("a plain consumer sees nothing that did not take effect", str(it))
        for it in plain.torn
        if not plan.holds
    ]
    return [*found, *check(history, views)]


def _counts(history: History) -> dict[str, int]:
    found = Counter(op.status.value for op in history.ops.values())
    found["reads"] = len(history.reads)
    found["in doubt once"] = sum(
        1 for op in history.ops.values() if op.in_doubt and op.status is not Status.PENDING
    )
    return dict(found)
