"""What every DeadLetters promises, asked of the one in memory and of the one on a real Kafka."""

import pytest

from connector.codec import decode_dead_letter, encode_event
from connector.kafka.config import MAX_RECORD_BYTES
from connector.model import DeadLetter, Partition, Problem
from tests.fakes.events import message
from tests.fakes.sides import PARTITIONS, Side

VALUE = encode_event(message("c1", "m1", payload='{"text":"tiếng Việt"}'.encode()))
BINARY = bytes(range(256))


def letter(side: Side, number: int = 2, *, offset: int = 41, value: bytes = VALUE) -> DeadLetter:
    problem = Problem("missing_customer_id", "no customer", 422, 3)
    return DeadLetter(b"c1\0m1", value, problem, 1_700, Partition(side.topics.messages, number), offset)


async def put(side: Side, *letters: DeadLetter) -> list[DeadLetter]:
    """Put them and read the shelf."""
    poster, _ = side.poster()
    await poster.put(letters)
    return [decode_dead_letter(record.value) for record in await side.lying(side.topics.dead_letters)]


async def test_a_letter_lies_there_as_it_was_when_the_call_is_back(side: Side) -> None:
    assert await put(side, letter(side)) == [letter(side)]


@pytest.mark.parametrize("value", [b"", b"\0", BINARY])
async def test_any_bytes_can_be_shelved(side: Side, value: bytes) -> None:
    assert await put(side, letter(side, value=value)) == [letter(side, value=value)]


async def test_what_never_was_a_record_can_be_shelved(side: Side) -> None:
    homeless = DeadLetter(b"p1", b'{"id":17}', Problem("missing_id", "it has none"), 1_700)
    assert await put(side, homeless) == [homeless]


async def test_letters_lie_where_their_records_lay_in_the_order_they_were_put(side: Side) -> None:
    letters = [letter(side, n % PARTITIONS, offset=n) for n in range(20)]
    await put(side, *letters)
    for record in await side.lying(side.topics.dead_letters):
        found = decode_dead_letter(record.value)
        assert found.partition is not None
        assert found.partition.number == record.partition
        assert record.key == found.key
    read = [decode_dead_letter(r.value) for r in await side.lying(side.topics.dead_letters)]
    assert sorted(read, key=lambda found: found.offset or 0) == letters
    assert read == [found for number in range(PARTITIONS) for found in letters[number::PARTITIONS]]


async def test_putting_again_adds_and_changes_nothing(side: Side) -> None:
    poster, _ = side.poster()
    await poster.put([letter(side)])
    assert await put(side, letter(side)) == [letter(side)] * 2


async def test_the_largest_record_there_can_be_can_be_shelved(side: Side) -> None:
    # The letter is larger than the record in it.
    large = letter(side, value=b"x" * (MAX_RECORD_BYTES - 100))
    assert await put(side, large) == [large]
