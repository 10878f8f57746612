"""Whether the bodies of events can be read: by their schemas, and by the classes of today."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eventkit.codec import AvroCodec, fingerprint_of
from eventkit.errors import CodecError, EventkitError, EventTypeError, IncompatibleSchema
from eventkit.events import EventTypes, Position
from eventkit.health.findings import Finding, Kind

_MOST = 1_000
"""Types and schemas of which each is told once; more than a log has, and what memory holds."""
_HEADER = 10


class Bodies:
    """Checks body after body. What concerns all records of a type or schema is told once, at last.

    Parameters:
        types: the event classes.
        load_schema: the schema of a fingerprint, as JSON; None where the store does not hold it.
        typed: see that a class of today reads each event, too.
        restore: how to bring a schema back that the store does not hold.
    """

    def __init__(
        self,
        types: EventTypes,
        load_schema: Callable[[bytes], str | None],
        *,
        typed: bool,
        restore: str,
    ) -> None:
        self.codec = AvroCodec(types, load_schema)
        self._load_schema = load_schema
        self._typed = typed
        self._restore = restore
        self._held: dict[bytes, bool] = {}
        self._of_many: dict[tuple[Kind, str], Finding] = {}

    def check(
        self, event_type: str, data: bytes, position: Position, aggregate_id: str
    ) -> Finding | None:
        """What is wrong with this record alone."""
        try:
            if not self._holds_schema(event_type, data, position, aggregate_id):
                return None
            if self._typed and self._is_read(event_type, data, position, aggregate_id):
                return None
            self.codec.decode_plain(event_type, data)
        except Exception as error:  # noqa: BLE001 - a damaged schema may break anything
            told = str(error) if isinstance(error, EventkitError) else f"its schema: {error!r}"
            return Finding(
                Kind.BODY,
                told,
                "the aggregate cannot be loaded any more; put right what depends on it by new "
                "events of another aggregate, or restore the log from a backup",
                position,
                aggregate_id,
            )
        return None

    def findings(self) -> Iterator[Finding]:
        """What concerns many records; then it is forgotten."""
        found, self._of_many = self._of_many, {}
        yield from found.values()

    def _holds_schema(
        self, event_type: str, data: bytes, position: Position, aggregate_id: str
    ) -> bool:
        header = data[:_HEADER]
        held = self._held.get(header)
        if held is None:
            held = self._load_schema(fingerprint_of(data)) is not None
            if len(self._held) < _MOST:
                self._held[header] = held
        if not held:
            name = fingerprint_of(data).hex()
            problem = f"{event_type} was written with schema {name}, which the store does not hold"
            fix = f"{self._restore}; the record cannot be read without it"
            self._note(Kind.SCHEMA, f"{event_type} {name}", problem, fix, position, aggregate_id)
        return held

    def _is_read(self, event_type: str, data: bytes, position: Position, aggregate_id: str) -> bool:
        """Whether a class reads it; False where its body has to be looked at without one."""
        try:
            self.codec.decode(event_type, data)
        except (EventTypeError, IncompatibleSchema) as error:
            problem, _, fix = str(error).partition(". ")
            key = f"{event_type} {data[:_HEADER].hex()}"
            self._note(Kind.TYPE, key, problem, fix, position, aggregate_id)
            return False
        except CodecError:
            return False
        return True

    def _note(
        self, kind: Kind, key: str, problem: str, fix: str, position: Position, aggregate_id: str
    ) -> None:
        earlier = self._of_many.get((kind, key))
        if earlier is not None:
            self._of_many[kind, key] = earlier._replace(records=earlier.records + 1)
        elif len(self._of_many) < _MOST:
            self._of_many[kind, key] = Finding(kind, problem, fix, position, aggregate_id)
