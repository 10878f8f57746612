"""The producer and the consumer of confluent_kafka, as far as a store uses them, on the broker."""

# ruff: noqa: ARG002 - the names are confluent_kafka's

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from eventkit.kafka.index import Partition
from tests.model.broker import AGAIN, FENCED, OK, Broker, Message, Request
from tests.model.scheduler import Choices, Process, Scheduler

_RESEND = 0.3  # seconds without an answer, until the connection counts as lost
_TRY_AGAIN = 0.002
_EOF = KafkaError(KafkaError._PARTITION_EOF)


class Site:
    """What clients of one process know: given to them among their settings."""

    def __init__(
        self, scheduler: Scheduler, broker: Broker, process: Process, choices: Choices
    ) -> None:
        self.scheduler = scheduler
        self.broker = broker
        self.process = process
        self.choices = choices


class Producer:
    """A transactional producer."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._site: Site = settings["site"]
        self._writer = str(settings["transactional.id"])
        self._epoch = -1
        self._failed = 0
        self._queue: dict[Partition, list[tuple[Message, Callable[..., None] | None]]] = {}
        self._added: set[Partition] = set()

    def __len__(self) -> int:
        return sum(len(it) for it in self._queue.values())

    def list_topics(self, timeout: float) -> None:
        pass

    def poll(self, timeout: float) -> None:
        self._site.scheduler.sleep(timeout)

    def purge(self, *, blocking: bool) -> None:
        self._failed = FENCED

    def init_transactions(self, timeout: float) -> None:
        broker, by = self._site.broker, self._site.process.name
        self._ask("InitProducerId", lambda: broker.init(self._writer, by), timeout)
        self._epoch = broker.transaction(self._writer).epoch

    def begin_transaction(self) -> None:
        self._check()
        self._queue, self._added = {}, set()

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        partition: int,
        on_delivery: Callable[..., None] | None = None,
        headers: Any = (),
    ) -> None:
        self._check()
        place = (topic, partition)
        message = Message(place, key, value, headers)
        self._queue.setdefault(place, []).append((message, on_delivery))

    def flush(self, timeout: float) -> int:
        """Send what is queued, in batches of each partition; returns how many are left."""
        deadline = self._site.scheduler.now + timeout
        try:
            for place in sorted(self._queue):  # the order of a set differs between processes
                self._send(place, deadline)
                del self._queue[place]
        except KafkaException as error:
            if error.args[0].code() == KafkaError._TIMED_OUT:
                return len(self)
            for batch in self._queue.values():
                _report(batch, error.args[0])
        return 0

    def _send(self, place: Partition, deadline: float) -> None:
        scheduler, broker = self._site.scheduler, self._site.broker
        writer, epoch, left = self._writer, self._epoch, self._queue[place]
        if place not in self._added:
            add = partial(broker.add_partitions, writer, epoch, [place])
            self._ask("AddPartitions", add, deadline - scheduler.now)
            self._added.add(place)
        while left:
            batch = left[: 1 + self._site.choices.next() % 3]
            some = [message for message, _ in batch]
            produce = partial(broker.produce, writer, epoch, place, some)
            self._ask("Produce", produce, deadline - scheduler.now, once=True)
            del left[: len(batch)]
            _report(batch, None)

    def commit_transaction(self, timeout: float) -> None:
        self._end(timeout, commits=True)

    def abort_transaction(self, timeout: float) -> None:
        self._end(timeout, commits=False)

    def _end(self, timeout: float, *, commits: bool) -> None:
        self._check()
        if self._queue:
            self.flush(timeout)
        if not self._added:
            return  # the coordinator does not know of it
        broker, writer, epoch = self._site.broker, self._writer, self._epoch
        name = "EndTxn(commit)" if commits else "EndTxn(abort)"
        self._ask(name, lambda: broker.end(writer, epoch, commits=commits), timeout)

    def _ask(
        self, name: str, run: Callable[[], int], timeout: float, *, once: bool = False
    ) -> None:
        """Send a request until it is answered, as librdkafka does, unseen by the application."""
        scheduler, broker = self._site.scheduler, self._site.broker
        deadline = scheduler.now + timeout
        while True:
            request = Request(self._site.process, self._writer, name, run, once=once)
            broker.send(request)
            while not request.is_answered():
                left = max(0.0, min(_RESEND, deadline - scheduler.now))
                scheduler.block(request.is_answered, left)
                if not request.is_answered():
                    if scheduler.now >= deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                    if request not in broker.network:
                        broker.send(request)
            if request.answer == OK:
                return
            if request.answer not in {AGAIN, None}:
                self._failed = request.answer or FENCED
                self._check()
            scheduler.sleep(_TRY_AGAIN)

    def _check(self) -> None:
        if self._failed:
            raise KafkaException(KafkaError(self._failed))


def _report(
    batch: Iterable[tuple[Message, Callable[..., None] | None]], error: KafkaError | None
) -> None:
    for message, told in batch:
        if told is not None:
            told(error, message)


class _End:
    """Told when a consumer has read to the end."""

    def __init__(self, partition: Partition, offset: int) -> None:
        self._place = (*partition, offset)

    def error(self) -> KafkaError:
        return _EOF

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]


class Consumer:
    """Reads partitions at its own pace."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._site: Site = settings["site"]
        self._committed = settings["isolation.level"] == "read_committed"
        self._at: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}
        self._ready: list[Any] = []
        self._up_to_date = -1

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self._at = {(it.topic, it.partition): it.offset for it in places}
        self._told = dict.fromkeys(self._at, -1)
        self._up_to_date = -1

    def close(self) -> None:
        pass

    def list_topics(self, topic: str, timeout: float) -> None:
        pass

    def offsets_for_times(
        self, places: Iterable[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        self._site.scheduler.pause()
        logs = self._site.broker.logs
        return [
            TopicPartition(
                it.topic, it.partition, 0 if logs[it.topic, it.partition].entries else -1
            )
            for it in places
        ]

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float, *, cached: bool = False
    ) -> tuple[int, int]:
        partition = (place.topic, place.partition)
        if cached:  # the high watermark, whatever is read
            return 0, self._site.broker.logs[partition].end
        self._site.scheduler.pause()
        return 0, self._limit(partition)

    def poll(self, timeout: float) -> Any:
        """The first message; what else is there comes by `consume`."""
        if not self._ready:
            if not self._has_more():
                self._site.scheduler.block(self._has_more, max(timeout, 0.5))
            else:
                self._site.scheduler.pause()
            self._fetch()
        return self._ready.pop(0) if self._ready else None

    def consume(self, number: int, timeout: float) -> list[Any]:
        ready, self._ready = self._ready, []
        return ready

    def _limit(self, partition: Partition) -> int:
        log = self._site.broker.logs[partition]
        return log.stable if self._committed else len(log.entries)

    def _has_more(self) -> bool:
        told, broker = self._told, self._site.broker
        if broker.changes == self._up_to_date:
            return False
        for it in self._at:
            log = broker.logs[it]
            if told[it] < (log.stable if self._committed else log.end):
                return True
        self._up_to_date = broker.changes
        return False

    def _fetch(self) -> None:
        """All there is in each partition, or a part; the end is told for itself, or with it."""
        chosen = self._site.choices.next()
        for number, partition in enumerate(self._at):
            how = (chosen >> (2 * number)) & 3
            limit, at = self._limit(partition), self._at[partition]
            stop = min(at + 1, limit) if how == 1 else limit
            entries = self._site.broker.logs[partition].entries
            self._ready += [
                it.message
                for it in entries[at:stop]
                if it.message is not None and not (self._committed and not it.committed)
            ]
            self._at[partition] = stop
            if stop == limit and self._told[partition] < limit and (how != 2 or at == stop):
                self._told[partition] = limit
                self._ready.append(_End(partition, limit))
