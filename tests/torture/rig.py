"""A run: brokers behind proxies, processes, a nemesis for each kind, and the check at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from eventkit.kafka.cluster import Cluster as KafkaCluster
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from tests.torture import bugs, failpoints
from tests.torture.checker import Violation
from tests.torture.client import AGGREGATES, PATIENCE
from tests.torture.clients import Setting, wait_for_more
from tests.torture.domain import CATEGORY
from tests.torture.judging import Judge
from tests.torture.nemesis import BrokerNemesis, ClientNemesis, Nemesis, WorkerNemesis
from tests.torture.operators import Operator
from tests.torture.processes import Keeper, Process, drained
from tests.torture.roles import Roles
from tests.torture.staff import Staff
from tools.broker.cluster import Cluster, Wanted
from tools.broker.from_jars import start_from_jars
from tools.postgres.errors import PostgresError
from tools.postgres.server import Server
from tools.postgres.sources import choose
from tools.proxy.proxy import Proxy

Say = Callable[[str], None]

PARTITIONS = 3
HEALED = 40.0
"""Seconds after the last fault in which all must go on again."""
_TELL = 10.0
"""Seconds between two lines that tell how it goes."""
_LOOK = 0.5


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
        holds: whether requests are held back and released late, and transactions committed that
            their writer aborts. Without it, a plain consumer of read_committed must see what the
            library shows and nothing else.
        bug: the name of a planted one, to see whether the checker finds it; none unless given.
        failpoints: whether processes also stop and die at named steps.
        steps: how the names of those begin that are meant, to be struck more often; all if empty.
        faults: what else goes wrong: something with the `clients`, the `workers` and PostgreSQL,
            or the `brokers`; and an `operator` rebuilds and switches meanwhile.
        aggregates: to how few all is appended; 0 for a few and many.
        workers: processes for the read model in each database; 0 for no read models.
        postgres: whether there is one in PostgreSQL too, where this machine has it.
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
    faults: tuple[str, ...] = ("clients", "brokers", "workers", "operator")
    aggregates: int = 0
    workers: int = 2
    postgres: bool = True

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
            failpoints.STRAYS: "yes" if self.holds else "",
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
        counts: of appends, by what is known of them, and of what else happened.
        longest: seconds that the slowest client took for its first appends after the last fault.
        caught_up: seconds that the slowest read model took after the last append.
    """

    violations: Sequence[Violation]
    counts: dict[str, int]
    longest: float
    caught_up: float = 0.0


class _World(NamedTuple):
    """What a run has: brokers with a proxy before each, PostgreSQL, and processes."""

    cluster: Cluster
    proxies: Sequence[Proxy]
    server: Server | None
    staff: Staff


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


def run(plan: Plan, say: Say) -> Result:
    """Run a plan; returns what was found."""
    began = monotonic()

    def told(what: str) -> None:
        say(f"{monotonic() - began:6.1f} s  {what}")

    with ExitStack() as stack:
        cluster, proxies = stack.enter_context(brokers_behind_proxies(plan.folder, plan.brokers))
        topics = Topics(KafkaCluster(KafkaSettings(cluster.bootstrap)))
        topics.create(CATEGORY, PARTITIONS, plan.brokers)
        server = _postgres(told) if plan.postgres and plan.workers else None
        if server is not None:
            stack.callback(server.close)
        url = f"kafka://{cluster.bootstrap}?timeout=15&session.timeout.ms=6000"
        setting = Setting(url, plan.folder, plan.seed, plan.callers, plan.environment())
        staff = Staff.hired(setting, plan.clients, plan.workers, server)
        stack.callback(staff.close)
        world = _World(cluster, proxies, server, staff)
        found, longest = _torture(plan, world, told)
        judge = Judge(staff, cluster.bootstrap, holds=plan.holds, say=told)
        found += judge.judge()
        return Result(found, judge.counts, longest, judge.caught_up)


def _postgres(say: Say) -> Server | None:
    try:
        server = choose().make()
        server.start()
    except PostgresError as error:
        say(f"no read model in PostgreSQL: {error}")
        return None
    return server


def _torture(plan: Plan, world: _World, say: Say) -> tuple[list[Violation], float]:
    """The run itself; returns who did not go on after it, and how long the slowest took."""
    staff = world.staff
    plan.calm.touch()
    for process in staff.all:
        process.start()
    wait_for_more(staff.appending, 1, HEALED)
    keeper = Keeper(staff.all)
    keeper.start()
    try:
        _break(plan, world, say)
        say("healed")
        took = wait_for_more(staff.appending, 3, HEALED)
    finally:
        keeper.end()
    found = [
        Violation("clients go on when all is well again", f"{it.name}: not in {HEALED} s")
        for it in staff.appending
        if it.name not in took
    ]
    found += drained("a client ends in order", staff.appending, PATIENCE + HEALED)
    say("clients ended")
    return found, max(took.values(), default=HEALED)


def _break(plan: Plan, world: _World, say: Say) -> None:
    """Let everything go wrong for a while."""
    nemeses = _nemeses(plan, world, say)
    plan.calm.unlink()
    try:
        for nemesis in nemeses:
            nemesis.start()
        _pass(plan.seconds, world.staff.appending, say)
    finally:
        plan.calm.touch()
        for nemesis in nemeses:
            nemesis.end()
    sleep(_LOOK)  # whoever was about to die at a failpoint is dead


def _pass(seconds: float, appending: Sequence[Process], say: Say) -> None:
    """Let time pass, and tell now and then how it goes."""
    began, told_at = monotonic(), monotonic()
    told = sum(it.done() for it in appending)
    while monotonic() < began + seconds:
        sleep(_LOOK)
        now = monotonic()
        if now >= told_at + _TELL:
            done = sum(it.done() for it in appending)
            say(f"{done:,} appends acknowledged, {(done - told) / (now - told_at):,.0f}/s")
            told, told_at = done, now


def _nemeses(plan: Plan, world: _World, say: Say) -> list[Nemesis]:
    """Those of the plan; the one of brokers first, as the others need them to heal."""
    cluster, proxies, server, staff = world
    seed, quiet = plan.seed, plan.quiet
    made: list[Nemesis] = []
    if "brokers" in plan.faults:
        topic = f"{CATEGORY}.events"
        roles = Roles(cluster, topic, PARTITIONS, staff.groups, f"{seed} roles")
        made.append(
            BrokerNemesis(seed, say, quiet, cluster, proxies, roles, holds=plan.holds)
        )  # fmt: skip
    if "clients" in plan.faults:
        made.append(ClientNemesis(seed, say, quiet, staff.appending))
    if "workers" in plan.faults and staff.crews:
        made.append(WorkerNemesis(seed, say, quiet, staff.crews, PARTITIONS, server))
    if "operator" in plan.faults and staff.crews:
        made.append(Operator(seed, say, 2 * quiet, staff.crews))
    return made
