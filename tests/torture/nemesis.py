"""The nemesis: what goes wrong, at random and again the same with the same seed."""

import random
import signal
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from tests.torture.clients import Client, follower_of
from tools.broker.cluster import Cluster
from tools.proxy.caught import Caught
from tools.proxy.frames import Api
from tools.proxy.proxy import Proxy

Say = Callable[[str], None]

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


class ClientNemesis(Nemesis):
    """Kills and freezes clients, above all those that follow the log into a shared index."""

    def __init__(self, seed: int, say: Say, quiet: float, clients: Sequence[Client]) -> None:
        super().__init__(f"{seed} clients", say, quiet)
        self._clients = clients

    def _strike(self) -> None:
        victim = self._victim()
        if self._choose.random() < 0.5:
            self._say(f"kill {victim.name}")
            victim.kill()
            self._stop.wait(self._choose.uniform(0, 3))
            victim.start()
        else:
            seconds = self._choose.choice([1, 2, 3, 5, 12, 20])
            self._say(f"freeze {victim.name} for {seconds} s")
            victim.send(signal.SIGSTOP)
            self._stop.wait(seconds)
            victim.send(signal.SIGCONT)

    def _victim(self) -> Client:
        victim = self._choose.choice(self._clients)
        if self._choose.random() < 0.5:
            follower = follower_of(victim.index)
            victim = next((it for it in self._clients if it.pid == follower), victim)
        return victim

    def _heal(self) -> None:
        for client in self._clients:
            client.send(signal.SIGCONT)
            client.start()


class BrokerNemesis(Nemesis):
    """Kills and freezes brokers; cuts, delays, holds and stops their connections."""

    def __init__(
        self,
        seed: int,
        say: Say,
        quiet: float,
        cluster: Cluster,
        proxies: Sequence[Proxy],
        *,
        holds: bool,
    ) -> None:
        super().__init__(f"{seed} brokers", say, quiet)
        self._holds = holds
        self._cluster = cluster
        self._proxies = proxies
        self._held: list[tuple[float, Caught]] = []

    def _strike(self) -> None:
        number = self._choose.choice(list(self._cluster.nodes))
        proxy = self._proxies[number - 1]
        weights = {
            self._kill: 3, self._freeze: 1, self._cut: 2, self._delay: 1, self._blackhole: 2,
            self._lose: 4, self._hold: 5 * self._holds,
        }  # fmt: skip
        (strike,) = self._choose.choices(list(weights), list(weights.values()))
        strike(number, proxy)
        self._release_old()

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
