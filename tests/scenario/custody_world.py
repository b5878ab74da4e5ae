"""
Eight pollers that share pages, on a virtual clock: what becomes of a page's token under everything.

Synchronous and drawn from one seed. The renewals, the ledger and the rules by which a token opens a
page are those of the program and of the simulator; this file is the weather between them.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pydantic import SecretStr

from connector.budget.leases import LeaseOptions
from connector.budget.ledger import Ledger, Replacement
from connector.model import Claim, Verdict
from connector.pancake.answers import TOKEN_CODES
from connector.pancake.custody import Renewal, mark
from connector.pancake.custody_events import (
    AskLease,
    Confirmed,
    ConfirmLease,
    Effect,
    Event,
    Failure,
    GiveBack,
    Good,
    Later,
    Leased,
    Made,
    Make,
    NotMade,
    NotShown,
    Parked,
    ReadList,
    Record,
    Shown,
    Wait,
    Waited,
)
from connector.simulator.access import Access

Then = Callable[[Event | None], None]

CALL_TIMEOUT = 60.0
OPTIONS = LeaseOptions(CALL_TIMEOUT)
TERMS = OPTIONS.terms
LIST_LAG = 3.0  # the list shows a new token so much late, at most; less than custody.SETTLE
POLLERS = 8
STORM = 1500.0  # seconds in which things go wrong
CALM = 12_000.0  # seconds after them: a memory, and the longest pause of a parked page, have passed
PROBES = (300.0, 3600.0)


class RegeneratedTooOftenError(AssertionError):
    """We ended a token that had not died, or one more than once."""


@dataclass
class PageOfWorld:
    """A page as Pancake keeps it: ``expiries`` that happened, tokens that ``ours`` made for them."""

    access: Access
    expiries: int = 0
    ours: int = 0
    before: str = ""
    shown_from: float = 0.0

    def listed(self, now: float) -> str:
        return self.access.token if now >= self.shown_from else self.before

    def regenerate(self, now: float, lag: float) -> str:
        if now >= self.shown_from:
            self.before = self.access.token
        self.shown_from = now + lag
        return self.access.regenerate()

    def expire(self) -> None:
        self.expiries += not self.access.expired
        self.access.expired = True


@dataclass
class Poller:
    """One process: ``life`` counts its restarts; what an earlier life had planned never happens."""

    number: int
    life: int = 0
    down: bool = False
    wakes: float = 0.0
    tokens: dict[str, SecretStr] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A renewal under way."""

    page_id: str
    refused: SecretStr | None
    nonce: str
    renewal: Renewal


def copied(ledger: Ledger) -> Ledger:
    return Ledger(ledger.run, ledger.cold_until, dict(ledger.leases), dict(ledger.made))


class CustodyWorld:
    """``run`` lets the whole of it happen; ``history`` tells it, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.history: list[str] = []
        self.pages = {name: PageOfWorld(Access(name)) for name in ("p1", "p2")[: self.dice.choice((1, 1, 2))]}
        self.pollers = [Poller(number) for number in range(POLLERS)]
        self.trouble = self.dice.choice((0.0, 0.02, 0.1, 0.25))  # chance of each single mishap
        self._ledger, self._server, self._copies = Ledger(), 0, [Ledger()]
        self._redis_down = False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._asks = {
            ReadList: self._read_list,
            AskLease: self._ask_lease,
            ConfirmLease: self._confirm_lease,
            GiveBack: self._give_back,
        }
        self._order = itertools.count()
        self._nonces = itertools.count()
        for page in self.pages.values():
            page.access.regenerate()

    def run(self) -> None:
        """
        A storm, and then calm.

        Raises:
            RegeneratedTooOftenError: the promise is broken; at once.
        """
        for poller in self.pollers:
            self._live(poller)
        self._plan_the_storm()
        self._at(STORM, self._calm)
        while self._queue and self._queue[0][0] <= STORM + CALM:
            self.now, _, act = heapq.heappop(self._queue)
            act()

    def blind(self) -> Sequence[str]:
        """Who has no good token of which page."""
        return [
            f"poller {poller.number} {name}"
            for poller in self.pollers
            for name, page in self.pages.items()
            if page.access.refusal(self._held(poller, name)) is not None
        ]

    def _held(self, poller: Poller, page_id: str) -> str:
        token = poller.tokens.get(page_id)
        return token.get_secret_value() if token else ""

    def _tell(self, what: str) -> None:
        self.history.append(f"{self.now:.3f} {what}")

    # Time

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (moment, next(self._order), act))

    def _later(self, poller: Poller, seconds: float, act: Callable[[], None]) -> None:
        """What a process does after a while: never, when it died; late, when it was frozen."""
        life = poller.life

        def due() -> None:
            if poller.life != life or poller.down:
                return
            if self.now < poller.wakes:
                self._at(poller.wakes, due)
            else:
                act()

        self._at(self.now + seconds, due)

    def _happens(self) -> bool:
        return self.now < STORM and self.dice.random() < self.trouble

    def _soon(self, most: float = 1.5) -> float:
        """How long something on the network takes; at times long."""
        longest = CALL_TIMEOUT * 0.9 if self._happens() else most
        return self.dice.uniform(0.01, longest)

    # The storm

    def _plan_the_storm(self) -> None:
        dice = self.dice
        storms: Sequence[tuple[Callable[[], None], int]] = (
            (self._somebody_else, 4),
            (self._kill_one, 8),
            (self._freeze_one, 5),
            (self._flush, 2),
            (self._restart, 2),
            (self._fail_over, 2),
            (self._redis_goes, 2),
        )
        deaths = [dice.uniform(0.0, STORM) for _ in range(dice.randint(1, 4))]
        for moment in deaths:
            self._at(moment, self._expire)
        for act, most in storms:
            for _ in range(dice.randint(0, most)):
                # Half of it hits where it hurts: while a new token is being made.
                near = dice.choice(deaths) + dice.expovariate(1 / 40)
                self._at(min(STORM, dice.choice((near, dice.uniform(0.0, STORM)))), act)
        for moment in range(0, int(STORM), 100):
            self._at(moment + 0.5, self._copy)

    def _any_page(self) -> tuple[str, PageOfWorld]:
        return self.dice.choice(list(self.pages.items()))

    def _expire(self) -> None:
        name, page = self._any_page()
        page.expire()
        self._tell(f"token of {name} expires")

    def _somebody_else(self) -> None:
        name, page = self._any_page()
        page.regenerate(self.now, self.dice.uniform(0.0, LIST_LAG))
        self._tell(f"somebody else regenerates {name}")

    def _kill_one(self) -> None:
        self._kill(self.dice.choice(self.pollers))

    def _kill(self, poller: Poller) -> None:
        if poller.down or self.now >= STORM:
            return
        self._tell(f"poller {poller.number} dies")
        poller.down = True
        self._at(min(STORM, self.now + self.dice.uniform(0.1, 120.0)), lambda: self._live(poller))

    def _live(self, poller: Poller) -> None:
        poller.life, poller.down, poller.wakes = poller.life + 1, False, 0.0
        poller.tokens, poller.parked = {}, {}
        for name in self.pages:
            self._later(poller, self.dice.uniform(0.0, 20.0), partial(self._call, poller, name))

    def _freeze_one(self) -> None:
        self._freeze(self.dice.choice(self.pollers))

    def _freeze(self, poller: Poller) -> None:
        poller.wakes = min(STORM, self.now + self.dice.choice((2.0, 30.0, 100.0, 400.0)))
        self._tell(f"poller {poller.number} freezes")

    def _calm(self) -> None:
        self._redis_down = False
        for poller in self.pollers:
            if poller.down:
                self._live(poller)

    # Redis

    def _flush(self) -> None:
        self._tell("redis is flushed")
        self._ledger = Ledger()

    def _restart(self) -> None:
        self._tell("redis restarts, empty or with all that it had")
        self._server += 1
        self._ledger = self.dice.choice((Ledger(), self._ledger))

    def _copy(self) -> None:
        self._copies.append(copied(self._ledger))

    def _fail_over(self) -> None:
        self._tell("redis fails over to an old copy")
        self._server += 1
        self._ledger = copied(self.dice.choice(self._copies[-3:]))

    def _redis_goes(self) -> None:
        self._redis_down = True
        self._at(self.now + self.dice.uniform(1.0, 200.0), self._redis_comes)

    def _redis_comes(self) -> None:
        self._redis_down = False

    def _ask(
        self, poller: Poller, ask: Callable[[int], Event], away: Event, then: Callable[[Event], None]
    ) -> None:
        """One script call: it may not arrive, and its answer may be lost."""

        def arrive() -> None:
            if self._redis_down or self._happens():
                self._later(poller, 1.0, lambda: then(away))
                return
            now = round(self.now * 1000)
            self._ledger.warm_up(str(self._server), TERMS, now)
            said = ask(now)
            heard = away if self._happens() else said
            self._later(poller, self.dice.uniform(0.001, 0.5), lambda: then(heard))

        # What is on the way arrives, whether its sender lives or not.
        self._at(self.now + self.dice.uniform(0.001, 0.5), arrive)

    # What a poller does

    def _call(self, poller: Poller, name: str) -> None:
        """A call for the page: with what the poller holds, or without a token at all."""
        code = self.pages[name].access.refusal(self._held(poller, name))
        if code is None:
            poller.parked.pop(name, None)
            pause = 60.0 if self.now < STORM else 1800.0
            self._later(poller, self.dice.uniform(0.5, 1.5) * pause, lambda: self._call(poller, name))
            return
        case = Case(
            name, poller.tokens.get(name), f"n{next(self._nonces)}",
            Renewal(poller.tokens.get(name), *TOKEN_CODES[code]),
        )  # fmt: skip
        self._do(poller, case, case.renewal.start())

    def _do(self, poller: Poller, case: Case, effects: Sequence[Effect]) -> None:
        effect, *rest = effects
        if self._struck(poller):
            return

        def then(event: Event | None) -> None:
            if self._struck(poller):
                return
            if event is None:
                self._do(poller, case, rest)
            else:
                self._do(poller, case, case.renewal.step(event))

        match effect:
            case Make(not_after):
                self._later(poller, self._soon(5.0), lambda: self._send(poller, case, not_after, then))
            case Wait(seconds):
                self._later(poller, seconds * self.dice.uniform(1.0, 2.0), lambda: then(Waited()))
            case Record(token):
                self._record(poller, case, token, then)
            case Good() | Parked() | Later():
                self._later(
                    poller, self._ended(poller, case, effect), lambda: self._call(poller, case.page_id)
                )
            case _:
                self._asks[type(effect)](poller, case, then)

    def _ended(self, poller: Poller, case: Case, end: Good | Parked | Later) -> float:
        """Seconds until the poller calls again."""
        if isinstance(end, Good):
            poller.tokens[case.page_id] = end.token
            return 0.1
        if isinstance(end, Later):
            return self.dice.uniform(1.0, 60.0)
        tries = poller.parked[case.page_id] = poller.parked.get(case.page_id, 0) + 1
        return min(PROBES[1], PROBES[0] * 2.0 ** (tries - 1))

    def _struck(self, poller: Poller) -> bool:
        """Between any two steps a process may die, or stand still before it takes the next."""
        if self._happens():
            self.dice.choice((self._kill, self._freeze))(poller)
        return poller.down

    def _read_list(self, poller: Poller, case: Case, then: Then) -> None:
        failed, back = self._happens(), self._soon()

        def arrive() -> None:
            token = self.pages[case.page_id].listed(self.now)
            shown: Event = NotShown() if failed else Shown(SecretStr(token))
            self._later(poller, back, lambda: then(shown))

        self._later(poller, self._soon(), arrive)

    def _ask_lease(self, poller: Poller, case: Case, then: Then) -> None:
        refused = mark(case.page_id, case.refused)

        def claim(now: int) -> Event:
            verdict, wait = self._ledger.claim(case.page_id, case.nonce, refused, TERMS, now)
            return Leased(Claim(verdict, wait / 1000))

        self._ask(poller, claim, Leased(Claim(Verdict.AWAY)), then)

    def _confirm_lease(self, poller: Poller, case: Case, then: Then) -> None:
        until = self.now + OPTIONS.window

        def confirm(now: int) -> Event:
            held = self._ledger.confirm(case.page_id, case.nonce, TERMS, now)
            return Confirmed(until if held else None)

        self._ask(poller, confirm, Confirmed(None), then)

    def _record(self, poller: Poller, case: Case, token: SecretStr, then: Then) -> None:
        old, new = mark(case.page_id, case.refused), mark(case.page_id, token)

        def record(now: int) -> Event:
            made = Replacement(old, new, now + TERMS.memory)
            self._ledger.record(case.page_id, case.nonce, made)
            return Waited()

        self._ask(poller, record, Waited(), lambda _: then(None))

    def _give_back(self, poller: Poller, case: Case, then: Then) -> None:
        def give_back(_: int) -> Event:
            self._ledger.give_back(case.page_id, case.nonce)
            return Waited()

        self._ask(poller, give_back, Waited(), lambda _: then(None))

    def _send(self, poller: Poller, case: Case, not_after: float, then: Then) -> None:
        if self.now >= not_after:
            then(NotMade(Failure.UNKNOWN))
            return
        sent, way = self.now, self._on_the_way()
        if self._happens():
            self._later(poller, way, lambda: then(NotMade(Failure.BUSY)))
            return
        applied, answered = not self._happens(), not self._happens()
        made: list[str] = []
        # On the wire it is out of our hands: it is applied even if who sent it dies.
        if applied:
            self._at(sent + way, lambda: made.append(self._applied(poller, case.page_id)))

        def back() -> None:
            in_time = self.now < sent + CALL_TIMEOUT
            then(Made(SecretStr(made[0])) if made and answered and in_time else NotMade(Failure.UNKNOWN))

        heard = way + self._soon() if applied and answered else self.dice.uniform(0.0, CALL_TIMEOUT)
        self._later(poller, min(heard, CALL_TIMEOUT), back)

    def _on_the_way(self) -> float:
        """Seconds until a call for a token is applied: at times after its sender has given it up."""
        return (
            self.dice.uniform(0.0, CALL_TIMEOUT + OPTIONS.margin * 0.9) if self._happens() else self._soon()
        )

    def _applied(self, poller: Poller, name: str) -> str:
        page = self.pages[name]
        page.ours += 1
        self._tell(f"poller {poller.number} regenerates {name}: {page.ours} for {page.expiries}")
        if page.ours > page.expiries:
            raise RegeneratedTooOftenError(f"{name}: {page.ours} regenerations for {page.expiries} expiries")
        return page.regenerate(self.now, self.dice.uniform(0.0, LIST_LAG))
