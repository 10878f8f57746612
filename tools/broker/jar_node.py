"""A broker run from Kafka's jars, in a Java process of this machine."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.broker.errors import BrokerError
from tools.broker.jars import Jars
from tools.broker.node import READY
from tools.broker.ports import Port
from tools.broker.process import end, start
from tools.broker.properties import Listener, Listeners, render

POLL_SECONDS = 0.05


class JarNode:
    """A broker in a Java process of this machine, its data and log in `folder`.

    Args:
        number: the broker's id in its cluster.
        folder: holds data, settings and log over restarts.
        jars: Kafka, and the Java to run it.
        port: where clients connect; 0 takes a free one.
        advertised: host:port that clients are told to connect to, such as a proxy's.
        secure: whether there is a TLS listener too.
        java: options for Java.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        jars: Jars,
        *,
        port: int = 0,
        advertised: str | None = None,
        secure: bool = False,
        java: Sequence[str] = (),
    ) -> None:
        self.number = number
        self.log = folder / f"broker-{number}.log"
        self.data = folder / f"data-{number}"
        self._properties = folder / f"broker-{number}.properties"
        self._jars = jars
        self._java = java
        self._cluster_id = ""
        self._process: subprocess.Popen[bytes] | None = None
        wanted = [port, 0, 0, 0] if secure else [port, 0, 0]
        self._ports = [Port(number) for number in wanted]
        clients, *others = (port.address for port in self._ports)
        self.listeners = Listeners(
            Listener(clients, advertised or clients), *(Listener(at, at) for at in others)
        )

    @property
    def address(self) -> str:
        return self.listeners.clients.bind

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id of the running broker."""
        return self._process.pid if self._process and self.running else None

    def configure(self, settings: Mapping[str, str], cluster_id: str) -> None:
        self._properties.write_text(render(settings), encoding="utf-8")
        self._cluster_id = cluster_id

    def start(self, timeout: float) -> None:
        if self.running:
            return
        deadline = time.monotonic() + timeout
        self.log.touch()
        if not self.data.joinpath("meta.properties").exists():
            self._format(deadline)
        written = self.log.stat().st_size
        command = self._jars.command("kafka.Kafka", str(self._properties), options=self._java)
        self._process = start(command, self.log)
        self._wait_until_ready(written, deadline)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self.resume()
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGSTOP)
            # It goes on for some milliseconds; what it still answers would be taken for awake.
            if hasattr(os, "waitid"):  # not on every macOS
                os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        for port in self._ports:
            port.release()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
        self._process = None

    def _format(self, deadline: float) -> None:
        arguments = ["format", f"--cluster-id={self._cluster_id}", f"--config={self._properties}"]
        command = self._jars.command("kafka.tools.StorageTool", *arguments, options=self._java)
        self._process = start(command, self.log)
        try:
            code = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            code = -signal.SIGKILL
        self._process = None
        if code:
            raise self._failure(f"could not be given storage (exit code {code})")

    def _wait_until_ready(self, written: int, deadline: float) -> None:
        """Wait for READY in the log, past the `written` bytes of earlier runs."""
        with self.log.open("rb") as log:
            log.seek(written)
            seen = b""
            while READY.encode() not in seen:
                if not self.running:
                    raise self._failure("ended before it was ready")
                if time.monotonic() > deadline:
                    self.kill()
                    raise self._failure("was not ready in time")
                time.sleep(POLL_SECONDS)
                seen = seen[-len(READY) :] + log.read()

    def _failure(self, what: str) -> BrokerError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return BrokerError("\n".join([f"broker {self.number} {what}; {self.log} ends:", *lines]))
