"""Where the effects of a projection begin, and of which log their checkpoints are."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from eventkit.projection.checkpoints import ALL_VERSIONS, effect_checkpoints
from eventkit.projection.dead_letters_table import Letters
from eventkit.projection.partition import Partition
from eventkit.projection.reports import Reports
from eventkit.projection.source import Source

_REASON = "its log was made anew, or is another cluster's"
_LOG = logging.getLogger(__name__)


def begin_effects(connection: Connection, projection: str, source: Source) -> dict[Partition, int]:
    """The checkpoints of the effects, made where there are none.

    Those of a projection that never had any begin at the end of the log. A partition that comes
    later is new, and so is all that is in it.

    A partition of another log begins at its end, too: its topic was deleted and made anew, or is
    a copy in another cluster, and whether its events had their effects is not known. The old
    checkpoint would skip as many of the events to come as there were before, and what is parked
    of the old log would hold up the new one.

    Parameters:
        connection: to the database, for one who alone begins checkpoints.
        projection: its name.
        source: the log, which is known to be the one that the read model is built from.
    """
    checkpoints = effect_checkpoints(projection)
    reports = Reports(projection, ALL_VERSIONS, ALL_VERSIONS)
    logs = {it: source.log(it) for it in source.partitions()}
    stored, known = checkpoints.read(connection), reports.read(connection)
    for partition, log in logs.items():
        if partition not in stored:
            place = source.start if stored else source.end
            checkpoints.begin(connection, partition, place(partition))
            continue
        changed = partition in known and known[partition].log != log
        if not log:  # a file has no id, but it does not get shorter
            changed = stored[partition].offset > source.end(partition)
        if changed:
            _begin_anew(connection, projection, partition, source)
    reports.begin(connection, logs)
    return {it: at.offset for it, at in checkpoints.read(connection).items()}


def _begin_anew(
    connection: Connection, projection: str, partition: Partition, source: Source
) -> None:
    end = source.end(partition)
    effect_checkpoints(projection).put(connection, partition, end)
    Reports(projection, ALL_VERSIONS, ALL_VERSIONS).forget(connection, partition)
    letters = Letters(projection, ALL_VERSIONS, "effect")
    parked = letters.discard_all(connection, partition, _REASON)
    _LOG.warning(
        "effects of %s: %s is another log than before; they begin after offset %d, its end. %d "
        "parked one(s) of the log before were discarded",
        projection,
        partition,
        end,
        parked,
    )
