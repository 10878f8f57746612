"""A server run by PostgreSQL's own programs, in a process of this machine."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tools.broker.ports import LOOPBACK, Port
from tools.broker.process import end, start
from tools.postgres.errors import PostgresError
from tools.postgres.programs import user_of_server
from tools.postgres.server import PASSWORD, SETTINGS, START_SECONDS, USER, url_of

READY = b"database system is ready to accept connections"
POLL_SECONDS = 0.02


class LocalServer:
    """A server with its data and log in a folder.

    Args:
        programs: the folder of initdb and postgres.
        folder: holds data and log over restarts; None takes a new one, removed by `close`.
        port: where clients connect; 0 takes a free one.
    """

    def __init__(self, programs: Path, folder: Path | None = None, port: int = 0) -> None:
        self._programs = programs
        self._user = user_of_server()
        self._temporary = folder is None
        self._port = Port(port)
        # Not pytest's folder, where only its owner may go: the server may be another user.
        self._folder = folder or Path(tempfile.mkdtemp(prefix="eventkit-postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return url_of(LOOPBACK, self._port.number)

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._log

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        if self.running:
            return
        if not (self._data / "PG_VERSION").exists():
            self._make_data()
        settings = SETTINGS | {
            "port": str(self._port.number),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
        }
        options = [part for name in settings for part in ("-c", f"{name}={settings[name]}")]
        self._log.touch()
        written = self._log.stat().st_size
        command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
        self._process = start(command, self._log, self._user)
        self._wait_until_ready(written)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def kill(self) -> None:
        # Not SIGKILL: sessions of a killed server live on for a moment, and keep its data in use.
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        self._end(signal.SIGQUIT if self._temporary else signal.SIGINT)
        self._port.release()
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _make_data(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="ascii")
        self._log.touch()
        if self._user:
            for item in (self._folder, password):
                os.chown(item, *self._user)
        options = [f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [str(self._programs / "initdb"), "-D", str(self._data), *options]
        code = start(command, self._log, self._user).wait(START_SECONDS)
        password.unlink()
        if code:
            raise self._failure("initdb failed")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
        self._process = None

    def _wait_until_ready(self, written: int) -> None:
        """Wait for READY in the log, past the `written` bytes of earlier runs."""
        deadline = time.monotonic() + START_SECONDS
        while READY not in self._log.read_bytes()[written:]:
            if not self.running:
                raise self._failure("PostgreSQL ended before it was ready")
            if time.monotonic() > deadline:
                self._end(signal.SIGQUIT)
                raise self._failure("PostgreSQL was not ready in time")
            time.sleep(POLL_SECONDS)

    def _failure(self, what: str) -> PostgresError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return PostgresError("\n".join([f"{what}; {self._log} ends:", *lines]))
