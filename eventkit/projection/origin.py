"""Whether a read model was built from the log that is read now."""

from __future__ import annotations

from eventkit.projection.source import Partition, Source


def other_log(source: Source, partition: Partition, offset: int, log: str | None) -> str | None:
    """In words, why a checkpoint is not of this log; None where it is.

    Parameters:
        source: the log.
        partition: one of those that it has.
        offset: where the checkpoint is.
        log: which one was read, as `Source.log` told it then; None where that was not noted.

    Raises:
        StoreUnavailable: it cannot be found out.
    """
    if log is not None and log != source.log(partition):
        return (
            f"the topic {partition.topic} was deleted and made anew since, or is another "
            "cluster's; the read model was built from the one of before"
        )
    if not source.reaches(partition, offset):
        return (
            f"its checkpoint is at {offset:,} and the log of this store ends at "
            f"{source.end(partition):,}; the read model was built from another store, or from this "
            "one before it was restored from an older backup"
        )
    return None
