"""Which events the read model does not hold: their effects wait, or never run."""

from __future__ import annotations

from sqlalchemy import Connection

from eventkit.events import RecordedEvent
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.dead_letters_identity import Discarded
from eventkit.projection.dead_letters_table import Letters
from eventkit.projection.partition import Partition
from eventkit.projection.projection import Projection, has_effects_alone
from eventkit.projection.read_models import ReadModels


class Holding:
    """Tells of events at which a handler failed, or that were given up.

    Events are parked in the transaction that moves the checkpoint past them. So once none is parked
    up to where the checkpoint is, none will be there, and what was given up there is known: one
    look is good for all events up to that place. While some are parked, a retry may apply them at
    any moment: it holds the lock on the checkpoint of the handlers, and who has the lock sees them
    before or after.

    Parameters:
        projection: whose handlers.
        models: the database.
        checkpoints: of the handlers.
    """

    def __init__(
        self, projection: Projection, models: ReadModels, checkpoints: Checkpoints
    ) -> None:
        self._models = models
        self._checkpoints = checkpoints
        self._letters = Letters(projection.name, projection.version)
        self._discarded = Discarded([], [])
        self._alone = has_effects_alone(projection)
        self._whole: dict[Partition, int] = {}

    def look(self, partition: Partition, up_to: int) -> None:
        """Learn what is parked or given up there, unless that is known.

        Parameters:
            partition: of the log.
            up_to: where the checkpoint of the handlers is.

        Raises:
            ReadModelError: the database cannot be read.
        """
        if self._alone or (partition in self._whole and self._whole[partition] >= up_to):
            return
        with self._models.connect() as connection:
            # In this order: what is given up between the two is not missed.
            none_parked = not self._letters.any_open(connection, partition)
            self._discarded = self._letters.discarded(connection)
        if none_parked:
            self._whole[partition] = up_to

    def holds_all(self, partition: Partition, offset: int) -> bool:
        """Whether no event is parked up to this one, as far as is known."""
        return self._alone or (partition in self._whole and self._whole[partition] >= offset)

    def leaves_out(self, recorded: RecordedEvent) -> bool:
        """Whether an event was given up."""
        return bool(self._discarded) and recorded in self._discarded

    def lock(self, connection: Connection, partition: Partition) -> None:
        """Keep retries away until the transaction ends, and learn what they gave up before.

        Raises:
            CheckpointMoved: the read model is another build by now.
        """
        if not self._alone:
            self._checkpoints.hold(connection, partition)
            self._discarded = self._letters.discarded(connection)

    def lacks(self, connection: Connection, aggregate_id: str, version: int) -> bool:
        """Whether an event is parked, or waits behind one of its aggregate that is."""
        return not self._alone and self._letters.is_parked_before(connection, aggregate_id, version)
