"""What every Publisher promises, asked of the one in memory and of the one on a real Kafka."""

import asyncio

from connector.codec import decode_event, decode_hint, decode_status, event_key, hinted_page
from connector.kafka.partitioner import partition_of
from connector.model import Completeness, Page, PageStatus
from tests.fakes.events import message, snapshot
from tests.fakes.sides import PARTITIONS, Side


async def test_all_events_are_there_when_the_call_is_back(side: Side) -> None:
    poster, _ = side.poster()
    events = [message(f"c{n % 7}", f"m{n}", payload=bytes(range(256))) for n in range(300)]
    await poster.publish([*events, snapshot("c1")])
    lying = await side.lying(side.topics.messages)
    assert sorted(record.value or b"" for record in lying)
    assert {decode_event(record.value) for record in lying} == set(events)
    assert [decode_event(r.value) for r in await side.lying(side.topics.conversations)] == [snapshot("c1")]


async def test_events_keep_their_order_in_their_partition(side: Side) -> None:
    poster, _ = side.poster()
    events = [message(f"c{n % 5}", f"m{n}", n) for n in range(200)]
    await poster.publish(events[:120])
    await poster.publish(events[120:])
    lying = await side.lying(side.topics.messages)
    for number in range(PARTITIONS):
        read = [decode_event(record.value) for record in lying if record.partition == number]
        assert read == [e for e in events if partition_of(e.conversation_id, PARTITIONS) == number]


async def test_a_conversation_and_its_messages_have_one_partition_number_and_their_own_keys(
    side: Side,
) -> None:
    poster, _ = side.poster()
    for n in range(12):
        await poster.publish([snapshot(f"c{n}"), message(f"c{n}", "m")])
    for topic in (side.topics.conversations, side.topics.messages):
        lying = await side.lying(topic)
        assert len(lying) == 12
        for record in lying:
            event = decode_event(record.value)
            assert record.key == event_key(event)
            assert record.partition == partition_of(event.conversation_id, PARTITIONS)


async def test_many_may_publish_at_once(side: Side) -> None:
    poster, _ = side.poster()
    rounds = [[message(f"c{n}", f"m{k}", k) for k in range(20)] for n in range(20)]
    await asyncio.gather(*(poster.publish(events) for events in rounds))
    lying = await side.lying(side.topics.messages)
    for events in rounds:
        name = events[0].conversation_id
        read = [decode_event(record.value) for record in lying]
        assert [event for event in read if event.conversation_id == name] == events


async def test_nothing_to_publish_is_published_at_once(side: Side) -> None:
    poster, _ = side.poster()
    await poster.publish([])
    await poster.save([])
    await poster.put([])
    await poster.announce([])
    assert not await side.lying(side.topics.messages)


async def test_pages_are_announced_where_their_owner_is(side: Side) -> None:
    poster, _ = side.poster()
    await poster.announce([Page(f"p{n}", "name", "Tên", "facebook") for n in range(9)])
    lying = await side.lying(side.topics.pages)
    assert sorted(record.key or b"" for record in lying) == [f"p{n}".encode() for n in range(9)]
    for record in lying:
        assert record.partition == partition_of((record.key or b"").decode(), PARTITIONS)


async def test_a_large_event_passes(side: Side) -> None:
    poster, _ = side.poster()
    large = message("c1", "m1", payload=b"x" * (10 * 2**20))
    await poster.publish([large])
    (record,) = await side.lying(side.topics.messages)
    assert decode_event(record.value) == large


async def test_hints_and_statuses_lie_beside_their_page_and_compaction_keeps_all_three(side: Side) -> None:
    poster, _ = side.poster()
    pages = [f"p{n}" for n in range(9)]
    await poster.announce([Page(page, "name") for page in pages])
    await poster.report([PageStatus(Completeness(page, 7), 1, "") for page in pages])
    for page in pages:
        await poster.hint(page)
    lying = await side.lying(side.topics.pages)
    assert len({record.key for record in lying}) == len(lying) == 3 * len(pages)
    for record in lying:
        assert record.partition == partition_of((record.key or b"").partition(b"\0")[0].decode(), PARTITIONS)
    hinted = {hinted_page(record.key) for record in lying} - {None}
    assert hinted == {decode_hint(r.value) for r in lying if hinted_page(r.key)} == set(pages)
    told = [decode_status(record.value) for record in lying if (record.key or b"").endswith(b"\0status")]
    assert {status.completeness for status in told} == {Completeness(page, 7) for page in pages}
    assert len({status.owner for status in told} - {""}) == 1
