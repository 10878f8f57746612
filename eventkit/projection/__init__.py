"""Projections: read models built from events."""

from eventkit.projection.handlers import on
from eventkit.projection.progress import Progress
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.runner import Runner
from eventkit.projection.status import ProjectionStatus
from eventkit.projection.transaction import Transaction

__all__ = [
    "Progress",
    "Projection",
    "ProjectionStatus",
    "ReadModels",
    "Runner",
    "Transaction",
    "on",
]
