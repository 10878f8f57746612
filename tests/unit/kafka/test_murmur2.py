import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.kafka.murmur2 import murmur2, partition_for

# From Kafka's own UtilsTest.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), KNOWN.items())
def test_the_hash_is_that_of_kafkas_java_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


def test_a_partition_is_the_hash_without_its_sign_modulo_the_number_of_partitions() -> None:
    assert partition_for(b"foobar", 12) == (-790332482 & 0x7FFF_FFFF) % 12


@given(st.binary(max_size=1100))
def test_the_hash_is_a_signed_32_bit_number(key: bytes) -> None:
    assert -(2**31) <= murmur2(key) < 2**31


@given(st.binary(max_size=1100), st.integers(1, 1000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions
