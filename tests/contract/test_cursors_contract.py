"""What every CursorStore promises, asked of the one in memory and of the one on a real Kafka."""

import asyncio

from connector.kafka.partitioner import partition_of
from connector.model import CursorRecord, Partition
from tests.fakes.sides import PARTITIONS, Side
from tests.services.waiting import wait_until_async

PAGE = "p1"
HOME = partition_of(PAGE, PARTITIONS)
OTHER = (HOME + 1) % PARTITIONS


def page(state: bytes) -> CursorRecord:
    return CursorRecord(PAGE, "", state)


def conversation(name: str, state: bytes) -> CursorRecord:
    return CursorRecord(PAGE, name, state)


async def test_nothing_was_saved(side: Side) -> None:
    _, cursors = side.poster()
    assert list(await cursors.load(HOME)) == []


async def test_what_was_acknowledged_is_loaded_the_newest_of_each_key(side: Side) -> None:
    poster, cursors = side.poster()
    await poster.save([page(b"1"), conversation("a", b"1"), conversation("b", b"1")])
    await poster.save([page(b"2"), conversation("a", b"2")])
    assert set(await cursors.load(HOME)) == {page(b"2"), conversation("a", b"2"), conversation("b", b"1")}


async def test_what_another_owner_saved_is_seen_by_the_next(side: Side) -> None:
    first, first_cursors = side.poster()
    await first_cursors.load(HOME)
    await first.save([page(b"first"), conversation("a", bytes(range(256)))])
    second, second_cursors = side.poster()
    assert set(await second_cursors.load(HOME)) == {page(b"first"), conversation("a", bytes(range(256)))}
    await second.save([page(b"second")])
    assert page(b"second") in await first_cursors.load(HOME)


async def test_what_an_old_owner_saves_late_counts_and_its_page_is_walked_again(side: Side) -> None:
    # The late record may lie over one that said of its conversation that it is owed, and the position
    # of the page stands on that.
    old, old_cursors = side.poster()
    new, new_cursors = side.poster()
    await old_cursors.load(HOME)
    await old.save([conversation("a", b"read"), page(b"old")])
    await new_cursors.load(HOME)
    await new.save([conversation("a", b"owed"), conversation("b", b"read"), page(b"new")])
    await old.save([conversation("a", b"late")])
    _, third = side.poster()
    assert set(await third.load(HOME)) == {conversation("a", b"late"), conversation("b", b"read")}


async def test_a_late_record_of_one_page_casts_no_doubt_on_another(side: Side) -> None:
    neighbour = next(f"q{n}" for n in range(99) if partition_of(f"q{n}", PARTITIONS) == HOME)
    old, old_cursors = side.poster()
    new, new_cursors = side.poster()
    await old_cursors.load(HOME)
    await new_cursors.load(HOME)
    await new.save([page(b"new"), CursorRecord(neighbour, "", b"new")])
    await old.save([page(b"late")])
    assert list(await new_cursors.load(HOME)) == [CursorRecord(neighbour, "", b"new")]


async def test_a_page_that_was_walked_again_is_believed_again(side: Side) -> None:
    old, old_cursors = side.poster()
    new, new_cursors = side.poster()
    third, third_cursors = side.poster()
    await old_cursors.load(HOME)
    await new_cursors.load(HOME)
    await old.save([conversation("a", b"late")])
    await new.save([page(b"knows nothing of it")])
    assert page(b"knows nothing of it") not in await third_cursors.load(HOME)
    await third.save([page(b"walked again")])
    assert page(b"walked again") in await new_cursors.load(HOME)


async def test_a_claim_of_the_same_owner_takes_no_doubt_away(side: Side) -> None:
    # It loads a partition again for one page of it; the others go on as they were.
    old, old_cursors = side.poster()
    new, new_cursors = side.poster()
    await old_cursors.load(HOME)
    await new_cursors.load(HOME)
    await old.save([page(b"late")])
    await new_cursors.load(HOME)
    await new.save([page(b"knows nothing of it")])
    _, third = side.poster()
    assert not await third.load(HOME)


async def test_every_partition_holds_its_own_pages_alone(side: Side) -> None:
    poster, cursors = side.poster()
    pages = [f"p{n}" for n in range(20)]
    await poster.save([CursorRecord(name, "", name.encode()) for name in pages])
    found = [await cursors.load(number) for number in range(PARTITIONS)]
    for number, records in enumerate(found):
        assert {record.page_id for record in records} == {
            name for name in pages if partition_of(name, PARTITIONS) == number
        }


async def test_loading_again_and_again_changes_nothing(side: Side) -> None:
    poster, cursors = side.poster()
    await poster.save([page(b"1")])
    answers = await asyncio.gather(*(cursors.load(HOME) for _ in range(3)))
    assert [list(answer) for answer in answers] == [[page(b"1")]] * 3


async def test_every_load_leaves_a_claim_that_is_no_cursor(side: Side) -> None:
    poster, cursors = side.poster()
    await cursors.load(HOME)
    await poster.save([page(b"1")])
    await cursors.load(HOME)
    keys = [record.key for record in await side.lying(side.topics.cursors)]
    assert keys == [b"claim", b"p1", b"claim"]


async def test_many_cursors_are_all_loaded(side: Side) -> None:
    poster, cursors = side.poster()
    many = [conversation(f"c{n}", n.to_bytes(4, "big")) for n in range(3000)]
    await poster.save(many)
    assert set(await cursors.load(HOME)) == set(many)


async def test_a_cursor_that_was_deleted_is_none(side: Side) -> None:
    poster, cursors = side.poster()
    await poster.save([page(b"1"), conversation("a", b"1")])
    await side.put(Partition(side.topics.cursors, HOME), b"p1\0a", None)
    assert list(await cursors.load(HOME)) == [page(b"1")]


async def test_a_cursor_that_cannot_be_read_is_as_good_as_none(side: Side) -> None:
    poster, cursors = side.poster()
    await poster.save([page(b"1"), conversation("a", b"1")])
    await side.put(Partition(side.topics.cursors, HOME), b"p1\0a", b"junk")
    assert list(await cursors.load(HOME)) == [page(b"1")]


async def test_what_was_loaded_is_held_until_another_process_loads_it(side: Side) -> None:
    _, first = side.poster()
    _, second = side.poster()
    await first.load(HOME)
    await first.load(OTHER)
    await first.catch_up()
    assert set(first.held()) == {HOME, OTHER}
    await second.load(HOME)
    await first.catch_up()
    assert set(first.held()) == {OTHER}
    assert set(second.held()) == {HOME}


async def test_a_newer_claim_is_noticed_without_asking(side: Side) -> None:
    _, first = side.poster()
    _, second = side.poster()
    await first.load(HOME)
    await second.load(HOME)
    await wait_until_async(lambda: not first.held(), timeout=30, what="the old owner to notice")


async def test_what_others_save_is_no_claim(side: Side) -> None:
    _, first = side.poster()
    other, _ = side.poster()
    await first.load(HOME)
    await other.save([page(b"1"), conversation("claim", b"1")])
    await first.catch_up()
    assert set(first.held()) == {HOME}


async def test_claims_of_our_own_change_nothing_and_the_last_one_counts(side: Side) -> None:
    _, first = side.poster()
    _, second = side.poster()
    for cursors in (first, first, second, first):
        await cursors.load(HOME)
    await first.catch_up()
    await second.catch_up()
    assert set(first.held()) == {HOME}
    assert not second.held()


async def test_what_is_released_is_held_no_more_and_can_be_loaded_again(side: Side) -> None:
    _, cursors = side.poster()
    await cursors.load(HOME)
    cursors.release(HOME)
    await cursors.catch_up()
    assert not cursors.held()
    await cursors.load(HOME)
    await cursors.catch_up()
    assert set(cursors.held()) == {HOME}


async def test_a_claim_that_cannot_be_read_is_somebody_elses(side: Side) -> None:
    _, cursors = side.poster()
    await cursors.load(HOME)
    await side.put(Partition(side.topics.cursors, HOME), b"claim", b"junk")
    await cursors.catch_up()
    assert not cursors.held()


async def test_many_records_behind_a_claim_do_not_hide_the_next(side: Side) -> None:
    poster, first = side.poster()
    _, second = side.poster()
    await first.load(HOME)
    await poster.save([conversation(f"c{n}", bytes(50)) for n in range(3000)])
    await second.load(HOME)
    await first.catch_up()
    assert not first.held()
