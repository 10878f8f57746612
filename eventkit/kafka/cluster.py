"""A connection to a cluster for what is done once in a while: looking at topics and making them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from time import monotonic, sleep
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from eventkit.errors import KafkaUnavailable
from eventkit.kafka.failures import failure, hangs_up, is_hopeless
from eventkit.kafka.gate import TopicState
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.trial import Trial

_T = TypeVar("_T")
_POLL = 0.02
"""Seconds between two looks at an answer."""
_ANSWER = 1.0
"""Seconds for which a caller waits for a new client to find a broker."""
_SILENT = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._NOENT}  # noqa: SLF001
"""What a client tells that no broker answers."""
_PATIENCE = 2.0
"""Seconds after which a port that closes all connections is taken for one of another protocol."""


_NONE: Mapping[str, str] = {}


class Cluster:
    """Looks at topics and makes them; none is ever made unasked.

    It keeps its client: an AdminClient that is let go of fails the answers that are still to come.

    Parameters:
        settings: how to connect.
        timeout: seconds that the brokers may take for one call.
    """

    def __init__(self, settings: KafkaSettings, *, timeout: float = 10.0) -> None:
        self.settings = settings
        self.timeout = timeout
        self._error: KafkaError | None = None
        self._renewing = threading.Lock()
        self._trial: Trial[AdminClient] | None = None
        self.admin = self._made()

    def _made(self) -> AdminClient:
        return self.settings.opened(AdminClient, self.settings.admin(error_cb=self._on_error))

    def renewed(self, lost: AdminClient) -> AdminClient:
        """The client to go on with after one that no broker answers: a new one, if one does that.

        See `Lookout` for how a client comes to lose all brokers. One is tried for all threads that
        ask, each of which waits for a second at most; who asks later may find that it is there.
        """
        with self._renewing:
            if self.admin is lost and self._trial is None:
                with suppress(RuntimeError):  # no more threads can be had
                    self._trial = Trial(self._made, lambda _: None)
            trial = self._trial
        is_over = trial is not None and trial.is_over(_ANSWER)
        with self._renewing:
            if trial is not None and trial is self._trial and is_over:
                fresh, self._trial = trial.taken(), None
                if fresh is not None and self.admin is lost:
                    self.admin, self._error = fresh, None
            return self.admin

    def describe(self, topics: Sequence[str]) -> dict[str, TopicState]:
        """Those of the topics that are there.

        Raises:
            KafkaUnavailable: no answer in time, or not for this user.
        """
        asked = self.admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=self.timeout
        )
        found = self._answers(asked, "describing topics", KafkaError.UNKNOWN_TOPIC_OR_PART)
        settings = self._settings_of(found)
        return {
            name: TopicState(
                str(topic.topic_id),
                len(topic.partitions),
                min([len(partition.replicas) for partition in topic.partitions]),
                settings[name],
            )
            for name, topic in found.items()
            if name in settings
        }

    def brokers(self) -> int:
        """How many brokers there are.

        Raises:
            KafkaUnavailable: no answer in time, or not for this user.
        """
        asked = self.admin.describe_cluster(request_timeout=self.timeout)
        return len(self._answers({"": asked}, "describing the cluster")[""].nodes)

    def create(self, topics: Sequence[NewTopic]) -> list[str]:
        """Make those of the topics that are not there yet; returns their names.

        Raises:
            InvalidInput: the cluster cannot have such a topic.
            KafkaUnavailable: no answer in time, or not for this user.
        """
        asked = self.admin.create_topics(list(topics), request_timeout=self.timeout)
        return list(self._answers(asked, "creating topics", KafkaError.TOPIC_ALREADY_EXISTS))

    def awaited(self, topic: str, settings: Mapping[str, str] = _NONE) -> TopicState:
        """A topic that was made just now, as soon as the broker that is asked knows of it.

        Parameters:
            topic: its name.
            settings: some that it was made with; a broker may know them later than the topic.

        Raises:
            KafkaUnavailable: no answer in time, or not for this user.
        """
        deadline = monotonic() + self.timeout
        while monotonic() < deadline:
            found = self.describe([topic]).get(topic)
            if found is not None and settings.items() <= found.settings.items():
                return found
            sleep(_POLL)
        raise KafkaUnavailable(self.settings.bootstrap, f"{topic} was made, and is not there.")

    def _settings_of(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        asked = self.admin.describe_configs(resources, request_timeout=self.timeout)
        answers = self._answers(
            {resource.name: future for resource, future in asked.items()},
            "reading the settings of topics",
            KafkaError.UNKNOWN_TOPIC_OR_PART,  # it is just being made: it is not there yet
        )
        return {
            name: {entry.name: entry.value or "" for entry in entries.values()}
            for name, entries in answers.items()
        }

    def _answers(
        self, asked: Mapping[str, Future[_T]], doing: str, without: int | None = None
    ) -> dict[str, _T]:
        """The answers to a call, leaving out those that are the error `without`."""
        found: dict[str, _T] = {}
        for name, future in asked.items():
            self._wait(future, doing)
            try:
                found[name] = future.result(0)
                self._error = None
            except KafkaException as error:
                answer: KafkaError = error.args[0]
                if answer.code() != without:
                    if answer.code() in _SILENT:
                        self.renewed(self.admin)
                    raise failure(
                        self._better(answer), f"{doing} ({name})", self.settings
                    ) from error
        return found

    def _wait(self, future: Future[_T], doing: str) -> None:
        deadline = monotonic() + self.timeout + 1.0  # librdkafka tells of its own time-out
        patience = monotonic() + _PATIENCE
        while not wait([future], _POLL).done:
            self.admin.poll(0)  # calls `_on_error`
            if self._error is not None and (
                is_hopeless(self._error) or (monotonic() > patience and hangs_up(self._error))
            ):
                raise failure(self._error, doing, self.settings)
            if monotonic() > deadline:
                raise KafkaUnavailable(self.settings.bootstrap, f"{doing}: there is no answer.")

    def _better(self, error: KafkaError) -> KafkaError:
        """The reason for a time-out, where the connection told one."""
        if error.code() == KafkaError._TIMED_OUT and self._error is not None:  # noqa: SLF001
            return self._error
        return error

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._error is None:  # noqa: SLF001
            self._error = error
