"""What others on the host see of the processes that a command starts: no password."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from tests.kafka.worker_kit import Workers
from tests.projection.following import until

SECRET = b"hunter2hunter2"
OTHERS = 0o077
"""What anybody but the owner may do with a file."""


class Seen:
    """All processes below one, as anybody on the host sees them, while they run.

    Args:
        root: the process.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self.arguments: dict[int, bytes] = {}
        self.modes: set[int] = set()

    def look(self) -> None:
        parents = dict(_parents())
        for pid in parents:
            above = pid
            while above in parents and above != self._root:
                above = parents[above]
            if above == self._root:
                self._note(Path("/proc", str(pid)))

    def _note(self, process: Path) -> None:
        with suppress(OSError):  # it has ended meanwhile
            self.modes.add((process / "environ").stat().st_mode & OTHERS)
            arguments = (process / "cmdline").read_bytes()
            self.arguments[int(process.name)] = arguments or self.arguments.get(
                int(process.name), b""
            )

    def count(self, word: bytes) -> int:
        """How many of them have something in their arguments."""
        return sum(word in it for it in self.arguments.values())


def _parents() -> Iterator[tuple[int, int]]:
    """The processes of this host with their parents."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (process / "stat").read_text()
            yield int(process.name), int(state.rpartition(")")[2].split()[1])


def test_workers_and_what_they_start_show_no_password(
    kafka_address: str, database: str, tmp_path: Path
) -> None:
    prefix = f"{uuid.uuid4().hex}."
    Topics(Cluster(KafkaSettings(kafka_address)), Names(prefix)).create("account", 2, 1)
    file = tmp_path / "kafka.conf"
    file.write_text(f"security.protocol=PLAINTEXT\nsasl.password={SECRET.decode()}\n")
    url = f"kafka://{kafka_address}?prefix={prefix}&config={file}"
    models = f"{database}?sslpassword={SECRET.decode()}"
    with Workers(url, models, tmp_path) as workers:
        parent = workers.start("--follow", "--workers", "2")
        seen = Seen(parent.pid)

        def all_were_seen() -> bool:
            seen.look()
            assert parent.poll() is None, workers.said(parent)
            return seen.count(b"--worker\0") == 2 and seen.count(b"membership.py") >= 2

        until(all_were_seen)
        until(lambda: workers.said(parent).count("; handles") == 2)
        assert workers.end(parent) == [0]
        assert SECRET.decode() not in workers.said(parent)
    assert seen.count(SECRET) == 0
    assert seen.modes == {0}
