"""One request that was caught on its way, and what is to become of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

from tools.proxy.frames import Request

SECONDS = 30.0


class Line(Protocol):
    """The connection that a request came on."""

    def cut(self) -> None:
        """End it, on both sides."""
        ...


class Caught:
    """A request that a rule waits for, and then keeps.

    `cut` ends the connection it came on, so that the client sends it again; the caught copy can be
    released later, as a copy that lay in some buffer would arrive. `pass_on` lets it go its way.

    Args:
        api: which requests.
        matching: which of those; the first one is caught.
        run: runs a coroutine in the proxy's loop.
        deliver: sends a frame to the broker on a connection of its own; returns the answer.
    """

    def __init__(
        self,
        api: int,
        matching: Callable[[Request], bool],
        run: Callable[[Coroutine[Any, Any, Any]], "Future[Any]"],
        deliver: Callable[[bytes], Coroutine[Any, Any, bytes]],
    ) -> None:
        self._api = api
        self._matching = matching
        self._run = run
        self._deliver = deliver
        self._there = threading.Event()
        self._request: Request | None = None
        self._line: Line | None = None
        self._passed: asyncio.Event | None = None

    def wants(self, request: Request) -> bool:
        """Whether this is the request; called in the proxy's loop."""
        return request.api == self._api and self._matching(request)

    async def keep(self, request: Request, line: Line) -> None:
        """Take the request; returns when it is passed on."""
        self._request, self._line, self._passed = request, line, asyncio.Event()
        self._there.set()
        await self._passed.wait()

    def note(self, request: Request, line: Line) -> None:
        """Say that the request was there, without keeping it."""
        self._request, self._line = request, line
        self._there.set()

    def wait(self, timeout: float = SECONDS) -> Request:
        """Return the request, when it is there.

        Raises:
            TimeoutError: none came in time.
        """
        if not self._there.wait(timeout) or self._request is None:
            raise TimeoutError(f"no request {self._api} came within {timeout:g} s")
        return self._request

    def cut(self) -> None:
        """End the connection that the request came on."""
        self.wait()
        self._run(self._cut()).result(SECONDS)

    def pass_on(self) -> None:
        """Let the request go its way, on the connection it came on."""
        self.wait()
        self._run(self._pass_on()).result(SECONDS)

    def release(self) -> bytes:
        """Send the request to the broker on another connection; returns the answer's frame."""
        answer: bytes = self._run(self._deliver(self.wait().frame)).result(SECONDS)
        return answer

    async def _cut(self) -> None:
        if self._line is not None:
            self._line.cut()

    async def _pass_on(self) -> None:
        if self._passed is not None:
            self._passed.set()
