"""Which partitions a worker has: all of them, or those that its group gives it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from eventkit.projection.partition import Partition


class Assignment(Protocol):
    """A worker's share of the partitions, which may change between two batches.

    It decides who works where, and never whether an event counts: the checkpoint does that. Two
    workers that both take a partition for theirs get in each other's way, and no more.
    """

    def partitions(self) -> Collection[Partition]:
        """What the worker has from now on; ask before each batch.

        What it had before and is not told any more is let go of by this call: others may have it.

        Raises:
            StoreError: nobody can tell any more, and why.
        """
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell others, such as tools that show lag, how far the worker is; returns at once."""
        ...

    def trouble(self) -> str | None:
        """What keeps the worker from hearing of the others at the moment; None if nothing does."""
        ...

    def close(self) -> None:
        """Let go of all; others may have them at once."""
        ...


class Fixed:
    """Always the same partitions.

    Parameters:
        partitions: which.
    """

    def __init__(self, partitions: Collection[Partition]) -> None:
        self._partitions = tuple(partitions)

    def partitions(self) -> Collection[Partition]:
        """See `Assignment.partitions`."""
        return self._partitions

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """There is nobody to tell."""

    def trouble(self) -> str | None:
        """There is nobody to hear of."""
        return None

    def close(self) -> None:
        """There is nobody to tell."""


class Membership(Protocol):
    """As `Assignment`, with partitions that are plain pairs of topic and number."""

    def partitions(self) -> Collection[tuple[str, int]]:
        """See `Assignment`."""

    def commit(self, offsets: Mapping[tuple[str, int], int], /) -> None:
        """See `Assignment`."""

    def trouble(self) -> str | None:
        """See `Assignment`."""

    def close(self) -> None:
        """See `Assignment`."""


class Shared:
    """What a group gives its member.

    Parameters:
        membership: in the group.
        known: the partitions that the worker can read; others are left to whoever can.
    """

    def __init__(self, membership: Membership, known: Collection[Partition]) -> None:
        self._membership = membership
        self._known = frozenset(known)
        self._given: Collection[tuple[str, int]] = ()
        self._partitions: tuple[Partition, ...] = ()

    def partitions(self) -> Collection[Partition]:
        """See `Assignment.partitions`."""
        given = self._membership.partitions()
        if given is not self._given:
            self._given = given
            self._partitions = tuple(sorted(self._known & {Partition(*it) for it in given}))
        return self._partitions

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See `Assignment.commit`."""
        self._membership.commit({(it.topic, it.number): to for it, to in offsets.items()})

    def trouble(self) -> str | None:
        """See `Assignment.trouble`."""
        return self._membership.trouble()

    def close(self) -> None:
        """See `Assignment.close`."""
        self._membership.close()
