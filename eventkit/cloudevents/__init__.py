"""CloudEvents as JSON: the form in which events come from and go to other programs.

One event is one object of the CloudEvents 1.0 JSON format. How its attributes map to ours:

    id                   event_id; an id that is no UUID becomes uuid5 of source and id
    source               metadata.extra["source"]; events without one are written as `eventkit`
    type                 the recorded type
    subject              aggregate_id
    time                 metadata.timestamp, RFC 3339 with an offset
    workspaceid          metadata.workspace_id
    causedbyuser         metadata.caused_by_user
    causationid          metadata.causation_id
    correlationid        metadata.correlation_id
    aggregateversion     version; written for readers, ignored when read: the store counts
    eventkitextra        those of metadata.extra whose keys cannot be attribute names, as JSON text
    any other attribute  metadata.extra
    data                 the event's fields

`specversion`, `id`, `source`, `type`, `subject`, `time` and `data` must be there. Fields are
validated as pydantic validates JSON: dates and UUIDs from text, and `"12"` or `12.0` for an int are
taken as 12, while what would lose something (`12.5` for an int, a number for a text) is refused. A
Decimal keeps each digit of a number; a float takes a number that it gives back when it is written
with as many digits, and no other. An event class with `model_config = ConfigDict(strict=True)`
refuses to take `"12"` or `12.0` for an int as well. Bytes are base64, numbers that JSON lacks are
the texts `NaN`, `Infinity` and `-Infinity`.

What is written is read as the same event, but where a field has several types whose values are the
same JSON: it tells neither the text `NaN` from the number, nor a member of an enum from its text,
nor models with the same fields from each other, and all keys are texts, `None` as well.
"""

from eventkit.cloudevents.moments import moment_of
from eventkit.cloudevents.reading import CloudEventReader
from eventkit.cloudevents.writing import json_bytes, write_cloudevent

__all__ = ["CloudEventReader", "json_bytes", "moment_of", "write_cloudevent"]
