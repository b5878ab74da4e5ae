"""Who stood still sends nothing before the broker has said that the partition is still its own."""

import asyncio
from collections.abc import Callable

import pytest

from connector.engine.book import Book, Reach
from connector.engine.vigil import Tenure, Vigil
from connector.model import Partition, Position, Start
from tests.fakes.clock import FakeClock
from tests.fakes.delivery import Delivery, Process
from tests.fakes.events import message

Build = Callable[..., Delivery]


async def one_call_out_and_one_waiting(delivery: Delivery) -> tuple[Process, asyncio.Event]:
    gate = delivery.sink.hold("c1")
    delivery.publish(message("c1", "m1"), message("c2", "m2"))
    process = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(2.0)
    return process, gate


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_frozen_process_that_wakes_begins_nothing_before_it_knows_what_it_owns(
    deliver: Build,
) -> None:
    delivery = deliver(lanes=1)
    frozen, gate = await one_call_out_and_one_waiting(delivery)
    frozen.consumer.expel()
    delivery.clock.jump(60.0)
    gate.set()
    await turns(100)
    assert delivery.sink.begun == 1
    delivery.start()
    await delivery.until(lambda: delivery.committed() == 2)
    assert delivery.sink.versions == {"m1": 1, "m2": 1}


async def test_who_stood_still_and_is_still_the_owner_goes_on_once_the_broker_said_so(deliver: Build) -> None:
    delivery = deliver(lanes=1)
    process, gate = await one_call_out_and_one_waiting(delivery)
    delivery.clock.jump(60.0)
    gate.set()
    await turns(100)
    assert delivery.sink.begun == 1
    await delivery.until(lambda: delivery.committed() == 2, within=5.0)
    assert process.runner.worker.vigil.awake
    assert delivery.sink.begun == 2


async def test_a_call_that_waited_for_its_grant_meanwhile_is_not_sent(deliver: Build) -> None:
    delivery = deliver()
    delivery.publish(message("c1", "m1"))
    process = delivery.start()
    await delivery.until(lambda: delivery.committed() == 1)
    book, *_ = process.runner.books.values()
    tenure = process.runner.worker._leaving_of(book)  # noqa: SLF001 - what the target is given
    assert not tenure.is_set()
    delivery.clock.jump(60.0)
    assert tenure.is_set()


def test_a_short_pause_is_none() -> None:
    clock = FakeClock()
    vigil = Vigil(clock, longest=3.0)
    clock.jump(2.9)
    assert vigil.awake
    assert not vigil.look()
    clock.jump(2.9)
    assert vigil.awake


@pytest.mark.parametrize("stand_still", [FakeClock.jump, FakeClock.suspend])
def test_a_pause_is_noticed_by_whoever_looks_first_and_lasts_until_it_is_confirmed(
    stand_still: Callable[[FakeClock, float], None],
) -> None:
    clock = FakeClock()
    vigil = Vigil(clock, longest=3.0)
    stand_still(clock, 10.0)
    assert not vigil.awake
    assert vigil.look()
    assert not vigil.awake
    assert not vigil.look()
    assert not vigil.awake
    vigil.confirmed()
    assert vigil.awake


async def test_a_wait_ends_when_the_partition_is_handed_over() -> None:
    sure = True
    tenure = Tenure(lambda: sure)
    waiting = asyncio.ensure_future(tenure.wait())
    await turns(3)
    assert not waiting.done()
    sure = False
    assert tenure.is_set()
    tenure.set()
    assert await waiting


def test_only_a_commit_that_was_made_after_the_pause_is_proof() -> None:
    partition = Partition("pancake.messages", 0)
    one = Book(partition, Start(5, 5, reach=5), Reach(records=5, ahead=10), lambda: 0)
    before = declared(one)
    assert before == Position(5, 15)
    one.doubt()
    one.committed(before)
    assert [one.sure, declared(one).offset] == [False, 5]
    one.committed(declared(one))
    assert [one.sure, one.declaration] == [True, None]


def declared(book: Book) -> Position:
    assert book.declaration is not None
    return book.declaration
