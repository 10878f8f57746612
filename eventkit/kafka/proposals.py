"""The read_uncommitted tail: sees what writers propose before it is decided.

What others propose is kept until the index is past it. The index may stand still (its disk is
full) or be slower than the log, so the tail lets go of the partitions of which too much is kept,
and takes them up again, where it left them, when the index has come after it. Nothing written
there could be acknowledged before that. The order of events:

1. *Let go.* More than `MOST_RIVALS` are kept: the partitions with more than their share of them are
   not read any more. They are `View.behind`: the writer proposes nothing there, its appends wait.
2. *What the writer has proposed already*, in a transaction that began before, it must meet. While
   it waits for that (`View.wait_until_seen`), such a partition is read all the same.
3. *Take up.* The index, which has a consumer of its own, has come so far that half of that is
   kept. The brokers are asked how far the log is by now; the tail reads on from where it was.
4. *Caught up.* It has come as far as that: the writer may propose again.

Why nobody waits for ever:

- The index waits for transactions that are open, never for this tail. One that is open is ended by
  its writer, which needs no more than 2, by the broker, or by a helper, ours or another host's.
- Our helper has to have met the record that readers are held up by. Where much is kept, that is
  one of those: they are all undecided or not in the index, and the first of them is the oldest.
  If the tail has not come to it, nor has the index, which goes on until it has made room.
- A writer in doubt waits until the index, and this tail, are where the log ends. It keeps nothing
  before the index then (`View.sort_by_header`), so when the index is there, nothing is kept.
- An append that waits has its deadline, and nothing of it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException, Message, TopicPartition

from eventkit.kafka.index import Partition
from eventkit.kafka.tails import Tail
from eventkit.kafka.view import View

MOST_RIVALS = 100_000
"""Records of others that are kept before partitions are let go of."""
_SECONDS = 1.0
"""For the brokers to say where a partition ends; else it is tried again."""


class ProposalTail(Tail):
    """Reads all records, undecided ones too, and hands them to the view.

    Parameters:
        settings: of a consumer; its isolation level is set here.
        offsets: where to begin: where the index is.
        view: what is told.
        most: rivals that are kept before partitions are let go of.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        offsets: Mapping[Partition, int],
        view: View,
        *,
        most: int = MOST_RIVALS,
    ) -> None:
        uncommitted = {**settings, "isolation.level": "read_uncommitted"}
        super().__init__("eventkit proposals", uncommitted, offsets, view.fail)
        self._view = view
        self._most = most
        self._left: set[Partition] = set()
        self._ends: dict[Partition, int] = {}
        """Of partitions that were taken up again: where the log was then."""

    def _read(
        self, messages: Mapping[Partition, list[Message]], ends: Mapping[Partition, int]
    ) -> None:
        self._view.add_seen(messages, ends)
        self._make_room()

    def _idle(self) -> None:
        self._make_room()

    def _make_room(self) -> None:
        view = self._view
        for partition in view.crowded(self._most) - self._left:
            self._leave(partition)
        if self._left:
            for partition in self._left - view.crowded(self._most // 2):
                self._take_up(partition)
        if self._ends:
            self._ends = {it: end for it, end in self._ends.items() if view.seen(it) < end}
        if view.behind or self._left:
            view.behind = frozenset(self._left | self._ends.keys())

    def _leave(self, partition: Partition) -> None:
        self._consumer.incremental_unassign(_places([partition]))
        del self._read_to[partition]
        self._left.add(partition)
        self._ends.pop(partition, None)

    def _take_up(self, partition: Partition) -> None:
        """Read on where we were, by its offset: what the consumer had fetched is gone."""
        (place,) = _places([partition])
        try:
            _, end = self._consumer.get_watermark_offsets(place, _SECONDS)
        except KafkaException:
            return
        place.offset = self._view.seen(partition)
        self._consumer.incremental_assign([place])
        self._read_to[partition] = place.offset
        self._left.discard(partition)
        self._ends[partition] = end


def _places(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]
