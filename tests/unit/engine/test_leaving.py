"""Waiting for something, unless it is time to go."""

import asyncio

import pytest

from connector.leaving import unless


async def test_what_was_obtained_is_told() -> None:
    assert await unless(asyncio.Event(), asyncio.sleep(0))


async def test_who_leaves_before_does_not_even_begin() -> None:
    leaving = asyncio.Event()
    leaving.set()
    begun = []

    async def wait() -> None:
        begun.append(True)

    assert not await unless(leaving, wait())
    assert not begun


async def test_who_leaves_meanwhile_ends_the_wait() -> None:
    leaving, never = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(leaving.set)
    waiting = asyncio.ensure_future(unless(leaving, never.wait()))
    assert not await waiting


async def test_what_was_obtained_in_the_same_moment_is_not_forgotten() -> None:
    leaving, places = asyncio.Event(), asyncio.Semaphore(1)
    await places.acquire()
    waiting = asyncio.ensure_future(unless(leaving, places.acquire()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    places.release()
    leaving.set()
    obtained = await waiting
    assert obtained == places.locked()


async def test_an_obtained_place_wins_over_leaving() -> None:
    leaving = asyncio.Event()

    async def both() -> None:
        leaving.set()

    assert await unless(leaving, both())


async def test_what_goes_wrong_comes_out() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await unless(asyncio.Event(), wrong())
