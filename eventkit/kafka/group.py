"""A member of a consumer group that reads nothing: it is told which partitions are its own.

The events come out of the index. The group says who works on which partition, and takes the offsets
that tools show as lag; whether an event counts is decided by the checkpoint alone. So all of this
may be late, wrong or away for a while: two workers that both take a partition for theirs cannot
both move its checkpoint.

One thread polls, and is never kept from it by a handler: a worker whose batch takes long stays in
the group. When a partition is taken away, that thread waits until the worker has finished its
batch, commits, and only then lets the broker give the partition to another.

All workers of a group must write into the same database: each gets a part of the partitions
(neighbours.py sees to that).

The classic protocol with `roundrobin` is the default, as it was the quickest, and is the one that
brokers and librdkafka have had for longest. Seconds until all members had their new partitions, on
one broker (Kafka 4.3, librdkafka 2.16), four partitions, a second member that joins, leaves, or is
killed:

    protocol                                joins   leaves   is killed
    classic, roundrobin, our settings         0.2      0.5         8.0
    classic, cooperative-sticky             1.1-1.5    0.5         8.0
    KIP-848 (group.protocol=consumer)         5.1      3.6        48.5

With `roundrobin` all members pause for a change of the group, here for less than 10 ms. The time
after a death is the session's (`session.timeout.ms`, 8 s here); with KIP-848 it is the broker's
(`group.consumer.session.timeout.ms`, 45 s), as is the heartbeat (5 s) that tells of changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Place

from eventkit.errors import CategoryAdded, GroupTaken, StoreClosed, StoreUnavailable
from eventkit.kafka.failures import failure, is_hopeless
from eventkit.kafka.growth import Growth
from eventkit.kafka.index import Partition
from eventkit.kafka.lookout import Lookout
from eventkit.kafka.neighbours import Neighbours
from eventkit.kafka.settings import KafkaSettings

log = logging.getLogger("eventkit.kafka")

_POLL = 0.1
"""Seconds of one poll: how soon the thread notices that it is to stop."""
_COMMIT = 1.0
"""Seconds between two commits of offsets; what is in between is only shown a little later."""
_LET_GO = 10.0
"""Seconds that a worker may take to finish its batch before its partition goes to another."""
_LEAVE = 15.0
"""Seconds that leaving may take; the group finds out by itself later."""

_HOPELESS = {
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.INVALID_GROUP_ID,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.UNSUPPORTED_ASSIGNOR,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNRELEASED_INSTANCE_ID,
    KafkaError._FATAL,  # noqa: SLF001 - its public name
}
"""What waiting does not mend."""


class Group:
    """Membership in a consumer group, until it is closed.

    Parameters:
        settings: how to connect; `group.protocol` may choose KIP-848.
        name: of the group.
        topics: whose partitions are shared.
        handled: from the offset of the last event that was handled to the one to commit.
        neighbours: looks who else is in the group.
        growth: looks for topics that are made later.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        name: str,
        topics: Collection[str],
        handled: Callable[[Partition, int], int],
        neighbours: Neighbours | None = None,
        growth: Growth | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._topics = list(topics)
        self._handled = handled
        self._changed = threading.Condition()
        self._given: frozenset[Partition] = frozenset()
        self._held: frozenset[Partition] = frozenset()
        self._done: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._failure: BaseException | None = None
        self._closing = False
        self._member = settings.member(name, error_cb=self._on_error, on_commit=self._on_commit)
        self._neighbours, self._growth = neighbours, growth
        if neighbours is not None:
            self._member["client.id"] = neighbours.client_id(str(self._member["client.id"]))
        self._incremental = _is_incremental(self._member)
        self._thread = threading.Thread(target=self._work, name=f"eventkit {name}", daemon=True)
        self._thread.start()

    def partitions(self) -> frozenset[Partition]:
        """What this member has; whatever it had and is not told any more, it has let go of.

        Raises:
            GroupTaken: members that write into another database are in the group.
            CategoryAdded: there are more topics to share by now.
            StoreUnavailable: the member is out of the group for good, and why.
        """
        with self._changed:
            if self._closing:
                raise StoreClosed(f"the group {self._name}")
            if isinstance(self._failure, GroupTaken | CategoryAdded):
                raise self._failure
            if self._failure is not None:
                raise StoreUnavailable(
                    f"the consumer group {self._name} is lost: {self._failure}"
                ) from self._failure
            if self._held != self._given:
                self._held = self._given
                self._changed.notify_all()
            return self._held

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Take the offsets of the events that were handled last; they are committed soon."""
        with self._changed:
            self._done.update(offsets)

    def trouble(self) -> str | None:
        """Why the brokers did not answer when they were last asked for the group; None if they did.

        That may pass; the partitions stay with this member meanwhile.
        """
        return None if self._neighbours is None else self._neighbours.trouble

    def close(self) -> None:
        """Commit, and leave the group; again does nothing."""
        with self._changed:
            self._closing = True
            self._held = frozenset()
            self._changed.notify_all()
        self._thread.join(_LEAVE)
        if self._thread.is_alive():
            log.warning("the group %s could not be left in time; it will notice", self._name)

    def _work(self) -> None:
        try:
            if self._neighbours is not None:
                self._neighbours.check_before(lambda: self._closing)
            consumer: Consumer | None = self._made()
            while consumer is not None:
                try:
                    fresh = self._stay(consumer)
                finally:
                    consumer.close()  # calls `_on_revoke`
                consumer = fresh
        except BaseException as error:  # noqa: BLE001 - told to the worker
            with self._changed:
                self._failure = self._failure or error
        finally:
            if self._neighbours is not None:
                self._neighbours.close()

    def _made(self) -> Consumer:
        return self._settings.opened(Consumer, self._member)

    def _stay(self, consumer: Consumer) -> Consumer | None:
        """Be a member until this is closed, or the consumer is lost; returns another one then."""
        topic = next(iter(self._topics), "")
        fresh: Consumer | None = None
        with closing(Lookout[Consumer](topic, f"consumer group {self._name}")) as lookout:
            if self._topics and not self._closing:  # none of them may be there yet
                self._join(consumer)
            next_commit = monotonic() + _COMMIT
            while fresh is None and not self._closing and self._failure is None:
                message = consumer.poll(_POLL)
                if message is not None:
                    self._judge(message)
                if self._neighbours is not None:
                    self._neighbours.check()
                if self._growth is not None:
                    self._growth.check()
                if monotonic() >= next_commit:
                    self._commit(consumer)
                    next_commit = monotonic() + _COMMIT
                fresh = lookout.replacement(consumer, self._made) if self._topics else None
        return fresh

    def _join(self, consumer: Consumer) -> None:
        consumer.subscribe(
            self._topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _judge(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            self._on_error(error)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _HOPELESS or error.fatal() or is_hopeless(error):
            raise failure(error, f"staying in the consumer group {self._name}", self._settings)
        log.warning("consumer group %s: %s", self._name, self._settings.masked(error.str()))

    def _on_assign(self, consumer: Consumer, places: list[Place]) -> None:
        """Take partitions, and read nothing of them."""
        mine = [Place(place.topic, place.partition, OFFSET_END) for place in places]
        if self._incremental:
            consumer.incremental_assign(mine)
        else:
            consumer.assign(mine)
        consumer.pause(mine)
        with self._changed:
            self._given |= _partitions(places)
        log.info("consumer group %s gives %s", self._name, _told(places))

    def _on_revoke(self, consumer: Consumer, places: list[Place]) -> None:
        """Let the worker finish its batch, and tell how far it is, while we are a member."""
        gone = self._take_away(places)
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._held & gone, _LET_GO)
        self._commit(consumer)
        self._give_up(consumer, places)
        log.info("consumer group %s takes %s", self._name, _told(places))

    def _on_lost(self, consumer: Consumer, places: list[Place]) -> None:
        """Others may have them already: nothing can be committed any more."""
        self._take_away(places)
        self._give_up(consumer, places)
        log.warning("consumer group %s was lost, with %s", self._name, _told(places))

    def _take_away(self, places: Sequence[Place]) -> frozenset[Partition]:
        gone = _partitions(places)
        with self._changed:
            self._given -= gone
        return gone

    def _give_up(self, consumer: Consumer, places: list[Place]) -> None:
        if self._incremental:
            consumer.incremental_unassign(places)
        else:
            consumer.unassign()
        with self._changed:
            for partition in _partitions(places):
                self._done.pop(partition, None)
                self._committed.pop(partition, None)

    def _commit(self, consumer: Consumer) -> None:
        """Send the offsets that changed; the answer is not waited for."""
        with self._changed:
            done = dict(self._done)
        offsets = {partition: self._handled(partition, at) for partition, at in done.items()}
        fresh = {it: to for it, to in offsets.items() if self._committed.get(it) != to and to > 0}
        if fresh:
            places = [Place(topic, part, to) for (topic, part), to in fresh.items()]
            self._committed.update(fresh)
            with suppress(KafkaException):  # not in the group at the moment
                consumer.commit(offsets=places, asynchronous=True)

    def _on_commit(self, error: KafkaError | None, places: list[Place]) -> None:
        """What was not taken is sent again."""
        if error is not None:
            log.debug("consumer group %s: offsets were not committed: %s", self._name, error)
        for place in places:
            if error is not None or place.error is not None:
                self._committed.pop((place.topic, place.partition), None)


def _is_incremental(settings: Mapping[str, Any]) -> bool:
    """Whether partitions are given and taken one by one, and not all at each change."""
    strategy = str(settings.get("partition.assignment.strategy", ""))
    return settings.get("group.protocol") == "consumer" or strategy.startswith("cooperative")


def _partitions(places: Sequence[Place]) -> frozenset[Partition]:
    return frozenset((place.topic, place.partition) for place in places)


def _told(places: Sequence[Place]) -> str:
    return ", ".join(f"{place.topic}/{place.partition}" for place in places) or "nothing"
