"""What every Consumer promises, asked of the one in memory and of the one on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connector.codec import encode_event
from connector.errors import ContractError
from connector.model import Partition, Position, Start, Turn
from tests.fakes.events import message
from tests.fakes.sides import PARTITIONS, POLLS, FakeSide, KafkaSide, Member, Side, together


@pytest.fixture(
    params=[
        "memory",
        pytest.param("classic", marks=pytest.mark.integration),
        pytest.param("consumer", marks=pytest.mark.integration),
    ]
)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """In memory, and on a real Kafka with either of its two group protocols."""
    if request.param == "memory":
        yield FakeSide()
        return
    kafka, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
    real = KafkaSide(kafka, prefix, request.param)
    yield await real.open()
    await real.close()


@pytest.fixture
async def members() -> AsyncIterator[list[Member]]:
    """Those that are left at the end are closed."""
    joined: list[Member] = []
    yield joined
    for member in joined:
        await member.close()


def partitions(side: Side) -> list[Partition]:
    return [Partition(side.topics.messages, number) for number in range(PARTITIONS)]


async def fill(side: Side, partition: Partition, count: int) -> None:
    values = [encode_event(message("c", f"m{n}")) for n in range(count)]
    await asyncio.gather(*(side.put(partition, b"key", value) for value in values))


async def join(side: Side, members: list[Member], *, ends: bool = False, from_end: bool = False) -> Member:
    member = await Member(side.consumer(ends=ends, from_end=from_end)).start()
    members.append(member)
    return member


async def leave(member: Member, members: list[Member]) -> None:
    members.remove(member)
    await member.close()


async def test_the_only_member_owns_everything_and_is_told_inside_a_poll(
    side: Side, members: list[Member]
) -> None:
    member = await join(side, members)
    assert not member.told
    await together(member, until=lambda: member.owned == set(partitions(side)))
    await leave(member, members)
    assert not member.owned
    assert not member.outside
    assert {change for change, _ in member.told} == {"assigned", "revoked"}


async def test_a_group_that_never_committed_begins_at_the_beginning_in_order(
    side: Side, members: list[Member]
) -> None:
    for partition in partitions(side)[:2]:
        await fill(side, partition, 7)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) >= 14)
    for partition in partitions(side)[:2]:
        assert member.offsets(partition) == list(range(7))
    assert {record.event and record.event.conversation_id for record in member.records} == {"c"}
    assert all(record.key == b"key" and record.timestamp > 0 for record in member.records)


async def test_what_is_stored_is_committed_when_it_is_closed(side: Side, members: list[Member]) -> None:
    one, other = partitions(side)[:2]
    await fill(side, one, 5)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 5)
    await member.poll(Turn(store={one: 3}))
    await leave(member, members)
    assert await side.committed(one) == 3
    assert await side.committed(other) is None


async def test_what_is_stored_is_committed_while_it_goes_on(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 5)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 5)
    await member.poll(Turn(store={one: 4}))
    for _ in range(100):
        await member.poll()
        if await side.committed(one) == 4:
            break
    assert await side.committed(one) == 4


async def test_offsets_given_at_the_hand_over_are_committed_with_it(
    side: Side, members: list[Member]
) -> None:
    one = partitions(side)[0]
    await fill(side, one, 5)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 5)
    member.hand_over = {one: 2}
    await leave(member, members)
    assert await side.committed(one) == 2


async def test_the_next_owner_begins_exactly_there(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 9)
    first = await join(side, members)
    await together(first, until=lambda: len(first.records) == 9)
    await first.poll(Turn(store={one: 6}))
    await leave(first, members)
    second = await join(side, members)
    await together(second, until=lambda: len(second.records) >= 3)
    assert second.offsets(one) == [6, 7, 8]


async def test_a_second_member_takes_half_and_nobody_has_what_another_has(
    side: Side, members: list[Member]
) -> None:
    for partition in partitions(side):
        await fill(side, partition, 3)
    first = await join(side, members)
    await together(first, until=lambda: len(first.records) == 3 * PARTITIONS)
    first.hand_over = dict.fromkeys(partitions(side), 3)
    second = await join(side, members)
    await together(first, second, until=lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2)
    assert first.owned | second.owned == set(partitions(side))
    for partition in partitions(side):
        await side.put(partition, b"key", encode_event(message("c", "late")))
    await together(first, second, until=lambda: len(first.records) + len(second.records) == 4 * PARTITIONS)
    assert all(second.offsets(partition) == [3] for partition in second.owned)
    assert not first.outside + second.outside


async def test_partitions_that_stay_are_not_touched_by_a_rebalance(side: Side, members: list[Member]) -> None:
    first = await join(side, members)
    await together(first, until=lambda: len(first.owned) == PARTITIONS)
    second = await join(side, members)
    await together(first, second, until=lambda: len(second.owned) == PARTITIONS // 2)
    revoked = {p for change, taken in first.told if change == "revoked" for p in taken}
    assert revoked == second.owned


async def test_a_member_without_partitions_is_told_so(
    side: Side, members: list[Member], request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["side"] == "consumer":
        pytest.xfail("KIP-848: librdkafka calls nobody when there is nothing to assign")
    many = [await join(side, members) for _ in range(PARTITIONS + 1)]
    await together(
        *many, until=lambda: all(m.told for m in many) and sum(len(m.owned) for m in many) == PARTITIONS
    )
    assert ("assigned", frozenset()) in [told for member in many for told in member.told]


async def test_who_was_silent_too_long_has_lost_everything_and_moves_nothing(
    side: Side, members: list[Member]
) -> None:
    one = partitions(side)[0]
    await fill(side, one, 5)
    frozen = await join(side, members)
    await together(frozen, until=lambda: len(frozen.records) == 5)
    side.silence(frozen.consumer)
    other = await join(side, members)
    await together(other, until=lambda: other.owned == set(partitions(side)))
    await frozen.poll(Turn(store={one: 5}))
    await together(frozen, other, until=lambda: any(change == "lost" for change, _ in frozen.told))
    assert not frozen.outside
    assert await side.committed(one) is None
    await together(frozen, other, until=lambda: frozen.owned)  # it comes back by itself


async def test_a_partition_not_owned_is_never_stored(side: Side, members: list[Member]) -> None:
    member = await join(side, members)
    elsewhere = Partition(side.topics.conversations, 0)
    await member.poll(Turn(store={partitions(side)[0]: 3}))
    await together(member, until=lambda: len(member.owned) == PARTITIONS)
    await member.poll(Turn(store={elsewhere: 3}, pause=frozenset({elsewhere})))
    await leave(member, members)
    assert await side.committed(partitions(side)[0]) is None


async def test_a_paused_partition_is_silent_until_it_is_resumed_and_skips_nothing(
    side: Side, members: list[Member]
) -> None:
    one, other = partitions(side)[:2]
    member = await join(side, members)
    await together(member, until=lambda: len(member.owned) == PARTITIONS)
    await member.poll(Turn(pause=frozenset({one})))
    await fill(side, one, 5)
    await fill(side, other, 5)
    await together(member, until=lambda: len(member.offsets(other)) == 5)
    for _ in range(5):
        await member.poll()
    assert member.offsets(one) == []
    await member.poll(Turn(resume=frozenset({one})))
    await together(member, until=lambda: len(member.offsets(one)) >= 5)
    assert member.offsets(one) == [0, 1, 2, 3, 4]


async def test_a_partition_that_comes_back_is_not_paused_any_more(side: Side, members: list[Member]) -> None:
    member = await join(side, members)
    await together(member, until=lambda: len(member.owned) == PARTITIONS)
    await member.poll(Turn(pause=frozenset(partitions(side))))
    side.silence(member.consumer)
    other = await join(side, members)
    await together(other, until=lambda: len(other.owned) == PARTITIONS)
    await together(member, other, until=lambda: any(change == "lost" for change, _ in member.told))
    await leave(other, members)
    await together(member, until=lambda: len(member.owned) == PARTITIONS)
    for partition in partitions(side):
        await fill(side, partition, 1)
    await together(member, until=lambda: len({r.partition for r in member.records}) == PARTITIONS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{}", "bad_frame"), (None, "bad_frame"), (b"\0\0\0\0\1x", "unknown_schema"), (b"", "bad_frame")],
)
async def test_bytes_that_are_no_event_come_as_a_record_with_a_problem(
    side: Side, members: list[Member], value: bytes | None, reason: str
) -> None:
    one = partitions(side)[0]
    await fill(side, one, 1)
    await side.put(one, b"junk", value)
    await fill(side, one, 1)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 3)
    record = member.records[1]
    assert (record.offset, record.key, record.event) == (1, b"junk", None)
    assert record.value in (value, None if value is None else value)
    assert record.problem is not None
    assert record.problem.reason == reason


async def test_the_end_of_each_partition_is_told_with_its_offset(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 4)
    member = await join(side, members, ends=True)
    await together(member, until=lambda: len(member.ends) == PARTITIONS)
    assert member.ends == dict.fromkeys(partitions(side), 0) | {one: 4}
    assert member.offsets(one) == [0, 1, 2, 3]


async def test_an_end_comes_after_the_records_before_it(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 700)
    member = await join(side, members, ends=True)
    while one not in member.ends:
        polled = await member.poll()
        if one in polled.ends:
            assert len(member.offsets(one)) == 700


async def test_ends_are_told_only_to_those_who_ask(side: Side, members: list[Member]) -> None:
    member = await join(side, members)
    await fill(side, partitions(side)[0], 1)
    await together(member, until=lambda: member.records)
    for _ in range(3):
        await member.poll()
    assert not member.ends


async def test_from_the_end_only_what_is_new_is_read_and_nothing_committed(
    side: Side, members: list[Member]
) -> None:
    one = partitions(side)[0]
    await fill(side, one, 3)
    member = await join(side, members, from_end=True)
    await together(member, until=lambda: len(member.owned) == PARTITIONS)
    for _ in range(POLLS):
        # Where the end is, the client finds out after it was told what it owns.
        await fill(side, one, 1)
        await member.poll()
        if member.records:
            break
    assert member.records
    assert min(member.offsets(one)) >= 3
    await leave(member, members)
    assert await side.committed(one) is None


async def test_an_offset_that_is_gone_is_fatal_and_never_skipped(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 6)
    first = await join(side, members)
    await together(first, until=lambda: len(first.records) == 6)
    await first.poll(Turn(store={one: 2}))
    await leave(first, members)
    await side.cut(one, before=4)
    second = await join(side, members)
    with pytest.raises(ContractError):
        await together(second, until=lambda: False)
    assert not second.records


async def test_what_the_broker_acknowledged_is_told(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 5)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 5)
    assert member.committed == {}
    await member.poll(Turn(store={one: 4}))
    await together(member, until=lambda: member.committed == {one: Position(4)})
    assert await side.committed(one) == 4


async def test_a_partition_is_read_again_from_where_it_is_told(side: Side, members: list[Member]) -> None:
    one, other = partitions(side)[:2]
    await fill(side, one, 9)
    await fill(side, other, 3)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 12)
    before = len(member.offsets(one))
    await member.poll(Turn(rewind={one: 4, Partition(side.topics.conversations, 0): 0}))
    await together(member, until=lambda: len(member.offsets(one)) >= before + 5)
    assert member.offsets(one)[before:] == [4, 5, 6, 7, 8]
    assert member.offsets(other) == [0, 1, 2]


async def test_the_next_owner_is_told_how_far_the_last_one_may_have_written(
    side: Side, members: list[Member]
) -> None:
    one, other = partitions(side)[:2]
    await fill(side, one, 9)
    first = await join(side, members)
    await together(first, until=lambda: len(first.records) == 9)
    assert first.consumer.starts[one] == Start(0, 9, 0)
    await first.poll(Turn(store={one: Position(4, 8)}))
    await together(first, until=lambda: first.committed == {one: Position(4, 8)})
    first.hand_over = {one: Position(4, 6, unanswered=True)}
    await leave(first, members)
    second = await join(side, members)
    await together(second, until=lambda: len(second.owned) == PARTITIONS)
    assert second.consumer.starts[one] == Start(4, 9, 6, unanswered=True)
    assert second.consumer.starts[other] == Start(0, 0, 0)


async def test_what_is_said_without_a_hand_over_stays_said(side: Side, members: list[Member]) -> None:
    one = partitions(side)[0]
    await fill(side, one, 9)
    frozen = await join(side, members)
    await together(frozen, until=lambda: len(frozen.records) == 9)
    await frozen.poll(Turn(store={one: Position(4, 8)}))
    await together(frozen, until=lambda: frozen.committed == {one: Position(4, 8)})
    side.silence(frozen.consumer)
    other = await join(side, members)
    await together(other, until=lambda: one in other.owned)
    assert other.consumer.starts[one] == Start(4, 9, 8)


async def test_what_is_declared_is_committed_although_no_offset_has_moved(
    side: Side, members: list[Member]
) -> None:
    one = partitions(side)[0]
    await fill(side, one, 3)
    member = await join(side, members)
    await together(member, until=lambda: len(member.records) == 3)
    await member.poll(Turn(store={one: Position(2, 2)}))
    await together(member, until=lambda: member.committed == {one: Position(2, 2)})
    await member.poll(
        Turn(declare={one: Position(2, 9), Partition(side.topics.conversations, 0): Position(1)})
    )
    await together(member, until=lambda: member.committed == {one: Position(2, 9)})
    side.silence(member.consumer)
    other = await join(side, members)
    await together(other, until=lambda: one in other.owned)
    assert other.consumer.starts[one] == Start(2, 3, 9)
