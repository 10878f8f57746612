"""Threads may share a codec."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

from pydantic import BaseModel

from tests.unit.codec_kit import Kept, event_class

THREADS = 8


class Node(BaseModel):
    at: datetime
    children: list["Node"] = []


def test_threads_that_meet_a_class_at_the_same_time_agree() -> None:
    cls = event_class("Shared", node=Node, text=str)
    leaf = Node(at=datetime(2024, 1, 1, tzinfo=UTC))
    event = cls(node=Node(at=leaf.at, children=[leaf]), text="x")
    kept, start = Kept(cls), Barrier(THREADS)

    def write_and_read(_: int) -> bool:
        start.wait()
        data = kept.write(event)
        return bool(kept.codec.decode("Shared", data) == event)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(write_and_read, range(THREADS)))
