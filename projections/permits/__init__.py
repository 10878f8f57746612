"""The permit office: `eventkit --app projections.permits` knows all that is named here."""

from projections.permits.audit_trail import AuditTrail
from projections.permits.events import PermitClosed, PermitReceived, StepCompleted
from projections.permits.open_permits import OpenPermits
from projections.permits.permit import NotAllowed, Permit
from projections.permits.step_times import StepTimes

__all__ = [
    "AuditTrail",
    "NotAllowed",
    "OpenPermits",
    "Permit",
    "PermitClosed",
    "PermitReceived",
    "StepCompleted",
    "StepTimes",
]
