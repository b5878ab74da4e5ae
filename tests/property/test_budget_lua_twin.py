"""The script inside Redis and the function in Python answer every history alike."""

from dataclasses import asdict
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from connector.budget.gcra import Ask, Refusal, State, step
from connector.budget.learnt import FULL, UNTAUGHT, Learnt
from connector.budget.pace import SECOND
from connector.budget.redis import SCRIPT, answered, arguments

pytestmark = pytest.mark.integration

# The script as shipped, with a hand on the clock that it reads.
CLOCK = """
local real = redis
local redis = {call = real.call, pcall = function(command, ...)
  if command == 'TIME' then return {ARGV[21], ARGV[22]} end
  return real.pcall(command, ...)
end}
"""
START = 1_790_000_000 * SECOND + 123_456
DISTANCE = st.one_of(st.just(0), st.integers(0, 5 * SECOND), st.integers(0, 3600 * SECOND))
# Mostly none: a history of blocks alone would never come to a moment.
SELDOM = st.one_of(st.just(0), st.just(0), st.just(0), st.just(0), DISTANCE)
LEVEL = st.integers(1_000, FULL)
LEARNT = st.builds(
    Learnt,
    cuts=st.integers(0, 40),
    top=LEVEL,
    base=LEVEL,
    passed=st.one_of(st.integers(0, 400), st.integers(0, 10**9)),
    streak=st.integers(0, 15),
    cap=LEVEL,
)
ASK = st.builds(
    Ask,
    member=st.sampled_from("abc"),
    cost=st.one_of(st.just(0), st.integers(1, 10 * SECOND), st.integers(1, 3600 * SECOND)),
    extra=st.integers(0, SECOND),
    rank=st.integers(0, 3),
    known=SELDOM,
    cold=SELDOM,
    join=st.sampled_from([0, SECOND // 4]),
    block=SELDOM,
    soft=st.booleans(),
    refusal=st.one_of(
        st.none(), st.none(), st.builds(Refusal, left=DISTANCE, grace=DISTANCE, brief=DISTANCE)
    ),
    learnt=st.one_of(st.just(UNTAUGHT), LEARNT),
    cap=st.one_of(st.just(0), st.just(0), LEVEL),
)
# Seconds pass between two questions; now and then the clock of the Redis host steps back or forward.
PASSES = st.one_of(
    st.integers(0, 2 * SECOND), st.integers(0, 2 * SECOND), st.integers(-600 * SECOND, 3600 * SECOND)
)
FORGETS = st.sampled_from([False] * 9 + [True])


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
            reply = script(keys=[key, f"{key}:seen"], args=[*arguments(ask, 0), *clock])
            state, answer = step(state, now, ask)
            assert answered(reply) == answer
            assert kept(client, key) == written(state)
            assert dict(client.zrange(f"{key}:seen", 0, -1, withscores=True)) == {
                who.encode(): seen for who, seen in state.members.items()
            }


def kept(client: "Redis", key: str) -> dict[str, str]:
    return {as_text(name): as_text(value) for name, value in client.hgetall(key).items()}


def as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def written(state: State) -> dict[str, str]:
    """A state as it lies in Redis."""
    plain = {
        "at": state.at,
        "block": state.block,
        "seen": state.seen,
        "cut": state.cut,
        **asdict(state.learnt),
    }
    for name, values in (("wait", state.waits), ("due", state.dues), ("who", state.whos)):
        plain |= {f"{name}{number}": value for number, value in enumerate(values)}
    return {name: str(value) for name, value in plain.items()}


def test_an_idle_schedule_is_forgotten_only_when_it_no_longer_matters(redis_url: str) -> None:
    key = f"rl:{{{uuid4()}}}"
    state: State | None = None
    with Redis.from_url(redis_url) as client:
        script = client.register_script(SCRIPT)
        script(keys=[key, f"{key}:seen"], args=arguments(Ask("a", block=3600 * SECOND), 0))
        assert state is None
        assert client.pttl(key) > 3600 * 1000
        assert client.pttl(f"{key}:seen") > 0
