"""A conversation's promise that was overwritten by a record saved late: what the real scanner makes of it."""

from connector.simulator.world import WorldConfig
from connector.telemetry import PASSES
from tests.fakes.near import Shop

WORLD = WorldConfig(pages=1, conversations_per_page=150, messages_per_conversation=3, plain=True)
LONG_AGO = 3600.0  # behind what any scan reads again


async def promise_broken() -> tuple[Shop, str]:
    """The page's position says that a conversation is published or owed, and it is neither."""
    shop = Shop(WORLD)
    await shop.once()
    lost = shop.newest_first[40]
    late = shop.topic.cursors[lost.page_id, lost.id]
    messages, snapshot = dict(shop.topic.messages), shop.topic.conversations[lost.id]
    now = shop.clock.epoch_ms()
    shop.world.add_message(lost.page_id, lost.id, at_ms=now)
    await shop.clock.sleep(LONG_AGO)
    # More than a page of results has changed since: a live scan comes to its end before it.
    for other in shop.newest_first[1:91]:
        shop.world.add_message(lost.page_id, other.id, at_ms=shop.clock.epoch_ms())
    await shop.clock.sleep(LONG_AGO)
    shop.world.add_message(lost.page_id, shop.newest_first[0].id, at_ms=shop.clock.epoch_ms())
    await shop.once()
    # What had been owed and then overwritten was never published, and its record is the one saved late.
    for key in [key for key in shop.topic.messages if lost.id in key]:
        del shop.topic.messages[key]
    shop.topic.messages |= {key: event for key, event in messages.items() if lost.id in key}
    shop.topic.conversations[lost.id] = snapshot
    shop.topic.cursors[lost.page_id, lost.id] = late
    assert shop.differs()
    return shop, lost.page_id


async def test_a_position_that_is_believed_all_the_same_hides_the_gap() -> None:
    shop, _ = await promise_broken()
    await shop.once()
    assert shop.differs()


async def test_a_page_whose_position_is_not_believed_is_whole_again_at_the_price_of_its_list() -> None:
    shop, page_id = await promise_broken()
    del shop.topic.cursors[page_id, ""]
    read = shop.calls("messages", page_id=page_id)
    await shop.once()
    assert shop.differs() == []
    # One conversation differs; the other 149 are listed and not read.
    assert shop.calls("messages", page_id=page_id) - read <= 2


async def test_each_scan_that_comes_through_is_counted() -> None:
    shop = Shop(WORLD)
    await shop.once()
    metrics = shop._metrics  # noqa: SLF001
    assert metrics.total(PASSES) >= 1
    passes = metrics.total(PASSES)
    shop.world.add_message(shop.page.id, shop.newest_first[0].id, at_ms=shop.clock.epoch_ms())
    await shop.for_seconds(60.0)
    assert metrics.total(PASSES) > passes
