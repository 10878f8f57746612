"""The versions of one projection in a database: what its operators compare and switch."""

from __future__ import annotations

from typing import NamedTuple

from eventkit.projection import diff as comparing
from eventkit.projection import versions_switch as switching
from eventkit.projection.builds import Role, State, projections_in
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.diff import VersionDiff
from eventkit.projection.read_models import ReadModels
from eventkit.projection.versions_switch import Switched


class Version(NamedTuple):
    """One version of a projection, as the database holds it.

    `tables` are what its tables are called there, `positions` how far each partition was read,
    `events` how many it handled. `role` and `state` are one of

    - live: readers read it; beside: it waits for a switch; previous: it was live before;
    - building, rebuilding: it has not been at the end of the log yet; ready: it has.
    """

    name: str
    version: int
    role: Role
    state: State
    events: int
    positions: dict[str, int]
    tables: tuple[str, ...]


class Versions:
    """The versions of a projection; none of its code is needed.

    Parameters:
        name: of the projection.
        models: where its tables are.
    """

    def __init__(self, name: str, models: ReadModels) -> None:
        self._name = name
        self._models = models

    def all(self) -> list[Version]:
        """Those that there are, the newest first."""
        return [it for it in versions_in(self._models) if it.name == self._name]

    def diff(
        self, *, sample: int | None = None, examples: int = 10, wait: float = 5.0
    ) -> VersionDiff:
        """Compare the live version with the one beside, or else with the previous one.

        Both are read as they are at one moment, in the database.

        Parameters:
            sample: compare this many rows of each table, chosen by chance; None compares all.
            examples: how many differing rows of each table to show.
            wait: seconds to wait until both have read the same part of the log.

        Raises:
            ProjectionError: there are no two versions to compare.
            ReadModelError: the database cannot be read.
        """
        return comparing.diff(self._models, self._name, sample=sample, examples=examples, wait=wait)

    def switch(self, *, force: bool = False, timeout: float = 60.0) -> Switched:
        """Let readers have the version beside; the live one is kept as the previous one.

        Readers see the one or the other, whole. A version that was kept until now is dropped.

        Parameters:
            force: also where the version has not caught up.
            timeout: seconds to wait for those who hold the tables.

        Raises:
            ProjectionError: there is none beside, or it is not ready; nothing was changed.
            ReadModelBusy: others held the tables for too long; nothing was changed.
        """
        return switching.switch(self._models, self._name, force=force, timeout=timeout)

    def rollback(self, *, force: bool = False, timeout: float = 60.0) -> Switched:
        """Let readers have the previous version again, and keep the live one as the previous one.

        Parameters and errors: as `switch`.
        """
        return switching.rollback(self._models, self._name, force=force, timeout=timeout)

    def drop(self, version: int | None = None, *, timeout: float = 60.0) -> int:
        """Remove a version that is not live, with all that is known of it; returns which.

        Parameters:
            version: which; None where there is but one.
            timeout: seconds to wait for those who hold its tables.

        Raises:
            ProjectionError: there is no such version, or it is live; nothing was changed.
            ReadModelBusy: others held the tables for too long; nothing was changed.
        """
        return switching.drop(self._models, self._name, version, timeout=timeout)


def versions_in(models: ReadModels) -> list[Version]:
    """All versions of all projections in a database; none where there is no database yet."""
    if not models.exists():
        return []
    found = []
    with models.connect() as connection:
        for name, builds in projections_in(connection).items():
            for build in builds:
                stored = Checkpoints(name, build.version, build.number).read(connection)
                found.append(
                    Version(
                        name,
                        build.version,
                        build.role,
                        build.state,
                        sum(checkpoint.events for checkpoint in stored.values()),
                        {str(it): stored[it].offset for it in sorted(stored)},
                        tuple(build.physical.values()),
                    )
                )
    return found
