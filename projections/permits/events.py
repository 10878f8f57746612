"""What happens to an application for a permit, from its receipt to its closing."""

from pydantic import AwareDatetime, Field

from eventkit import Event


class PermitReceived(Event):
    """An application for a permit came in and somebody was made responsible for it."""

    channel: str = Field(description="How it came in, for example Internet, Desk or Post.")
    department: str = Field(description="The department that handles it.")
    responsible: str = Field(description="The employee who answers for it.")
    deadline: AwareDatetime = Field(description="When it must be decided, by law.")


class StepCompleted(Event):
    """An employee completed one step of the handling; a step can be completed more than once."""

    step: str = Field(description="What was done, as the work instructions call it.")
    task: str = Field(description="The entry of the to-do list that this step ticked off.")
    group: str = Field(description="The group of employees the step was assigned to.")


class PermitClosed(Event):
    """The handling of the application ended."""
