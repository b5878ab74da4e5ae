"""The partition of a key is the one that Kafka's own clients compute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kafka.partitioner import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2; Java's int is signed.
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


def signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number


@pytest.mark.parametrize(("key", "expected"), JAVA.items())
def test_the_hash_is_that_of_the_java_client(key: str, expected: int) -> None:
    assert signed(murmur2(key.encode())) == expected


def test_the_hash_of_bytes_that_are_no_text() -> None:
    assert signed(murmur2(bytes([12, 42, 56, 24, 109, 111]))) == 274204207


@pytest.mark.parametrize(("key", "expected"), JAVA.items())
def test_the_partition_is_that_of_the_default_partitioner(key: str, expected: int) -> None:
    assert partition_of(key, 12) == (expected & 0x7FFFFFFF) % 12


@given(st.binary(max_size=40))
def test_every_hash_has_32_bits(key: bytes) -> None:
    assert 0 <= murmur2(key) < 2**32


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.integers(1, 10_000))
def test_every_key_has_a_place_and_keeps_it(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)
