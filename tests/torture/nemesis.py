"""The nemesis: what goes wrong, at random and again the same with the same seed."""

import random
import signal
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from tests.torture.clients import follower_of
from tests.torture.processes import Process
from tests.torture.roles import Roles
from tests.torture.workers import Crew
from tools.broker.cluster import Cluster
from tools.postgres.server import Server
from tools.proxy.caught import Caught
from tools.proxy.frames import Api
from tools.proxy.proxy import Proxy

Say = Callable[[str], None]

_DRAIN = 8.0
"""Seconds that a process may take to end when it is asked to, in the middle of faults."""

_LOSABLE = (Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN, Api.INIT_PRODUCER_ID)


class Nemesis:
    """A thread that does one bad thing after the other, with quiet times between."""

    def __init__(self, seed: str, say: Say, quiet: float) -> None:
        self._choose = random.Random(seed)  # noqa: S311
        self._say = say
        self._quiet = quiet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._problem: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop, and heal what is broken.

        Raises:
            BaseException: the nemesis itself failed.
        """
        self._stop.set()
        self._thread.join()
        self._heal()
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._choose.uniform(0.2, 2 * self._quiet)):
                self._strike()
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self._problem = error

    def _strike(self) -> None:
        raise NotImplementedError

    def _heal(self) -> None:
        raise NotImplementedError


class _ProcessNemesis(Nemesis):
    """Kills, drains and freezes processes."""

    def _break(self, victim: Process, why: str = "") -> None:
        what = self._choose.choices(["kill", "freeze", "drain"], [5, 5, self._drains()])[0]
        if what == "freeze":
            seconds = self._choose.choice([1, 2, 3, 5, 12, 20])
            self._say(f"freeze {victim.name}{why} for {seconds} s")
            victim.send(signal.SIGSTOP)
            self._stop.wait(seconds)
            victim.send(signal.SIGCONT)
            return
        self._say(f"{what} {victim.name}{why}")
        if what == "kill" or victim.drain(_DRAIN) is None:
            victim.kill()
        self._stop.wait(self._choose.uniform(0, 3))
        victim.start()

    def _drains(self) -> int:
        """How often a process is asked to end, against five times that it is killed."""
        return 0


class ClientNemesis(_ProcessNemesis):
    """Kills and freezes clients, above all those that follow the log into a shared index."""

    def __init__(self, seed: int, say: Say, quiet: float, clients: Sequence[Process]) -> None:
        super().__init__(f"{seed} clients", say, quiet)
        self._clients = clients

    def _strike(self) -> None:
        victim = self._choose.choice(self._clients)
        why = ""
        if self._choose.random() < 0.5:
            follower = follower_of(victim.index)
            found = next((it for it in self._clients if it.pid == follower), None)
            if found is not None:
                victim, why = found, " (follows the log)"
        self._break(victim, why)

    def _heal(self) -> None:
        for client in self._clients:
            client.send(signal.SIGCONT)
            client.start()


class WorkerNemesis(_ProcessNemesis):
    """Kills, freezes and drains workers, above all who has a certain partition; and PostgreSQL."""

    def __init__(
        self,
        seed: int,
        say: Say,
        quiet: float,
        crews: Sequence[Crew],
        partitions: int,
        server: Server | None,
    ) -> None:
        super().__init__(f"{seed} workers", say, quiet)
        self._crews = crews
        self._partitions = partitions
        self._server = server

    def _strike(self) -> None:
        if self._server is not None and self._choose.random() < 0.15:
            self._restart(self._server)
            return
        crew = self._choose.choice(self._crews)
        victim, why = self._choose.choice(crew.workers), ""
        if self._choose.random() < 0.6:
            partition = self._choose.randrange(self._partitions)
            found = crew.worker_of(partition)
            if found is not None:
                victim, why = found, f" (has partition {partition})"
        self._break(victim, why)

    def _drains(self) -> int:
        return 2

    def _restart(self, server: Server) -> None:
        kills = self._choose.random() < 0.5
        seconds = self._choose.choice([0, 0, 2, 7])
        self._say(f"{'kill' if kills else 'stop'} PostgreSQL for {seconds} s")
        if kills:
            server.kill()
        else:
            server.stop()
        self._stop.wait(seconds)
        server.start()

    def _heal(self) -> None:
        if self._server is not None:
            self._server.start()
        for crew in self._crews:
            for worker in crew.workers:
                worker.send(signal.SIGCONT)
                worker.start()


class BrokerNemesis(Nemesis):
    """Kills and freezes brokers; cuts, delays, holds and stops their connections."""

    def __init__(
        self,
        seed: int,
        say: Say,
        quiet: float,
        cluster: Cluster,
        proxies: Sequence[Proxy],
        roles: Roles,
        *,
        holds: bool,
    ) -> None:
        super().__init__(f"{seed} brokers", say, quiet)
        self._holds = holds
        self._roles = roles
        self._cluster = cluster
        self._proxies = proxies
        self._held: list[tuple[float, Caught]] = []

    def _strike(self) -> None:
        number = self._victim()
        proxy = self._proxies[number - 1]
        weights = {
            self._kill: 3, self._freeze: 1, self._cut: 2, self._delay: 1, self._blackhole: 2,
            self._lose: 4, self._hold: 5 * self._holds,
        }  # fmt: skip
        (strike,) = self._choose.choices(list(weights), list(weights.values()))
        strike(number, proxy)
        self._release_old()

    def _victim(self) -> int:
        """A broker, mostly by its role; one broker has them all."""
        roles, numbers = self._roles, list(self._cluster.nodes)
        number: int = self._choose.choice(numbers)
        ask = self._choose.choice([
            None, roles.leader, roles.transaction_coordinator, roles.group_coordinator,
            roles.controller,
        ])  # fmt: skip
        found = None if ask is None or len(numbers) == 1 else ask()
        if ask is not None and found is not None:
            self._say(f"broker {found} is the {ask.__name__.replace('_', ' ')}")
            number = found
        return number

    def _kill(self, number: int, _: Proxy) -> None:
        seconds = self._choose.choice([0, 0.5, 3])
        self._say(f"kill broker {number} for {seconds} s")
        self._cluster.kill(number)
        self._stop.wait(seconds)
        self._cluster.restart(number)
        self._say(f"broker {number} is back")

    def _freeze(self, number: int, _: Proxy) -> None:
        seconds = self._choose.choice([1, 2, 5])
        self._say(f"freeze broker {number} for {seconds} s")
        self._cluster.pause(number)
        self._stop.wait(seconds)
        self._cluster.resume(number)

    def _cut(self, number: int, proxy: Proxy) -> None:
        self._say(f"cut all connections to broker {number}")
        proxy.cut()

    def _delay(self, number: int, proxy: Proxy) -> None:
        proxy.delay = self._choose.choice([0.005, 0.03])
        self._say(f"delay broker {number} by {proxy.delay} s")
        self._stop.wait(3)
        proxy.delay = 0.0

    def _blackhole(self, number: int, proxy: Proxy) -> None:
        seconds = self._choose.choice([0.5, 2, 6])
        self._say(f"broker {number} in a black hole for {seconds} s")
        proxy.blackhole()
        self._stop.wait(seconds)
        if self._choose.random() < 0.5:
            proxy.cut()
        proxy.flow()

    def _lose(self, number: int, proxy: Proxy) -> None:
        api = self._choose.choice(_LOSABLE)
        self._say(f"lose an answer to {api.name} of broker {number}")
        proxy.lose_answer(api)

    def _hold(self, number: int, proxy: Proxy) -> None:
        """Hold a request, cut its connection, and release it a little later."""
        api = self._choose.choice(_LOSABLE)
        caught = proxy.hold(api)
        try:
            caught.wait(2)
        except TimeoutError:
            return
        caught.cut()
        seconds = self._choose.choice([0.001, 0.01, 0.05, 0.5])
        self._say(f"hold {api.name} to broker {number} back for {seconds} s")
        self._held.append((monotonic() + seconds, caught))
        self._stop.wait(seconds)

    def _release_old(self) -> None:
        due, self._held = self._held, []
        for _, caught in due:
            try:
                caught.release()
            except (OSError, EOFError, TimeoutError):
                self._say("the held request met no broker")

    def _heal(self) -> None:
        for proxy in self._proxies:
            proxy.delay = 0.0
            proxy.flow()
        self._cluster.heal()
        self._release_old()
