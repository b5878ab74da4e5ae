import asyncio

import pytest

from connector.budget.line import Line
from connector.ports import Priority


def served(line: Line, places: dict[str, asyncio.Future[float]]) -> str:
    """Serve once and say who got it."""
    before = {name for name, place in places.items() if place.done()}
    line.serve(1.0)
    (winner,) = {name for name, place in places.items() if place.done()} - before
    return winner


async def test_the_best_class_goes_first_and_the_first_to_come_within_a_class() -> None:
    line = Line(patience=20)
    places = {
        "replay": line.join(Priority.REPLAY),
        "backfill": line.join(Priority.BACKFILL),
        "live 1": line.join(Priority.LIVE),
        "live 2": line.join(Priority.LIVE),
    }
    order = [served(line, places) for _ in range(4)]
    assert order == ["live 1", "live 2", "backfill", "replay"]


async def test_who_lost_a_moment_goes_to_the_head_of_its_class() -> None:
    line = Line(patience=20)
    places = {"patient": line.join(Priority.LIVE), "unlucky": line.join(Priority.LIVE, first=True)}
    assert served(line, places) == "unlucky"


@pytest.mark.parametrize("patience", [1, 5, 20])
async def test_no_class_is_passed_over_for_ever(patience: int) -> None:
    line = Line(patience)
    low = {each: line.join(each) for each in (Priority.VERIFY, Priority.BACKFILL, Priority.REPLAY)}
    for _ in range(patience + len(low)):
        line.join(Priority.LIVE)
        line.serve(1.0)
    assert all(place.done() for place in low.values())


async def test_a_place_given_up_is_not_served() -> None:
    line = Line(patience=20)
    gone, stays = line.join(Priority.LIVE), line.join(Priority.LIVE)
    line.leave(Priority.LIVE, gone)
    line.serve(1.0)
    assert stays.done()
    assert not gone.done()


async def test_a_caller_cancelled_in_the_same_turn_is_skipped() -> None:
    line = Line(patience=20)
    gone, stays = line.join(Priority.LIVE), line.join(Priority.LIVE)
    gone.cancel()
    line.serve(1.0)
    assert await stays == 1.0


async def test_a_moment_that_nobody_waits_for_is_lost() -> None:
    line = Line(patience=20)
    line.serve(1.0)
    assert len(line) == 0
