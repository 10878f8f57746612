import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.errors import InvalidInput
from eventkit.events import Metadata
from eventkit.kafka.reading import LogRecord, proposal_of, read_message, read_record
from eventkit.kafka.records import Header, framed, new_records
from eventkit.sqlite.rows import from_micros, read_metadata, to_micros

ID = UUID("0190b3c4-5d6e-7f80-9a0b-1c2d3e4f5a6b")
MOMENT = 1_714_979_289_123_456

RawHeaders = list[tuple[str, bytes | None]]

# What a Metadata takes: text without half a surrogate pair.
texts = st.text(max_size=20)
metadata = st.builds(
    Metadata,
    caused_by_user=st.none() | texts,
    causation_id=st.none() | texts,
    correlation_id=st.none() | texts,
    workspace_id=st.none() | texts,
    extra=st.dictionaries(texts | st.just("source"), texts, max_size=3),
)
moments = st.datetimes(timezones=st.just(UTC))


def as_consumed(headers: Sequence[Header]) -> RawHeaders:
    """Return headers as a consumer hands them out."""
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]


def sound_headers() -> RawHeaders:
    (record,) = new_records("task-1", [(ID, "TaskCreated", b"body")], MOMENT)
    return as_consumed(framed([record], "a1", 7, "writer-1")[0])


def with_header(name: str, value: bytes | None) -> RawHeaders:
    return [(other, value if other == name else old) for other, old in sound_headers()]


def read(headers: RawHeaders) -> LogRecord:
    return read_record(5, b"task-1", b"body", headers)


def test_a_record_carries_an_event_as_a_cloud_event_in_binary_mode() -> None:
    (record,) = new_records("task-1", [(ID, "TaskCreated", b"body")], MOMENT)
    assert (record.key, record.value) == (b"task-1", b"body")
    assert as_consumed(framed([record], "a1", 7, "writer-1")[0]) == [
        ("ce_append", b"a1.0.1"),
        ("ce_aggregateversion", b"7"),
        ("ce_writer", b"writer-1"),
        ("ce_id", b"0190b3c4-5d6e-7f80-9a0b-1c2d3e4f5a6b"),
        ("ce_type", b"TaskCreated"),
        ("ce_time", b"2024-05-06T07:08:09.123456Z"),
        ("ce_subject", b"task-1"),
        ("ce_source", b"/eventkit/task"),
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/avro"),
    ]


def test_metadata_goes_into_headers_of_its_own() -> None:
    known = Metadata(
        caused_by_user="ann",
        causation_id="c-1",
        correlation_id="c-2",
        workspace_id="acme",
        extra={"source": "/old/system", "note": "Gruß"},
    )
    (record,) = new_records("task-1", [(ID, "TaskCreated", b"")], MOMENT, known)
    headers = dict(record.headers)
    assert {name: headers[name] for name in list(headers)[-6:]} == {
        "content-type": b"application/avro",
        "ce_workspaceid": b"acme",
        "ce_causedbyuser": b"ann",
        "ce_causationid": b"c-1",
        "ce_correlationid": b"c-2",
        "ce_extra": '{"source":"/old/system","note":"Gruß"}'.encode(),
    }
    assert headers["ce_source"] == b"/old/system"


def test_the_events_of_an_append_are_numbered() -> None:
    records = new_records("task-1", [(ID, "A", b""), (ID, "B", b"")], MOMENT)
    heads = [headers[:3] for headers in framed(records, "a1", 7, "w")]
    assert heads == [
        [("ce_append", "a1.0.2"), ("ce_aggregateversion", "7"), ("ce_writer", "w")],
        [("ce_append", "a1.1.2"), ("ce_aggregateversion", "8"), ("ce_writer", "w")],
    ]


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no valid Unicode"):
        new_records("task-1", [(ID, "Half\ud800", b"")], MOMENT)


@given(
    event_id=st.uuids(),
    type_name=st.text(min_size=1, max_size=20),
    body=st.binary(max_size=20),
    moment=moments,
    known=st.none() | metadata,
    version=st.integers(1, 2**60),
    parts=st.integers(1, 3),
)
def test_what_is_written_is_read_back(
    event_id: UUID,
    type_name: str,
    body: bytes,
    moment: datetime,
    known: Metadata | None,
    version: int,
    parts: int,
) -> None:
    micros = to_micros(moment)
    records = new_records("task-ä", [(event_id, type_name, body)] * parts, micros, known)
    headers = framed(records, "a1", version, "writer-1")[-1]
    found = read_record(5, "task-ä".encode(), body, as_consumed(headers))
    assert found == LogRecord(
        offset=5,
        aggregate_id="task-ä",
        version=version + parts - 1,
        append_id=b"a1",
        part=parts - 1,
        parts=parts,
        writer="writer-1",
        event_id=event_id.bytes,
        type=type_name,
        timestamp=micros,
        workspace_id=known.workspace_id if known else None,
        metadata=found.metadata,
        data=body,
        problem=None,
    )
    read_back = read_metadata(found.timestamp, found.workspace_id, found.metadata)
    assert read_back == (known or Metadata()).model_copy(update={"timestamp": moment})


@pytest.mark.parametrize("name", [name for name, _ in sound_headers()][:6])
def test_a_record_without_a_header_that_readers_need_is_none_of_ours(name: str) -> None:
    headers = [header for header in sound_headers() if header[0] != name]
    assert read(headers).problem == f"it has no header {name}"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ce_append", b"a1.0", "a header is malformed: not enough values to unpack"),
        ("ce_append", b"a1.1.1", "a header is malformed: ce_append b'a1.1.1' names no event"),
        ("ce_append", b"a1.0.0", "a header is malformed: ce_append b'a1.0.0' names no event"),
        ("ce_append", b"a1.-1.2", "a header is malformed: ce_append b'a1.-1.2' names no event"),
        ("ce_append", b"a1.0.100001", "a header is malformed: ce_append b'a1.0.100001' names no"),
        ("ce_append", b"a1.0." + b"9" * 5000, "a header is malformed: Exceeds the limit"),
        ("ce_append", None, "a header is malformed: 'NoneType' object is not subscriptable"),
        ("ce_aggregateversion", b"-1", "ce_aggregateversion b'-1' is no number"),
        ("ce_aggregateversion", b"", "ce_aggregateversion b'' is no number"),
        ("ce_aggregateversion", b"1_0", "ce_aggregateversion b'1_0' is no number"),
        ("ce_aggregateversion", b"9" * 5000, "a header is malformed: Exceeds the limit"),
        ("ce_writer", b"\xff", "b'\\xff' is no UTF-8 text"),
        ("ce_id", b"17", "ce_id b'17' is no UUID"),
        ("ce_id", b"task", "a header is malformed: Non-hexadecimal digit found"),
        ("ce_type", b"", "ce_type is empty"),
        ("ce_type", b"\xc3\x28", "b'\\xc3(' is no UTF-8 text"),
        ("ce_time", b"2024-05-06T07:08:09Z", "ce_time b'2024-05-06T07:08:09Z' is not of the form"),
        ("ce_time", b"2024-05-06T24:00:00.000000Z", "a header is malformed: ce_time"),
        ("ce_time", b"2024-13-06T07:08:09.000000Z", "a header is malformed: month must be in"),
        ("ce_time", b"2024-05-06T07:08:09.123456+", "ce_time b'2024-05-06T07:08:09.123456+' is"),
    ],
)  # fmt: skip
def test_a_record_with_a_malformed_header_is_none_of_ours(
    name: str, value: bytes | None, problem: str
) -> None:
    assert (read(with_header(name, value)).problem or "").startswith(problem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_workspaceid", b"\xff"),
        ("ce_causedbyuser", b"\xff"),
        ("ce_causedbyuser", None),
        ("ce_extra", b"{"),
        ("ce_extra", b"[]"),
        ("ce_extra", b'{"a": 1}'),
        ("ce_extra", b'{"a": "\\ud800"}'),
        ("ce_extra", b"[" * 100_000),
    ],
)
def test_an_optional_header_that_could_not_be_kept_makes_a_record_none_of_ours(
    name: str, value: bytes | None
) -> None:
    assert read([*sound_headers(), (name, value)]).problem is not None


def test_a_header_that_is_there_twice_makes_a_record_none_of_ours() -> None:
    headers = sound_headers()
    assert read([*headers, headers[0]]).problem == "it has a header twice"


def test_a_header_that_readers_do_not_know_is_left_alone() -> None:
    assert read([*sound_headers(), ("traceparent", b"\xff\x00")]) == read(sound_headers())


def test_the_order_of_headers_does_not_matter() -> None:
    assert read(sound_headers()[::-1]) == read(sound_headers())


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (None, b"", sound_headers()),
        (b"", b"", sound_headers()),
        (b"task-1", None, sound_headers()),
        (b"task-1", b"", None),
        (b"task-1", b"", []),
        (b"\xff-1", b"", sound_headers()),
    ],
)
def test_a_record_without_key_body_or_headers_is_none_of_ours(
    key: bytes | None, value: bytes | None, headers: RawHeaders | None
) -> None:
    found = read_record(9, key, value, headers)
    assert (found.offset, found.problem is None) == (9, False)


class Message:
    """A message with header names that are no UTF-8: confluent_kafka cannot make them texts."""

    def __init__(self) -> None:
        self.given: RawHeaders | None = None

    def offset(self) -> int:
        return 3

    def key(self) -> bytes:
        return b"task-1"

    def value(self) -> bytes:
        return b""

    def headers(self) -> RawHeaders:
        if self.given is None:
            raise SystemError("returned a result with an exception set")
        return self.given

    def set_headers(self, value: RawHeaders, /) -> None:
        self.given = value


def test_a_message_whose_headers_cannot_be_taken_out_is_none_of_ours() -> None:
    found = read_message(Message())
    assert (found.offset, found.aggregate_id) == (3, "task-1")
    assert found.problem == "it has no key, no value or no readable headers"


names = st.sampled_from([name for name, _ in sound_headers()] + ["ce_extra", "ce_workspaceid", "x"])
hostile = st.none() | st.binary(max_size=40) | st.integers().map(lambda n: str(n).encode())


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=5),
    headers=st.none() | st.lists(st.tuples(names, hostile), max_size=14),
)
def test_no_record_makes_the_reader_raise(
    key: bytes | None, value: bytes | None, headers: RawHeaders | None
) -> None:
    read_record(0, key, value, headers)
    proposal_of(headers)


@given(st.lists(st.tuples(names, hostile), max_size=3))
def test_whatever_is_taken_for_an_event_can_be_kept_and_shown(changes: RawHeaders) -> None:
    headers = dict(sound_headers()) | dict(changes)
    found = read(list(headers.items()))
    if found.problem is None:
        assert str(UUID(bytes=found.event_id))
        assert from_micros(found.timestamp).tzinfo == UTC
        assert isinstance(json.loads(found.metadata), dict)
        assert f"{found.type}{found.workspace_id}{found.metadata}".encode()


def test_whose_proposal_a_record_is_can_be_told_by_two_headers() -> None:
    assert proposal_of(sound_headers()) == ("writer-1", b"a1.0.1")
    assert proposal_of(sound_headers()[::-1]) == ("writer-1", b"a1.0.1")


@pytest.mark.parametrize(
    "headers", [None, [], [("x", b"")], sound_headers()[1:], with_header("ce_writer", None)]
)
def test_a_record_that_is_none_of_ours_is_nobodys_proposal(headers: RawHeaders | None) -> None:
    assert proposal_of(headers) is None
