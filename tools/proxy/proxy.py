"""The proxy: one listener before one broker."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Self

from tools.broker.ports import LOOPBACK
from tools.proxy.caught import SECONDS, Caught
from tools.proxy.frames import Request, answered_id, read_frame, request_of, with_length

_ENDED = (OSError, EOFError, ValueError)
_END_SECONDS = 2.0


class Proxy:
    """Listens at a loopback port of its own and passes Kafka's frames on to a broker.

    A context manager; runs in a thread. A broker must be told to advertise `address`
    (`Wanted(advertised=[proxy.address])`), or clients leave the proxy at once.

    Args:
        target: host:port of the broker; may be set when the broker is there.
    """

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.delay = 0.0  # seconds that each frame is late
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._lines: set[_Line] = set()
        self._held: list[Caught] = []
        self._lost: list[Caught] = []
        self._thread.start()
        self._server: asyncio.Server = self._do(self._listen())
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def hold(self, api: int, matching: Callable[[Request], bool] = lambda _: True) -> Caught:
        """Keep the next such request from the broker; the connection waits behind it."""
        caught = self._caught(api, matching)
        self._call(partial(self._held.append, caught))
        return caught

    def lose_answer(self, api: int, matching: Callable[[Request], bool] = lambda _: True) -> Caught:
        """Let the next such request through, and cut its connection when the answer comes."""
        caught = self._caught(api, matching)
        self._call(partial(self._lost.append, caught))
        return caught

    def cut(self) -> None:
        """End all connections; clients may connect again."""
        self._call(self._cut)

    def refuse(self, refuses: bool) -> None:  # noqa: FBT001 - `refuse(True)` says it
        """End all connections and each new one at once, until told otherwise."""
        self._refuses = refuses
        self.cut()

    def blackhole(self) -> None:
        """Pass nothing on any more, and end nothing: as a network that drops all packets."""
        self._call(self._flows.clear)

    def flow(self) -> None:
        """Pass on again, first of all what came in the meantime."""
        self._call(self._flows.set)

    def close(self) -> None:
        """End all connections, and the thread."""
        if not self._thread.is_alive():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _caught(self, api: int, matching: Callable[[Request], bool]) -> Caught:
        return Caught(api, matching, self._run, self._deliver)

    def _run(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._run(work).result(SECONDS)

    def _call(self, what: Callable[[], object]) -> None:
        async def call() -> None:
            what()

        self._do(call())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, LOOPBACK, 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client; whatever happens, also at the proxy's end, its socket is closed."""
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            return
        to_broker = await asyncio.open_connection(*self.target.rsplit(":", 1))
        line = _Line(self, (reader, writer), to_broker)
        self._lines.add(line)
        try:
            if not self._refuses:  # it may by now
                await line.run()
        finally:
            line.cut()
            self._lines.discard(line)

    async def _deliver(self, frame: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.target.rsplit(":", 1))
        try:
            writer.write(with_length(frame))
            await writer.drain()
            return await asyncio.wait_for(read_frame(reader), SECONDS)
        finally:
            writer.transport.abort()

    def _cut(self) -> None:
        for line in list(self._lines):
            line.cut()

    async def _end(self) -> None:
        # Who was accepted a moment ago comes only now, as a task of its own. A server that is
        # closed before leaves its socket open, so that it only stops listening here.
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        self._refuses = True
        self._cut()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            _, left = await asyncio.wait(others, timeout=_END_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        self._server.close()

    async def let_through(self, request: Request, line: "_Line") -> None:
        """Return when the request may go to the broker."""
        await self._pass()
        for caught in self._held:
            if caught.wants(request):
                self._held.remove(caught)
                await caught.keep(request, line)
                return
        for caught in self._lost:
            if caught.wants(request):
                self._lost.remove(caught)
                line.on_answer[request.correlation_id] = partial(caught.note, request, line)
                return

    async def _pass(self) -> None:
        await self._flows.wait()
        if self.delay:
            await asyncio.sleep(self.delay)

    async def let_back(self) -> None:
        """Return when an answer may go to its client."""
        await self._pass()


class _Line:
    """A client's connection and the one to the broker that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self.on_answer: dict[int, Callable[[], None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Pass frames on until one side ends."""
        self._tasks = [asyncio.ensure_future(it) for it in (self._forth(), self._back())]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End both connections, with whatever is on its way."""
        for writer in (self._to_client, self._to_broker):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _forth(self) -> None:
        with suppress(*_ENDED):
            while True:
                request = request_of(await read_frame(self._from_client))
                await self._proxy.let_through(request, self)
                self._to_broker.write(with_length(request.frame))
                await self._to_broker.drain()

    async def _back(self) -> None:
        with suppress(*_ENDED):
            while True:
                frame = await read_frame(self._from_broker)
                lost = self.on_answer.pop(answered_id(frame), None) if self.on_answer else None
                if lost is not None:
                    lost()
                    return
                await self._proxy.let_back()
                self._to_client.write(with_length(frame))
                await self._to_client.drain()
