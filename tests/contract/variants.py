"""An aggregate as its code looked before and after a change."""

from typing import Any

SOURCE = '''
from eventkit import Aggregate, Event, apply

WEIGHT = 1

class CrateFilled(Event):
    items: int
    each: int = 1

def weight(items: int) -> int:
    """What some items weigh."""
    return items * WEIGHT

class Crate(Aggregate):
    """A crate and what is in it."""

    total: int = 0

    @apply
    def _filled(self, event: CrateFilled) -> None:
        self.total += weight(event.items) * event.each
'''

CHANGES = {
    "apply method": ("self.total += weight", "self.total += 1 + weight"),
    "helper function": ("return items * WEIGHT", "return items + WEIGHT"),
    "constant": ("WEIGHT = 1", "WEIGHT = 2"),
    "default of an event": ("each: int = 1", "each: int = 3"),
    "start of the state": ("total: int = 0", "total: int = 10"),
    "field of another type": ("total: int = 0", "total: float = 0.5"),
    "one field more": ("total: int = 0", "total: int = 0\n    label: str = 'new'"),
}
"""What a change of the code replaces by what."""


def crate(change: str | None = None) -> Any:
    """Return the module that the source makes, with one of the changes."""
    source = SOURCE
    if change is not None:
        before, after = CHANGES[change]
        assert source.count(before) == 1
        source = source.replace(before, after)
    module: dict[str, Any] = {"__name__": "tests.contract.crate"}
    exec(compile(source, "crate.py", "exec", dont_inherit=True), module)  # noqa: S102 - our own text
    return module
