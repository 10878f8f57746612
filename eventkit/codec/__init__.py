"""Events as Avro: schemas derived from their classes, exact round trips, reading of old records."""

from eventkit.codec.avro import AvroCodec
from eventkit.codec.contracts import check_contracts, undocumented, write_contracts
from eventkit.codec.schema import AvroSchema, check_same_meaning, fingerprint_of

__all__ = [
    "AvroCodec",
    "AvroSchema",
    "check_contracts",
    "check_same_meaning",
    "fingerprint_of",
    "undocumented",
    "write_contracts",
]
