"""What Kafka's errors mean to a user of the store."""

from __future__ import annotations

import re

from confluent_kafka import KafkaError, KafkaException

from eventkit.errors import (
    EventkitError,
    InvalidInput,
    KafkaNotAllowed,
    KafkaUnavailable,
    StoreUnavailable,
)
from eventkit.kafka.settings import KafkaSettings

_NOISE = re.compile(r" \(after \d+ms in state \w+[^)]*\)|/bootstrap(?=: )|^Broker: ")
_LOGIN, _TLS = "sasl.username, sasl.password and the like", "security.protocol and ssl.ca.location"
_CHECK = {
    KafkaError._AUTHENTICATION: _LOGIN,  # noqa: SLF001 - its public name
    KafkaError.SASL_AUTHENTICATION_FAILED: _LOGIN,
    KafkaError._SSL: _TLS,  # noqa: SLF001 - its public name
}
_NOT_REACHED = {
    KafkaError._TIMED_OUT,  # noqa: SLF001 - its public name
    KafkaError._TRANSPORT,  # noqa: SLF001 - its public name
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - its public name
    KafkaError._RESOLVE,  # noqa: SLF001 - its public name
    KafkaError.REQUEST_TIMED_OUT,
}
_NOT_ALLOWED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_REFUSED = {
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_REQUEST,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_EXCEPTION,
}


_LASTING = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - its public name
}
"""Errors of a consumer that waiting does not mend, though librdkafka goes on trying."""

_GIVE = "have it given with kafka-acls.sh; eventkit/kafka/SECURITY.md says which ones are needed"
_HINTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: f"the user lacks a permission on the topic, {_GIVE}",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the user may not write under "
    f"transactional ids that begin with eventkit-, {_GIVE}",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: f"the user lacks a permission on the cluster, {_GIVE}",
    KafkaError.GROUP_AUTHORIZATION_FAILED: f"the user may not read as this consumer group, {_GIVE}",
    KafkaError._BAD_COMPRESSION: "a batch is damaged, or unpacks to more than "  # noqa: SLF001
    "receive.message.max.bytes; no writer of ours does that. Read on with "
    "?receive.message.max.bytes=2000000000 in the URL of every process; "
    "eventkit/kafka/SECURITY.md says how to keep such batches out",
}


def said(error: KafkaError) -> str:
    """What an error says, and what to do where that is known, as for a missing permission."""
    text = _NOISE.sub("", error.str()).rstrip(".")
    hint = _HINTS.get(error.code())
    return text if hint is None else f"{text}: {hint}"


def check_readable(error: KafkaError, topic: str | None, part: int | None) -> bool:
    """Whether to go on reading in silence after an error of a consumer; False: it may pass.

    No group is joined, so nobody needs a permission for one.

    Raises:
        StoreUnavailable: it will not pass.
    """
    if error.fatal() or error.code() in _LASTING:
        raise StoreUnavailable(f"{topic}/{part} cannot be read: {said(error)}.") from (
            KafkaException(error)
        )
    return error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def is_not_allowed(error: BaseException) -> bool:
    """Whether the user lacks a permission."""
    return isinstance(error, KafkaException) and error.args[0].code() in _NOT_ALLOWED


def is_hopeless(error: KafkaError) -> bool:
    """Whether waiting cannot help: the brokers do not let this client in."""
    return error.code() in _CHECK


def hangs_up(error: KafkaError) -> bool:
    """Whether a broker takes connections and closes them again: it may expect another protocol.

    One that is away refuses them, which is another error.
    """
    return error.code() == KafkaError._ALL_BROKERS_DOWN or "SSL handshake failed" in error.str()  # noqa: SLF001


def failure(error: KafkaError, doing: str, settings: KafkaSettings) -> EventkitError:
    """Our error for one of Kafka's.

    Parameters:
        error: Kafka's.
        doing: what failed, as `creating the topic task.events`.
        settings: of the client, whose secrets the message leaves out.
    """
    code, where = error.code(), settings.bootstrap
    text = settings.masked(_NOISE.sub("", error.str())).rstrip(".")
    if code in _NOT_ALLOWED:
        return KafkaNotAllowed(
            where,
            f"{doing} failed: {settings.masked(said(error))}.",
        )
    if code in _CHECK:
        return KafkaUnavailable(where, f"{text}. Check {_CHECK[code]}.")
    if hangs_up(error):
        return KafkaUnavailable(
            where,
            f"{doing} failed: the brokers close every connection ({text}). Is security.protocol "
            f"the one of that port? It is {settings.protocol} here.",
        )
    if code in _NOT_REACHED:
        return KafkaUnavailable(
            where,
            f"{doing} failed: {text}. Is a broker up there, and is security.protocol the one of "
            "that port?",
        )
    if code in _REFUSED:
        return InvalidInput(f"{doing} is refused by Kafka at {where}: {text}.")
    return StoreUnavailable(f"{doing} failed at Kafka {where}: {text}.")
