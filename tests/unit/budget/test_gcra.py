from connector.budget.gcra import Answer, Ask, State, step
from connector.budget.pace import SECOND

NOW = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND


def ask(cost: int = SECOND, *, known: int = 0, cold: int = 0, block: int = 0) -> Ask:
    return Ask("a", cost=cost, known=known, cold=cold, block=block)


def test_moments_are_handed_out_one_spacing_apart() -> None:
    state, first = step(State(NOW, NOW, NOW), NOW, ask())
    _, second = step(state, NOW, ask())
    assert (first.wait, second.wait, second.ahead) == (0, SECOND, 2 * SECOND)


def test_idle_time_is_not_saved_up() -> None:
    state, _ = step(State(NOW - HOUR, NOW - HOUR, NOW - HOUR), NOW, ask())
    _, second = step(state, NOW, ask())
    assert second.wait == SECOND


def test_a_forgotten_schedule_begins_after_what_the_caller_knows() -> None:
    state, answer = step(None, NOW, ask(known=3 * SECOND, cold=2 * SECOND))
    assert answer == Answer(granted=False, wait=5 * SECOND, ahead=5 * SECOND, processes=1, now=NOW)
    _, later = step(state, NOW + 5 * SECOND, ask())
    assert later.granted


def test_a_stale_schedule_is_moved_up_to_what_the_caller_knows() -> None:
    _, answer = step(State(NOW, NOW, NOW), NOW, ask(known=3 * SECOND))
    assert answer.wait == 3 * SECOND


def test_a_blocked_scope_tells_how_long_and_reserves_nothing() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, ask(cost=0, block=9 * SECOND))
    state, answer = step(state, NOW + SECOND, ask())
    assert (answer.granted, answer.wait, answer.ahead) == (False, 8 * SECOND, 8 * SECOND)
    _, later = step(state, NOW + 9 * SECOND, ask())
    assert (later.granted, later.wait) == (True, 0)


def test_blocks_do_not_add_up() -> None:
    state = State(NOW, NOW, NOW)
    for _ in range(100):
        state, _ = step(state, NOW, ask(cost=0, block=9 * SECOND))
    assert state.block == NOW + 9 * SECOND


def test_a_soft_block_changes_nothing_during_another() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, ask(cost=0, block=SECOND))
    state, _ = step(state, NOW + 1, Ask("b", block=5 * SECOND, soft=True))
    assert state.block == NOW + SECOND


def test_a_clock_ten_minutes_back_stops_nobody_for_ten_minutes() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, ask())
    _, answer = step(state, NOW - 600 * SECOND, ask())
    assert answer.wait == SECOND


def test_a_block_of_an_hour_survives_a_clock_that_steps_back() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, ask(cost=0, block=HOUR))
    _, answer = step(state, NOW - 600 * SECOND, ask())
    assert (answer.granted, answer.wait) == (False, HOUR)


def test_processes_are_counted_for_thirty_seconds() -> None:
    state: State | None = None
    for member in "abc":
        state, _ = step(state, NOW, Ask(member))
    _, soon = step(state, NOW + 29 * SECOND, ask())
    _, later = step(state, NOW + 31 * SECOND, ask())
    assert (soon.processes, later.processes) == (3, 1)
