"""Projections: read models built from events."""

from eventkit.projection.dead_letters import DeadLetters, Retried
from eventkit.projection.dead_letters_table import DeadLetter
from eventkit.projection.handlers import effect, on
from eventkit.projection.progress import Progress
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.runner import Runner
from eventkit.projection.status import PartitionStatus, ProjectionStatus
from eventkit.projection.transaction import Transaction
from eventkit.projection.versions_of import Version, Versions

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "PartitionStatus",
    "Progress",
    "Projection",
    "ProjectionStatus",
    "ReadModels",
    "Retried",
    "Runner",
    "Transaction",
    "Version",
    "Versions",
    "effect",
    "on",
]
