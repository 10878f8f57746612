"""Settings of the Kafka clients: the user's, ours, and which of them nobody may change.

One dict of librdkafka's settings (TLS, SASL, client id and all else) goes to every client of a
store; its names and values are those of librdkafka's CONFIGURATION.md. What an append rests on is
set here, and a setting that contradicts it is refused. What only makes things faster is a default.

Nothing secret is ever shown: not by `repr`, not in an error, not in a log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from confluent_kafka import KafkaError, KafkaException

from eventkit.errors import InvalidSetting
from eventkit.kafka.offmain import off_main
from eventkit.masking import HIDDEN_NAMES, without

Setting = str | int | float | bool | Callable[..., object] | logging.Logger
Isolation = Literal["read_committed", "read_uncommitted"]

Settings = dict[str, Any]
"""Of one client of confluent_kafka."""

_T = TypeVar("_T")

_ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "compression.codec": "compression.type",
    "queue.buffering.max.ms": "linger.ms",
    "sasl.mechanism": "sasl.mechanisms",
    "message.timeout.ms": "delivery.timeout.ms",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "message.send.max.retries": "retries",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
}
"""Two names of one setting: librdkafka takes the one that comes last."""

_NEEDED_BY_PRODUCERS: dict[str, tuple[Setting, str]] = {
    "enable.idempotence": (True, "a record must not be written twice or out of order"),
    "acks": ("all", "what is acknowledged must survive the loss of a broker"),
    "delivery.report.only.error": (False, "the writer must learn where its records are"),
}
_NEEDED_BY_CONSUMERS: dict[str, tuple[Setting, str]] = {
    "check.crcs": (True, "a damaged record must be noticed"),
    "auto.offset.reset": ("error", "a gap in the log must be told, not skipped"),
    "enable.auto.commit": (False, "how far the log is read is stored with what was made of it"),
    "enable.auto.offset.store": (False, "how far the log is read is stored with the result"),
    "enable.partition.eof": (True, "a reader must learn that it is at the end"),
}
_NEEDED_BY_ALL: dict[str, tuple[Setting, str]] = {
    "allow.auto.create.topics": (False, "a topic is made by `eventkit topics create` alone"),
}
_NEEDED = _NEEDED_BY_PRODUCERS | _NEEDED_BY_CONSUMERS | _NEEDED_BY_ALL
"""What an append rests on, and why; other values are refused."""

_OURS = {
    "transactional.id": "each writer has its own",
    "isolation.level": "each client has the one it needs",
    "error_cb": "eventkit tells errors itself",
    "on_delivery": "the writer needs it",
    "on_commit": "eventkit does not commit offsets by itself",
    "default.topic.config": "write its settings beside the others",
}
"""What eventkit sets for each client, and why the user cannot."""

_FOR_ALL: dict[str, Setting] = {
    "client.id": "eventkit",
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 1_000,  # a broker that restarts is back in seconds; 10,000 else
    "retry.backoff.ms": 2,  # a transaction right after another has to be tried again; 100 else
}
_FOR_PRODUCERS: dict[str, Setting] = {
    "linger.ms": 0,  # the writer collects appends itself
    "transaction.timeout.ms": 10_000,  # how long a dead writer holds readers back if nobody helps
}
_FOR_CONSUMERS: dict[str, Setting] = {
    "group.id": "eventkit",  # librdkafka wants one; partitions are assigned, no group is joined
    "queued.max.messages.kbytes": 8_192,  # of memory, each consumer; 65,536 else
    "fetch.queue.backoff.ms": 2,  # before reading on when that memory was full; 1,000 else
    "fetch.error.backoff.ms": 50,  # 500 else
    "fetch.wait.max.ms": 100,  # how long the end of the log takes to be told; 500 else
}
_FOR_MEMBERS: dict[str, Setting] = {
    "partition.assignment.strategy": "roundrobin",
    "session.timeout.ms": 8_000,  # until the partitions of a dead worker go to others; 45,000 else
    "heartbeat.interval.ms": 500,  # how soon a change of the group is noticed; 3,000 else
}
"""Of the classic protocol of groups; KIP-848 leaves these to the brokers."""

_SHOWN = {"bootstrap.servers", "client.id", "security.protocol", "sasl.mechanisms", "group.id"}
"""Settings whose values are no secret and tell a reader which cluster it is."""
_SECRET = re.compile(rf"{HIDDEN_NAMES}|\.pem|\.key|oauthbearer|\.jks")

LOGGER = logging.getLogger("eventkit.kafka")
LOGGER.addHandler(logging.NullHandler())
LOGGER.addFilter(lambda record: "property and will be ignored by this" not in record.getMessage())
"""Takes librdkafka's log. One dict for all clients means that each gets settings of the others,
which librdkafka passes over and remarks on."""


def is_secret(name: str) -> bool:
    """Whether the value of a setting must never be shown."""
    return _SECRET.search(name) is not None


class KafkaSettings:
    """What the clients of one store are set to.

    Parameters:
        bootstrap: `host:port`, or several with commas.
        given: librdkafka's settings, for all clients of the store; also `logger`, `oauth_cb`,
            `stats_cb` and `throttle_cb` of confluent_kafka.
        options: those of the URL that say how to connect, for commands in messages.

    Raises:
        InvalidSetting: a setting contradicts what eventkit rests on, or is none.
    """

    def __init__(
        self,
        bootstrap: str,
        given: Mapping[str, Setting] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.bootstrap = bootstrap
        self._options = dict(options or {})
        self._given = _checked(given or {}, bootstrap)

    def producer(self, transactional_id: str | None, **callbacks: Callable[..., Any]) -> Settings:
        """For a producer; one without transactions where `transactional_id` is None."""
        own = {} if transactional_id is None else {"transactional.id": transactional_id}
        return self._merged(_FOR_PRODUCERS, _NEEDED_BY_PRODUCERS, own | callbacks)

    def consumer(self, isolation: Isolation, **callbacks: Callable[..., Any]) -> Settings:
        """For a consumer whose partitions are assigned."""
        own = {"isolation.level": isolation}
        return self._merged(_FOR_CONSUMERS, _NEEDED_BY_CONSUMERS, own | callbacks)

    def member(self, group: str, **callbacks: Callable[..., Any]) -> Settings:
        """For a consumer that joins a group and reads nothing; `group.protocol` is the user's."""
        own = {
            "group.id": group,
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",  # never used, as nothing is read; "error" would tell
            "enable.partition.eof": False,
        }
        classic = self._given.get("group.protocol", "classic") == "classic"
        defaults = _FOR_CONSUMERS | (_FOR_MEMBERS if classic else {})
        return self._merged(defaults, _NEEDED_BY_CONSUMERS, own | callbacks)

    def admin(self, **callbacks: Callable[..., Any]) -> Settings:
        """For an AdminClient."""
        return self._merged({}, {}, callbacks)

    def opened(self, client: Callable[[Settings], _T], settings: Settings) -> _T:
        """A client of confluent_kafka, made with settings that are its own.

        Raises:
            InvalidSetting: librdkafka does not take a setting.
        """
        try:
            return off_main(lambda: client(settings))
        except (KafkaException, TypeError, ValueError) as error:
            # The cause stays out: it might show what must not be shown.
            raise InvalidSetting(self.masked(_text_of(error))) from None

    @property
    def protocol(self) -> str:
        """What is spoken with the brokers, in capitals as Kafka writes it."""
        return str(self._given.get("security.protocol", "plaintext")).upper()

    def url(self, prefix: str = "") -> str:
        """The URL of a log on this cluster, as a command takes it; there are no secrets in it."""
        options = {"prefix": prefix, **self._options} if prefix else self._options
        query = urlencode(options, safe="/:,")
        return f"kafka://{self.bootstrap}{'?' if query else ''}{query}"

    def masked(self, text: str) -> str:
        """The text without any of the secret values."""
        given = self._given.items()
        return without([it for name, it in given if is_secret(name) and isinstance(it, str)], text)

    def __repr__(self) -> str:
        shown = (
            f"{name}={value!r}" if name in _SHOWN else f"{name}=***"
            for name, value in sorted(self._given.items())
        )
        return f"{type(self).__name__}({', '.join([repr(self.bootstrap), *shown])})"

    def _merged(
        self,
        defaults: Mapping[str, Setting],
        needed: dict[str, tuple[Setting, str]],
        own: Mapping[str, Any],
    ) -> Settings:
        fixed = {name: value for name, (value, _) in (needed | _NEEDED_BY_ALL).items()}
        servers = {"bootstrap.servers": self.bootstrap, "logger": LOGGER}
        return {**_FOR_ALL, **defaults, **servers, **self._given, **fixed, **own}


def _checked(given: Mapping[str, Setting], bootstrap: str) -> dict[str, Setting]:
    """The settings under their first names; all are usable and contradict nothing."""
    settings: dict[str, Setting] = {}
    for alias, value in given.items():
        name = _ALIASES.get(alias, alias)
        if name in _OURS:
            raise InvalidSetting(f"{alias} cannot be set: {_OURS[name]}")
        if not isinstance(value, str | int | float | logging.Logger) and not callable(value):
            raise InvalidSetting(f"{alias} is a text, a number or a bool, not {_kind(value)}")
        settings[name] = value
    for name, (needed, why) in _NEEDED.items():
        if name in settings and not _same(settings.pop(name), needed):
            raise InvalidSetting(f"{name} must stay {_text(needed)}: {why}")
    if settings.pop("bootstrap.servers", bootstrap) != bootstrap:
        raise InvalidSetting("bootstrap.servers is told by the URL of the store; leave it out here")
    return settings


def _same(value: Setting, needed: Setting) -> bool:
    text = _text(value)
    return text == _text(needed) or (needed == "all" and text == "-1")


def _text(value: Setting) -> str:
    """A value as librdkafka reads it."""
    return str(value).strip().lower()


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _text_of(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    text = str(cause.str() if isinstance(cause, KafkaError) else cause)
    return f"{text}. The names and values are those of librdkafka's CONFIGURATION.md"
