"""A check-up of a log on Kafka: brokers, topics, permissions, what holds readers up.

Nothing is written to a topic. For the permission to write in transactions a transaction
coordinator is asked for a new `transactional.id`, which it forgets by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from shlex import quote
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, OffsetSpec

from eventkit.errors import EventkitError, KafkaNotAllowed, StoreError
from eventkit.health.checks import Check, disk_space, ok, problem, warning, writable
from eventkit.kafka.checking.release import release_at
from eventkit.kafka.checking.stalled import Stalled, stalled
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.failures import failure, said
from eventkit.kafka.gate import Severity
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import LogId, is_index, progress_of
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from eventkit.sqlite.failures import translated
from eventkit.sqlite.readonly import open_readonly

_GUIDE = "eventkit/kafka/SECURITY.md says which permissions each role needs"
_START = "see that the brokers run, or say where they are with --store kafka://HOST:PORT"
_AHEAD = 5.0
"""Seconds by which a broker's clock may be ahead of this host's."""
_FOREVER = 15.0
"""Seconds after which no transaction of eventkit's is open any more: theirs end after 10."""
_READ = ("Read", "DescribeConfigs")
_WRITE = ("Read", "Write", "DescribeConfigs")
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class KafkaCheckup:
    """Looks at all that a store on Kafka needs.

    Parameters:
        settings: how to connect.
        names: of the topics.
        index: the file of the index, if there is to be one.
        writes: whether this user is to append, too.
        timeout: seconds that the brokers may take for one answer.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        names: Names,
        index: Path | None,
        *,
        writes: bool,
        timeout: float = 5.0,
    ) -> None:
        self._settings = settings
        self._names = names
        self._index = index
        self._writes = writes
        self._timeout = timeout
        self._cluster = Cluster(settings, timeout=timeout)
        self._topics = Topics(self._cluster, names)
        self._ends = Ends(self._cluster, timeout=timeout)
        self._nodes: tuple[str, ...] = ()
        self._categories: list[str] = []

    def run(self) -> Iterator[Check]:
        """Look, line by line."""
        yield ok("client", f"librdkafka {confluent_kafka.libversion()[0]}, confluent-kafka "
                 f"{confluent_kafka.version()}")  # fmt: skip
        yield from self._safely("brokers", self._brokers, unusable=True)
        if not self._nodes:
            return
        yield from self._safely("permissions", self._permissions)
        yield from self._safely("topics", self._checked_topics, unusable=True)
        if self._categories:
            yield from self._safely("replicas", self._replicas)
            yield from self._safely("clocks", self._clocks)
            yield from self._safely("transactions", self._transactions)
            if self._index is not None:
                yield from self._safely("index", self._index_file)
        yield from self._safely("disk space", self._disk)

    def _safely(
        self, what: str, look: Callable[[], Iterable[Check]], *, unusable: bool = False
    ) -> Iterator[Check]:
        try:
            yield from look()
        except KafkaException as error:
            told = str(failure(error.args[0], f"asking about {what}", self._settings))
            yield problem(what, told, _GUIDE, unusable=unusable)
        except (EventkitError, TimeoutError) as error:
            told = str(error) or "no answer in time"
            fix = _GUIDE if isinstance(error, KafkaNotAllowed) else _START
            yield problem(what, told, fix, unusable=unusable)
        except OSError as error:  # of a file or folder: what was seen before is told all the same
            where = error.filename or "the file"
            told = f"{where} cannot be looked at: {error.strerror or error}"
            yield problem(what, told, f"see that this user may read and write {where}")

    def _brokers(self) -> Iterator[Check]:
        self._cluster.brokers()  # raises with the reason
        found = self._cluster.admin.describe_cluster(request_timeout=self._timeout)
        nodes = found.result(self._timeout + 1).nodes
        self._nodes = tuple(f"{node.host}:{node.port}" for node in nodes)
        for node, address in zip(nodes, self._nodes, strict=True):
            yield self._broker(f"broker {node.id_string} at {address}", address, known=True)
        for address in self._settings.bootstrap.split(","):
            if address not in self._nodes:
                yield self._broker(f"bootstrap address {address}", address, known=False)

    def _broker(self, what: str, address: str, *, known: bool) -> Check:
        errors: list[KafkaError] = []
        settings = self._settings.admin(error_cb=errors.append)
        # On its own: a client that knows other brokers would ask any of them.
        admin = AdminClient(settings | {"bootstrap.servers": address})
        try:
            admin.list_topics(self._names.registry, timeout=self._timeout)
        except KafkaException as error:
            admin.poll(0)  # calls `error_cb`
            told = self._settings.masked(said(errors[0] if errors else error.args[0]))
            fix = (
                "see that it runs, and that this host reaches the address in its "
                "advertised.listeners"
                if known
                else "see that it runs, or leave the address out of --store"
            )
            return problem(what, told, fix)
        return ok(what, self._release(address))

    def _release(self, address: str) -> str:
        if self._settings.protocol not in {"PLAINTEXT", "SASL_PLAINTEXT"}:
            return "it answers; over TLS it does not tell its release"
        try:
            return f"it answers; Kafka {release_at(address)}"
        except (OSError, ValueError):
            return "it answers; it does not tell its release"

    def _checked_topics(self) -> Iterator[Check]:
        names = self._names
        categories = self._topics.categories()
        if not categories:
            fix = self._topics.how_to_create("CATEGORY")
            yield problem("topics", "no category has topics here", fix, unusable=True)
            return
        self._categories = categories
        findings = self._topics.check(categories)
        for it in findings:
            what = f"topic {it.topic}"
            if it.severity is Severity.REFUSE:
                yield problem(what, it.problem, it.fix, unusable=True)
            else:
                yield warning(what, it.problem, it.fix)
        wrong = {it.topic for it in findings}
        topics = [names.registry]
        topics += [name(it) for it in categories for name in (names.events, names.snapshots)]
        for topic, state in self._cluster.describe(topics).items():
            if topic not in wrong:
                recorded = ", as recorded" if self._topics.registry.topic(topic) else ""
                yield ok(
                    f"topic {topic}",
                    f"{state.partitions} partition(s){recorded}, {state.replicas} replica(s), "
                    f"min.insync.replicas {state.settings.get('min.insync.replicas', '1')}",
                )

    def _replicas(self) -> Iterator[Check]:
        topics = self._all_topics()
        states = self._cluster.describe(topics)
        known = self._cluster.admin.list_topics(timeout=self._timeout).topics
        sound = True
        for topic in states:
            needed = int(states[topic].settings.get("min.insync.replicas", "1"))
            for number, part in sorted(known[topic].partitions.items()):
                what, copies, alive = f"replicas of {topic}/{number}", part.replicas, part.isrs
                gone = ", ".join(str(it) for it in copies if it not in alive)
                sound = sound and part.leader >= 0 and not gone
                fix = f"start broker {gone} again, and wait until it has caught up"
                if part.leader < 0:
                    yield problem(what, "it has no leader", fix, unusable=True)
                elif len(alive) < needed:
                    told = f"{len(alive)} in sync, and {needed} are needed to append"
                    yield problem(what, told, fix)
                elif gone:
                    yield warning(what, f"{len(alive)} of {len(copies)} in sync", fix)
        if sound:
            yield ok("replicas", "all partitions have a leader, and all their replicas in sync")

    def _clocks(self) -> Iterator[Check]:
        """The newest record's time is the broker's; it cannot lie in the future of this host."""
        parts = list(self._partitions())
        newest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        asked = self._cluster.admin.list_offsets(
            {TopicPartition(*it): newest for it in parts}, request_timeout=self._timeout
        )
        stamps = [it.result(self._timeout + 1).timestamp for it in asked.values()]
        latest = max(stamps, default=-1) / 1000
        ahead = latest - time.time()
        if latest < 0:
            yield ok("clocks", "nothing was appended yet, by which they could be compared")
        elif ahead > _AHEAD:
            told = f"the newest record is stamped {ahead:,.1f} s in the future of this host"
            yield warning("clocks", told, "timedatectl set-ntp true, on this host and the brokers")
        else:
            yield ok("clocks", "no record is from the future; Kafka does not tell more")

    def _permissions(self) -> Iterator[Check]:
        admin = self._cluster.admin
        names = self._all_topics()
        asked = admin.describe_topics(
            TopicCollection(names), include_authorized_operations=True,
            request_timeout=self._timeout,
        )  # fmt: skip
        needed = _WRITE if self._writes else _READ
        lacking: dict[str, list[str]] = {}
        for name, answer in asked.items():
            try:
                allowed = answer.result(self._timeout + 1).authorized_operations or ()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # told with the topics
                lacking[name] = list(needed)
                continue
            missing = [it for it in needed if _OPERATIONS[it] not in allowed]
            if missing:
                lacking[name] = missing
        role = "append" if self._writes else "read"
        for name, missing in lacking.items():
            only_time = name.endswith(".snapshots")  # without them aggregates are folded anew
            make = warning if only_time else problem
            told = f"this user lacks {', '.join(missing)}, to {role}"
            yield make(f"permissions on {name}", told, self._acl(missing, f"--topic {name}"))
        if not lacking:
            yield ok("permissions on topics", f"this user may {role}")
        if self._writes:
            yield self._transactional_id()

    def _transactional_id(self) -> Check:
        what = "permission for transactions"
        name = f"eventkit-doctor-{uuid4()}"
        settings = self._settings.producer(name, error_cb=lambda _: None)
        try:
            producer = self._settings.opened(Producer, settings)
            producer.list_topics(self._names.registry, timeout=self._timeout)
            producer.init_transactions(self._timeout)
        except KafkaException as error:
            told = str(failure(error.args[0], "opening a producer", self._settings))
            where = "--transactional-id eventkit- --resource-pattern-type prefixed"
            return problem(what, told, self._acl(["Write"], where))
        with suppress(KafkaException):
            producer.purge(blocking=False)
        return ok(what, "this user may write under ids that begin with eventkit-")

    def _acl(self, operations: Iterable[str], where: str) -> str:
        user = self._settings.admin().get("sasl.username", "NAME")
        return (
            f"kafka-acls.sh --bootstrap-server {self._settings.bootstrap} --add --allow-principal "
            f"{quote(f'User:{user}')} {' '.join(f'--operation {it}' for it in operations)} {where}"
        )

    def _transactions(self) -> Iterator[Check]:
        found = stalled(self._settings, self._ends, list(self._partitions()), self._timeout)
        for it in found:
            yield self._held_up(it)
        if not found:
            yield ok("transactions", "none holds readers up")

    def _held_up(self, it: Stalled) -> Check:
        topic, part = it.partition
        told = (
            f"{it.behind:,} offsets from {it.offset} on cannot be read: the transaction of "
            f"{it.writer or 'a producer that is none of eventkit'} is open for {it.age:,.0f} s"
        )
        fix = (
            f"kafka-transactions.sh --bootstrap-server {self._settings.bootstrap} abort --topic "
            f"{topic} --partition {part} --start-offset {it.offset}"
        )
        if it.writer:
            fix = f"open any store that may append, which ends it within seconds; or {fix}"
        make = problem if it.age > _FOREVER else warning
        return make(f"transactions in {topic}/{part}", told, fix)

    def _index_file(self) -> Iterator[Check]:
        assert self._index is not None  # noqa: S101 - that is why it is called
        path, what = self._index, f"index {self._index}"
        yield writable(path)
        if not path.exists():
            yield ok(what, "it is not there yet, and is made when a store is opened")
            return
        anew = f"rm {path}*, while no process uses it: the index is built again from Kafka"
        registry = self._topics.registry
        records = {it: registry.topic(it) for it in map(self._names.events, self._categories)}
        ids = {topic: it.topic_id for topic, it in records.items() if it is not None}
        try:
            with closing(open_readonly(path)) as connection, translated(str(path)):
                if not is_index(connection, LogId(self._names.registry, ids)):
                    told = "it is of another log or an older eventkit, and will be made anew"
                    yield warning(what, told, anew)
                    return
                progress = progress_of(connection)
        except StoreError as error:
            yield problem(what, str(error), "name another file with index=", unusable=True)
            return
        ends = self._ends(self._partitions(), committed=True)
        behind = sum(
            max(0, end - progress[it].decided) if it in progress else end
            for it, end in ends.items()
        )
        yield ok(what, f"it is of this log, and {behind:,} offsets behind its end")

    def _disk(self) -> Iterator[Check]:
        """Of the folder of the index, or where a store without one makes it."""
        yield disk_space((self._index or Path(gettempdir(), "x")).absolute().parent)

    def _all_topics(self) -> list[str]:
        """Those of the log that are recorded, or can be seen by this user, who may see little."""
        names = self._names
        known: Mapping[str, Any] = self._cluster.admin.list_topics(timeout=self._timeout).topics
        found = {it for it in map(names.category_of, known) if it is not None}
        with suppress(EventkitError):
            found.update(self._topics.categories())
        topics = [name(it) for it in sorted(found) for name in (names.events, names.snapshots)]
        return [names.registry, *topics]

    def _partitions(self) -> Iterator[Partition]:
        topics = map(self._names.events, self._categories)
        for topic, state in self._cluster.describe(list(topics)).items():
            for part in range(state.partitions):
                yield topic, part
