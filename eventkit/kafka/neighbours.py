"""Who else is in a consumer group: all must write into the same database of read models.

A group is known by its name alone. Were workers of two databases in it, each would get a part of
the partitions, and neither read model would ever be whole. So each member tells in its client id
which database it writes into, and looks at those of the others: before it joins, and now and then.

- The others are there: the new one does not join. They notice nothing.
- Both join at the same moment: each sees the other at its next look. The one whose database has
  the lower id stays, so that one of the two goes on.
- One was frozen, was taken for dead, and comes back: as at the same moment.
- Members of an eventkit that does not tell its database are left alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from confluent_kafka import KafkaException

from eventkit.errors import GroupTaken
from eventkit.kafka.failures import is_not_allowed, said
from eventkit.kafka.membership import Look
from eventkit.kafka.settings import KafkaSettings

log = logging.getLogger("eventkit.kafka")

_AGAIN = 15.0
"""Seconds between two looks; one takes some 0.1 s of processor time."""
_TIMEOUT = 5.0
"""Seconds that an answer may take; without one, the next look tells."""
_POLL = 0.05
_DATABASE = re.compile(r"-models-([0-9a-f]{16})$")


class _Other(NamedTuple):
    """A member that writes into another database."""

    database: str
    client_id: str
    host: str


class Neighbours:
    """Looks at the members of a group.

    Attributes:
        trouble: why the last look failed, as one does while no broker answers; None if it did not.

    Parameters:
        settings: how to connect.
        group: its name.
        database: what tells the database of read models from others, 16 hexadecimal digits.
    """

    def __init__(self, settings: KafkaSettings, group: str, database: str) -> None:
        self._settings = settings
        self._group = group
        self._database = database
        self._look: Look | None = None
        self._next = 0.0
        self._may_look = True
        self.trouble: str | None = None

    def client_id(self, of: str) -> str:
        """A client id that tells the others which database this is."""
        return f"{of}-models-{self._database}"

    def check_before(self, is_over: Callable[[], bool]) -> None:
        """See that nobody is there who writes into another database; waits for the answer.

        Parameters:
            is_over: asked meanwhile; ends it.

        Raises:
            GroupTaken: somebody is.
        """
        deadline = monotonic() + 2 * _TIMEOUT
        self._ask()
        while self._look is not None and not is_over() and monotonic() < deadline:
            self._look.wait(_POLL)
            for other in self._others():
                raise self._taken(other)

    def check(self) -> None:
        """The same, for one who is in the group; it never waits, and looks now and then.

        Raises:
            GroupTaken: somebody is, and it is not for them to leave.
        """
        if self._look is None and monotonic() >= self._next:
            self._ask()
        for other in self._others():
            if other.database < self._database:
                raise self._taken(other)
            log.error("%s The others are to leave.", self._taken(other))

    def _ask(self) -> None:
        if not self._may_look:
            return
        self._next = monotonic() + _AGAIN
        settings = self._settings.admin()
        if "oauth_cb" in settings:
            self._may_look = False
            self._warn("oauth_cb is a function of this process alone")
            return
        try:
            self._look = Look(settings, self._group, _TIMEOUT)
        except OSError as error:
            self._may_look = False
            self._warn(str(error))

    def _others(self) -> list[_Other]:
        """Those of whom an answer tells that has come since the last call."""
        look = self._look
        if look is None or not look.done():
            return []
        try:
            members = look.members()
        except KafkaException as error:
            if not is_not_allowed(error):
                why = self._settings.masked(said(error.args[0]))
                self.trouble = f"the consumer group {self._group} is out of reach: {why}"
            else:
                self._may_look = False
                self._warn(said(error.args[0]))
            return []
        finally:
            self.close()
        self.trouble = None
        found = ((_DATABASE.search(it.client_id), it) for it in members)
        return [
            _Other(match[1], it.client_id, it.host)
            for match, it in found
            if match and match[1] != self._database
        ]

    def close(self) -> None:
        """End a look that is under way."""
        look, self._look = self._look, None
        if look is not None:
            look.close()

    def _warn(self, why: str) -> None:
        log.warning(
            "nobody looks whether workers with another database of read models are in the consumer "
            "group %s: %s",
            self._group,
            why,
        )

    def _taken(self, other: _Other) -> GroupTaken:
        return GroupTaken(self._group, other.client_id, other.host)
