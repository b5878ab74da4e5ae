"""The script inside Redis and the ledger in Python give every history the same verdicts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from connector.budget.leases import SCRIPT
from connector.budget.ledger import Ledger, Replacement, Terms

pytestmark = pytest.mark.integration

# Nothing ends by itself while the test runs: it lets time pass by hand, in both.
TERMS = Terms(lease=1_000_000, memory=100_000_000)
WORD = st.sampled_from(["x", "y", "z", ""])
STEP = st.one_of(
    st.tuples(st.just("claim"), st.sampled_from("pq"), st.sampled_from("abc"), WORD, st.just("")),
    st.tuples(st.just("confirm"), st.sampled_from("pq"), st.sampled_from("abc"), st.just(""), st.just("")),
    st.tuples(st.just("record"), st.sampled_from("pq"), st.sampled_from("abc"), WORD, WORD),
    st.tuples(st.just("give_back"), st.sampled_from("pq"), st.sampled_from("abc"), st.just(""), st.just("")),
    st.tuples(st.sampled_from(["warm_up", "leases lapse", "all is forgotten", "flush", "another server"])),
)


@dataclass
class InPython:
    """The ledger, and a clock turned by hand."""

    ledger: Ledger
    run: str = "1"
    now: int = 0

    def do(self, verb: str, *given: str) -> object:
        turns: dict[str, Callable[[], None]] = {
            "leases lapse": lambda: self._pass(TERMS.lease),
            "all is forgotten": lambda: self._pass(TERMS.memory),
            "flush": self._flush,
            "another server": self._move,
        }
        if verb in turns:
            turns[verb]()
            return None
        cold = self.ledger.warm_up(self.run, TERMS, self.now) > 0
        match verb, *given:
            case "claim", page, nonce, refused, _:
                return self.ledger.claim(page, nonce, refused, TERMS, self.now)[0].value
            case "confirm", page, nonce, _, _:
                return "held" if self.ledger.confirm(page, nonce, TERMS, self.now) else "lost"
            case "record", page, nonce, refused, made:
                ends = self.now + TERMS.memory
                self.ledger.record(page, nonce, Replacement(refused, made, ends))
            case "give_back", page, nonce, _, _:
                self.ledger.give_back(page, nonce)
            case _:
                return cold
        return "done"

    def _pass(self, milliseconds: int) -> None:
        self.now += milliseconds

    def _flush(self) -> None:
        self.ledger = Ledger()

    def _move(self) -> None:
        self.run += "1"


class InRedis:
    """The script; time passes by deleting what would have ended."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._script = client.register_script(SCRIPT)
        self._tag = f"t{uuid4().hex}:{{custody}}"

    def do(self, verb: str, *given: str) -> object:
        match verb:
            case "leases lapse":
                self._forget("cold", "lease:*")
            case "all is forgotten":
                self._forget("cold", "lease:*", "made:*")
            case "flush":
                self._forget("*")
            case "another server":
                self._client.set(f"{self._tag}:run", "another")
            case _:
                return self._ask(verb, *given)
        return None

    def _ask(self, verb: str, page: str = "", nonce: str = "", refused: str = "", made: str = "") -> object:
        keys = [f"{self._tag}:{name}" for name in ("run", "cold", f"lease:{page}", f"made:{page}")]
        word, number = self._script(keys=keys, args=[verb, nonce, TERMS.lease, TERMS.memory, refused, made])
        return int(number) > 0 if verb == "warm_up" else word.decode()

    def _forget(self, *names: str) -> None:
        for name in names:
            for key in self._client.scan_iter(f"{self._tag}:{name}"):
                self._client.delete(key)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(STEP, max_size=40))
def test_the_script_and_the_ledger_give_the_same_verdicts(
    redis_url: str, history: Sequence[tuple[str, ...]]
) -> None:
    with Redis.from_url(redis_url) as client:
        theirs, ours = InRedis(client), InPython(Ledger())
        for step in history:
            assert theirs.do(*step) == ours.do(*step), step
