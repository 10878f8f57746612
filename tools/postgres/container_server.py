"""A server in a Docker container."""

import time

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from tools.broker.from_docker import free_ports
from tools.postgres.errors import PostgresError
from tools.postgres.server import PASSWORD, SETTINGS, START_SECONDS, USER, url_of

IMAGE = "postgres:17"  # as in docker-compose.yml
READY = "database system is ready to accept connections"
INSIDE = 5432
EXIT_SECONDS = 30
POLL_SECONDS = 0.1


class ContainerServer:
    """A server in a container of its own, which keeps its data until `close`."""

    def __init__(self) -> None:
        host = DockerClient().host()
        (port,) = free_ports(0, 1)
        options = [part for name in SETTINGS for part in ("-c", f"{name}={SETTINGS[name]}")]
        self._container = DockerContainer(IMAGE).with_bind_ports(INSIDE, port)
        self._container.with_envs(
            POSTGRES_USER=USER, POSTGRES_PASSWORD=PASSWORD, POSTGRES_DB="postgres"
        )
        self._container.with_command(["postgres", *options])
        self._url = url_of(host, port)
        self._created = False

    @property
    def url(self) -> str:
        return self._url

    @property
    def running(self) -> bool:
        if not self._created:
            return False
        container = self._container.get_wrapped_container()
        container.reload()
        return str(container.status) == "running"

    def start(self) -> None:
        if self.running:
            return
        # The image starts the server once to set it up, and then for good.
        starts = self._output().count(READY) + (1 if self._created else 2)
        try:
            if self._created:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._created = True
        except DockerException as error:
            raise PostgresError(f"docker cannot start {IMAGE}: {error}") from error
        self._wait_until_ready(starts)

    def stop(self) -> None:
        if self.running:
            self._container.get_wrapped_container().stop(timeout=EXIT_SECONDS)

    def kill(self) -> None:
        if self.running:
            self._container.get_wrapped_container().kill()
            self._container.get_wrapped_container().wait(timeout=EXIT_SECONDS)

    def close(self) -> None:
        self._container.stop()

    def _wait_until_ready(self, starts: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._output().count(READY) < starts:
            if not self.running:
                raise self._failure("ended before it was ready")
            if time.monotonic() > deadline:
                raise self._failure("was not ready in time")
            time.sleep(POLL_SECONDS)

    def _output(self) -> str:
        if not self._created:
            return ""
        logs: bytes = self._container.get_wrapped_container().logs()
        return logs.decode(errors="replace")

    def _failure(self, what: str) -> PostgresError:
        lines = self._output().splitlines()[-20:]
        return PostgresError("\n".join([f"PostgreSQL {what}; its output ends:", *lines]))
