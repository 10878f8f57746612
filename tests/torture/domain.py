"""What the clients of the rig record, and what is folded from it."""

from hashlib import sha256

from eventkit import Aggregate, Event, apply

CATEGORY = "note"


class Jotted(Event):
    token: str  # that of no other event


class Note(Aggregate):
    """Holds a chain of hashes: the same only after the same events in the same order."""

    events: int = 0
    chain: str = ""

    @apply
    def _jotted(self, event: Jotted) -> None:
        self.events += 1
        self.chain = chained(self.chain, event.token)


def chained(chain: str, token: str) -> str:
    """The chain with one more token."""
    return sha256(f"{chain} {token}".encode()).hexdigest()[:16]
