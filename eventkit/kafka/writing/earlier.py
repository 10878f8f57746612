"""Earlier attempts at an append, with the same event ids: what is known of them here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from eventkit.errors import OutcomeUnknown
from eventkit.kafka.inflight import InFlight, Waiting
from eventkit.kafka.view import View

log = logging.getLogger("eventkit.kafka")


class Earlier:
    """Who gives up a retry asks here, before it tells that nothing was written.

    Parameters:
        view: what other writers propose.
        in_flight: what has no verdict yet, and of what nobody knew when its caller was told.
        known: asks the index for event ids.
    """

    def __init__(
        self,
        view: View,
        in_flight: InFlight,
        known: Callable[[Sequence[bytes]], Mapping[bytes, object]],
    ) -> None:
        self._view = view
        self._in_flight = in_flight
        self._known = known

    def undecided(self, some: Iterable[Waiting]) -> set[Waiting]:
        """Those of which an earlier attempt may take effect yet.

        To be asked before the index is: what is decided in between stands there.
        """
        given = [it for it in some if it.given]
        if not given:
            return set()
        ids = self._in_flight.event_ids()
        ids |= self._view.proposed(part for it in given for part in it.each)
        return {it for it in given if not ids.isdisjoint(it.event_ids)}

    def of(self, some: Sequence[Waiting]) -> set[Waiting]:
        """Those of which an earlier attempt may take effect yet, or has."""
        found = self.undecided(some)
        asked = [it for it in some if it.given and it not in found]
        known = self._recorded([event_id.bytes for it in asked for event_id in it.event_ids])
        return found | {it for it in asked if any(id_.bytes in known for id_ in it.event_ids)}

    def _recorded(self, event_ids: Sequence[bytes]) -> Mapping[bytes, object]:
        """Nothing where the index fails: who is given up has to be told, whatever happens."""
        try:
            return self._known(event_ids) if event_ids else {}
        except Exception as error:  # noqa: BLE001 - see above
            log.info("the index was not asked for earlier attempts: %s", error)
            return {}


def of_an_earlier(waiting: Waiting) -> OutcomeUnknown:
    """The outcome of a retry that is given up while more than it itself is to be told of."""
    return OutcomeUnknown(
        waiting.event_ids,
        "an earlier attempt with the same event ids may have taken effect, or may yet; this one "
        "wrote nothing",
    )
