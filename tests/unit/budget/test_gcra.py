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


def waiting(rank: int, member: str) -> State:
    """Two classes had their moments lately, and somebody of the better one waits."""
    state, _ = step(State(NOW, NOW, NOW), NOW, Ask("a", cost=SECOND, rank=3))
    state, _ = step(state, NOW, Ask(member, cost=SECOND, rank=rank))
    return state


def test_while_a_better_class_waits_elsewhere_a_lower_one_is_told_to_ask_again() -> None:
    _, answer = step(waiting(0, "b"), NOW, Ask("a", cost=SECOND, rank=3))
    assert (answer.granted, answer.yields) == (False, True)
    # The better one's moment, and two spacings in which it may ask for the next.
    assert answer.wait == SECOND + 2 * SECOND


def test_when_its_turn_has_come_a_lower_class_goes_though_a_better_one_waits() -> None:
    state = waiting(0, "b")
    for second in range(1, 21):
        state, _ = step(state, NOW + second * SECOND, Ask("b", cost=SECOND))
    _, answer = step(state, NOW + 20 * SECOND, Ask("a", cost=SECOND, rank=3))
    assert answer.granted


def test_a_process_does_not_yield_to_itself_or_to_a_lower_class() -> None:
    _, own = step(waiting(0, "a"), NOW, Ask("a", cost=SECOND, rank=3))
    _, better = step(waiting(3, "b"), NOW, Ask("c", cost=SECOND, rank=1))
    assert own.granted
    assert better.granted


def test_who_is_new_to_others_moves_the_schedule_once() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, Ask("a", cost=SECOND, join=SECOND // 4))
    state, first = step(state, NOW, Ask("b", cost=SECOND, join=SECOND // 4))
    _, second = step(state, NOW, Ask("b", cost=SECOND, join=SECOND // 4))
    assert (first.wait, second.wait) == (SECOND + SECOND // 4, 2 * SECOND + SECOND // 4)


def test_room_for_others_is_charged_only_when_there_are_others() -> None:
    state, alone = step(State(NOW, NOW, NOW), NOW, Ask("a", cost=SECOND, extra=1000))
    _, two = step(state, NOW, Ask("b", cost=SECOND, extra=1000))
    assert (alone.ahead, two.ahead) == (SECOND, 2 * SECOND + 1000)


def test_a_process_that_holds_a_far_moment_still_counts() -> None:
    state, _ = step(State(NOW, NOW, NOW), NOW, Ask("a", cost=HOUR))
    state, _ = step(state, NOW, Ask("a", cost=HOUR))
    _, answer = step(state, NOW + HOUR // 2, Ask("b"))
    assert answer.processes == 2
