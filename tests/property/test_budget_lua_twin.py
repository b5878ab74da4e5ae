"""The script inside Redis and the function in Python answer every history alike."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from connector.budget.gcra import Answer, Ask, State, step
from connector.budget.pace import SECOND
from connector.budget.redis import SCRIPT, arguments

pytestmark = pytest.mark.integration

# The script as shipped, with a hand on the clock that it reads.
CLOCK = """
local real = redis
local redis = {call = function(command, ...)
  if command == 'TIME' then return {ARGV[7], ARGV[8]} end
  return real.call(command, ...)
end}
"""
START = 1_790_000_000 * SECOND + 123_456
DISTANCE = st.one_of(st.just(0), st.integers(0, 5 * SECOND), st.integers(0, 3600 * SECOND))
ASK = st.builds(
    Ask,
    member=st.sampled_from("abc"),
    cost=st.one_of(st.just(0), st.integers(1, 10 * SECOND)),
    known=DISTANCE,
    cold=DISTANCE,
    block=DISTANCE,
    soft=st.booleans(),
)
# Seconds pass between two questions; now and then the clock of the Redis host steps back or forward.
PASSES = st.one_of(st.integers(0, 2 * SECOND), st.integers(-600 * SECOND, 3600 * SECOND))
FORGETS = st.sampled_from([False, False, False, True])


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(PASSES, FORGETS, ASK), max_size=30))
def test_the_script_and_its_twin_give_the_same_answers(
    redis_url: str, history: list[tuple[int, bool, Ask]]
) -> None:
    key = f"rl:{{{uuid4()}}}"
    now, state = START, None
    with Redis.from_url(redis_url) as client:
        script = client.register_script(CLOCK + SCRIPT)
        for passes, forgets, ask in history:
            now += passes
            if forgets:
                client.delete(key, f"{key}:seen")
                state = None
            clock = divmod(now, SECOND)
            granted, *numbers = script(keys=[key, f"{key}:seen"], args=[*arguments(ask), *clock])
            state, answer = step(state, now, ask)
            assert Answer(bool(granted), *numbers) == answer
            assert kept(client, key) == (state.at, state.block, state.seen)


def kept(client: "Redis", key: str) -> tuple[int, ...]:
    fields = client.hmget(key, ["at", "block", "seen"])
    return tuple(int(field or -1) for field in fields)


def test_an_idle_schedule_is_forgotten_only_when_it_no_longer_matters(redis_url: str) -> None:
    key = f"rl:{{{uuid4()}}}"
    state: State | None = None
    with Redis.from_url(redis_url) as client:
        script = client.register_script(SCRIPT)
        script(keys=[key, f"{key}:seen"], args=arguments(Ask("a", block=3600 * SECOND)))
        assert state is None
        assert client.pttl(key) > 3600 * 1000
        assert client.pttl(f"{key}:seen") > 0
