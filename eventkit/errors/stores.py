"""The event store itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from eventkit.errors.root import EventkitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class StoreError(EventkitError):
    """Something is wrong with the event store, not with what was asked of it."""


class StoreClosed(StoreError):
    """The store was closed, or belongs to another process."""

    def __init__(self, what: str, reason: str = "is closed; open it again with connect().") -> None:
        super().__init__(f"{what} {reason}")
        self.what = what

    @classmethod
    def by_fork(cls, what: str) -> Self:
        """The error of what was opened before `fork()`, in the child."""
        return cls(
            what,
            "was opened before fork() and belongs to the parent process. Close it before the fork "
            "and open it in each process, or start processes by 'spawn' or 'forkserver' of "
            "multiprocessing.",
        )


class StoreBusy(StoreError):
    """Others kept the store busy for longer than the time-out; this call wrote nothing."""

    retryable = True


class ReentrantCall(StoreError):
    """A signal handler called the store, and interrupted a call of it; its own was not made."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was called by a signal handler (or a finalizer) in the middle of another call "
            "of the same thread, for which it would wait for ever; so nothing was done. Set a flag "
            "in the handler, or raise SystemExit, and go on outside. If the handler lets this "
            "error out, it ends the interrupted call, too: read whether that took effect."
        )
        self.what = what


class StoreUnavailable(StoreError):
    """The store cannot be read or written now; the message says why and how to go on."""

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable


class KafkaUnavailable(StoreUnavailable):
    """No broker answers in time, or it does not let this client in."""

    retryable = True

    def __init__(self, bootstrap: str, reason: str) -> None:
        super().__init__(f"Kafka at {bootstrap} cannot be used: {reason}")
        self.bootstrap, self.reason = bootstrap, reason


class KafkaNotAllowed(KafkaUnavailable):
    """The user of Kafka lacks a permission; the message says which."""

    retryable = False


class CategoryAdded(StoreUnavailable):
    """The log has more categories than this store reads; it would go on without their events."""

    retryable = True

    def __init__(self, categories: Sequence[str]) -> None:
        super().__init__(
            f"the log has got more categories since the store was opened: {', '.join(categories)}. "
            "Open the store again to read them."
        )
        self.categories = tuple(categories)


class TopicUnsafe(StoreError):
    """A topic is missing, or could lose or reorder history; each finding says how to mend it."""

    def __init__(self, findings: Sequence[object]) -> None:
        super().__init__("\n".join(["the topics are not safe to use:", *map(str, findings)]))
        self.findings = tuple(findings)


class GroupTaken(StoreError):
    """Workers with another database of read models are in the consumer group of a projection."""

    def __init__(self, group: str, client_id: str, host: str) -> None:
        super().__init__(
            f"the consumer group {group} has a member that writes into another database of read "
            f"models: client id {client_id} at {host.removeprefix('/')}. Each database would get "
            "only a part of the events. Set group = '...' in the class of the projection that runs "
            "into this database, or give it another name; or stop the other one first."
        )
        self.group, self.client_id, self.host = group, client_id, host


class StoreCorrupted(StoreError):
    """The store's data is damaged."""


class NotAnEventStore(StoreError):
    """The file or address holds something else, or a newer format."""


class OutcomeUnknown(StoreError):
    """It cannot be told whether the append took effect; retry with the same event ids."""

    retryable = True

    def __init__(self, event_ids: Sequence[UUID], reason: str) -> None:
        super().__init__(
            f"it is not known whether the append of {len(event_ids)} event(s) took effect: "
            f"{reason}. Retry it with event_ids=error.event_ids: what is already there is not "
            "written twice."
        )
        self.event_ids, self.reason = tuple(event_ids), reason
