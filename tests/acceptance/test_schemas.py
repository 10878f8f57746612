"""The Avro contracts in `schemas/` are those of today's classes."""

import pytest

from eventkit import Event
from eventkit.cli.app import load_app
from eventkit.codec import AvroCodec, check_contracts, undocumented
from eventkit.events import EventTypes, Metadata
from tests.unit.source import ROOT

APP = load_app("projections.permits")
CODEC = AvroCodec(EventTypes(), lambda _fingerprint: None)


def test_the_contracts_are_in_step_with_the_code() -> None:
    schemas = [CODEC.schema_of(Metadata), *map(CODEC.schema_of, APP.events)]
    complaints = check_contracts(schemas, ROOT / "schemas")
    assert complaints == [], "run: eventkit --app projections.permits schemas export"


@pytest.mark.parametrize("event", APP.events)
def test_every_event_and_field_of_the_reference_service_is_described(event: type[Event]) -> None:
    assert undocumented(CODEC.schema_of(event)) == []
