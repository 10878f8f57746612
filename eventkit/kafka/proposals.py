"""The read_uncommitted tail: sees what writers propose before it is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Message

from eventkit.kafka.index import Partition
from eventkit.kafka.tails import Tail
from eventkit.kafka.view import View


class ProposalTail(Tail):
    """Reads all records, undecided ones too, and hands them to the view.

    Parameters:
        settings: of a consumer; its isolation level is set here.
        offsets: where to begin: where the index is.
        view: what is told.
    """

    def __init__(
        self, settings: Mapping[str, Any], offsets: Mapping[Partition, int], view: View
    ) -> None:
        uncommitted = {**settings, "isolation.level": "read_uncommitted"}
        super().__init__("eventkit proposals", uncommitted, offsets, view.fail)
        self._view = view

    def _read(
        self, messages: Mapping[Partition, list[Message]], ends: Mapping[Partition, int]
    ) -> None:
        self._view.add_seen(messages, ends)
