"""The versions of aggregates that were met lately, shared by who follows the log and who writes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

_MOST = 100_000
"""Aggregates whose versions are kept in memory."""


class KnownHeads:
    """Heads in memory, as far as the log was judged; at most some batches ahead of the index.

    Who follows the log knows the head of each aggregate that it met. The writer asks the index for
    others, right before the follower meets them; its answers are taken in, so that nobody asks
    twice. An answer that is old is no danger:

    1. the writer notes the `age`, and asks the index;
    2. the follower meets the aggregate: its head is in `versions` from then on, and wins over
       whatever the writer brings;
    3. or `versions` is emptied: that changes the age, and the writer's answer is not taken.

    If neither happens, the index has the same events of that aggregate as when the writer asked.
    """

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.age = 0
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether it is time to forget."""
        return len(self.versions) > _MOST

    def unknown(self, aggregate_ids: Iterable[str]) -> set[str]:
        """Those whose head is not known."""
        versions = self.versions
        return {it for it in aggregate_ids if it not in versions}

    def offer(self, age: int, heads: Mapping[str, int]) -> None:
        """What the index said after `age` was noted."""
        with self._lock:
            if age == self.age and not self.is_full:
                versions = self.versions
                for aggregate_id, head in heads.items():
                    versions.setdefault(aggregate_id, head)

    def forget(self) -> None:
        """Know nothing: the log is judged by somebody else, or memory is short."""
        with self._lock:
            self.age += 1
            self.versions.clear()
