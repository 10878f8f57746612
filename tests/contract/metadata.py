"""Metadata: who, when and why come back as they were given."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from eventkit import Append, Appended, EventStore, Metadata
from eventkit.errors import InvalidInput
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, moves

LOCAL = timezone(timedelta(hours=-9, minutes=-30))
MOMENT = datetime(2010, 10, 1, 23, 59, 59, 999_999, tzinfo=LOCAL)

EACH_ALONE = [
    Metadata(),
    Metadata(caused_by_user="ann"),
    Metadata(caused_by_user=""),
    Metadata(causation_id="command-1"),
    Metadata(correlation_id="talk-1"),
    Metadata(workspace_id="acme"),
    Metadata(workspace_id=""),
    Metadata(extra={"ip": "::1"}),
    Metadata(extra={"": "", "Ω": "漢\n🚚\"'\\\x00", "caused_by_user": "other", "a": "é" * 10_000}),
    Metadata(
        caused_by_user="Åsa",
        causation_id="c",
        correlation_id="d",
        workspace_id="Zürich; DROP TABLE",
        extra={"x": "1", "y": "2"},
    ),
]

MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]

UNCHECKED: dict[str, object] = {
    "timestamp": MOMENT.replace(tzinfo=None),
    "caused_by_user": "half a character: \ud800",
    "causation_id": 7,
    "correlation_id": ["c"],
    "workspace_id": UUID(int=7),
    "extra": {"attempt": 2},
    "user": "ann",
}
"""Values that `Metadata(...)` refuses or changes, or a field that it has not."""


def without_time(metadata: Metadata) -> Metadata:
    return metadata.model_copy(update={"timestamp": None})


class MetadataContract(Contract):
    def test_metadata_comes_back_as_given(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        for number, metadata in enumerate(EACH_ALONE):
            with subtests.test(metadata=metadata):
                parcel = f"parcel-{number}"
                store.append(parcel, moves("a", "b"), metadata=metadata)
                read = [without_time(item.metadata) for item in store.get_events(parcel)]
                replayed = [
                    without_time(item.metadata)
                    for item in store.replay()
                    if item.aggregate_id == parcel
                ]
                assert (read, replayed) == ([metadata] * 2, [metadata] * 2)

    def test_metadata_of_neighbours_does_not_mix(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        for metadata in EACH_ALONE:
            store.append("parcel-1", moves("a"), metadata=metadata)
        with open_store() as other:
            read = [without_time(item.metadata) for item in other.get_events("parcel-1")]
        assert read == EACH_ALONE

    def test_a_given_timestamp_is_kept_to_the_microsecond(self, store: EventStore) -> None:
        for moment in MOMENTS:
            store.append("parcel-1", moves("a"), metadata=Metadata(timestamp=moment))
        assert [item.timestamp for item in store.get_events("parcel-1")] == MOMENTS

    def test_timestamps_come_back_in_utc(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"), metadata=Metadata(timestamp=MOMENT))
        (recorded,) = store.get_events("parcel-1")
        assert (recorded.timestamp, recorded.timestamp.tzinfo) == (MOMENT, UTC)

    def test_without_a_timestamp_it_is_the_time_of_the_append(self, store: EventStore) -> None:
        before = datetime.now(UTC)
        store.append("parcel-1", moves("a"))
        store.append("parcel-1", moves("b"), metadata=Metadata(caused_by_user="ann"))
        after = datetime.now(UTC)
        first, second = (item.timestamp for item in store.get_events("parcel-1"))
        assert before <= first <= second <= after

    def test_the_events_of_one_append_have_the_same_timestamp(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*"abc"))
        assert len({item.timestamp for item in store.get_events("parcel-1")}) == 1

    def test_a_timestamp_without_a_time_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="timezone"):
            Metadata(timestamp=MOMENT.replace(tzinfo=None))

    def test_uuids_are_taken_as_text(self, store: EventStore) -> None:
        uuid = UUID(int=7)
        metadata = Metadata.model_validate({"correlation_id": uuid, "workspace_id": uuid})
        store.append("parcel-1", moves("a"), metadata=metadata)
        (recorded,) = store.get_events("parcel-1")
        assert recorded.metadata.correlation_id == recorded.metadata.workspace_id == str(uuid)

    def test_metadata_that_was_never_validated_fails_alone_and_names_the_field(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        for name, value in UNCHECKED.items():
            with subtests.test(field=name):
                odd = Metadata(caused_by_user="ann").model_copy(update={name: value})
                before, refused, after = store.append_each(
                    [
                        Append("parcel-1", moves("a")),
                        Append("parcel-2", moves("b"), metadata=odd),
                        Append("parcel-3", moves("c")),
                    ]
                )
                assert (type(before), type(after)) == (Appended, Appended)
                assert isinstance(refused, InvalidInput)
                assert str(refused).startswith(f"metadata.{name}")
                assert "cannot be written" in str(refused)
        assert store.get_events("parcel-2") == []

    def test_metadata_without_validation_is_taken_if_it_could_be_made_with_it(
        self, store: EventStore
    ) -> None:
        made = Metadata.model_construct(caused_by_user="Åsa", timestamp=MOMENT, extra={"ä": "ö"})
        store.append("parcel-1", moves("a"), metadata=made)
        (recorded,) = store.get_events("parcel-1")
        assert recorded.metadata == made
