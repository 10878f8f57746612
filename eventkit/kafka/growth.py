"""Whether a log has got more categories since its store was opened.

A store reads the topics that were there when it was opened. One who follows the log for years must
hear of those that come later: it opens the store again then, which takes a moment with an index.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from time import monotonic

from eventkit.errors import CategoryAdded, StoreUnavailable
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.registry import Registry
from eventkit.kafka.settings import KafkaSettings

log = logging.getLogger("eventkit.kafka")

_LOOK = 30.0
"""Seconds between two looks."""
_SETTLE = 2.0
"""Seconds until all brokers know a topic that one of them has made."""
_TIMEOUT = 2.0
"""Seconds that an answer may take; without one, the next look tells."""


class Growth:
    """Looks now and then into the topic in which all topics of events are recorded.

    Parameters:
        settings: how to connect.
        layout: of the log, as it was opened.
        categories: that matter; None for all.
    """

    def __init__(
        self, settings: KafkaSettings, layout: LogLayout, categories: Collection[str] | None
    ) -> None:
        self._registry = Registry(settings, layout.names.registry, timeout=_TIMEOUT)
        self._layout = layout
        self._categories = categories
        self._seen: frozenset[str] = frozenset()
        self._next = monotonic() + _LOOK

    def check(self) -> None:
        """Look, if it is time to; may take some seconds while brokers are away.

        Raises:
            CategoryAdded: there are more.
        """
        if monotonic() < self._next:
            return
        try:
            added = self._added()
        except StoreUnavailable as error:
            log.debug("nobody looked for new categories: %s", error)
            added = self._seen
        self._next = monotonic() + (_SETTLE if added - self._seen else _LOOK)
        if added and added == self._seen:
            raise CategoryAdded(sorted(added))
        self._seen = added

    def _added(self) -> frozenset[str]:
        self._registry.refresh()
        found = frozenset(map(self._layout.names.category_of, self._registry.topics()))
        known = {None, *self._layout.partitions}
        added = frozenset(it for it in found - known if it is not None)
        return added if self._categories is None else added & frozenset(self._categories)
