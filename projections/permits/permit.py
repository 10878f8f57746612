"""The permit: what its events make of it, and which events may come next."""

from datetime import datetime

from pydantic import AwareDatetime, Field

from eventkit import Aggregate, apply
from projections.permits.events import PermitClosed, PermitReceived, StepCompleted


class NotAllowed(Exception):
    """The rules of the permit office forbid this; nothing was recorded."""


class Permit(Aggregate):
    """One application for a permit.

    The methods that decide refuse what must not happen; the `@apply` methods take what did happen
    as it comes, because history may hold steps that were completed after the closing.
    """

    channel: str = ""
    department: str = ""
    responsible: str = ""
    deadline: AwareDatetime | None = None
    steps: list[str] = Field(default_factory=list)
    closed: bool = False

    def receive(self, channel: str, department: str, responsible: str, deadline: datetime) -> None:
        """Take the application in.

        Raises:
            NotAllowed: it was received before.
        """
        if self.version:
            raise NotAllowed(f"{self.aggregate_id} was received before")
        self.record(
            PermitReceived(
                channel=channel, department=department, responsible=responsible, deadline=deadline
            )
        )

    def complete_step(self, step: str, task: str, group: str) -> None:
        """Note a step as done.

        Raises:
            NotAllowed: the permit was not received yet, or it is closed.
        """
        self._require_open()
        self.record(StepCompleted(step=step, task=task, group=group))

    def close(self) -> None:
        """End the handling.

        Raises:
            NotAllowed: the permit was not received yet, or it is closed.
        """
        self._require_open()
        self.record(PermitClosed())

    def _require_open(self) -> None:
        if not self.version:
            raise NotAllowed(f"{self.aggregate_id} was not received yet")
        if self.closed:
            raise NotAllowed(f"{self.aggregate_id} is closed")

    @apply
    def _received(self, event: PermitReceived) -> None:
        self.channel = event.channel
        self.department = event.department
        self.responsible = event.responsible
        self.deadline = event.deadline

    @apply
    def _step_completed(self, event: StepCompleted) -> None:
        self.steps.append(event.step)

    @apply
    def _closed(self, _event: PermitClosed) -> None:
        self.closed = True
