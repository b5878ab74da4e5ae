"""One renewal, step by step: what it asks for, and when it makes a token."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connector.model import Claim, Verdict
from connector.pancake.answers import Remedy
from connector.pancake.custody import DENIED, FOUGHT, LOOKS, SPOILT, Phase, Renewal, mark
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

OLD, NEW = SecretStr("old"), SecretStr("new")
STILL, RENEWED, NONE = Shown(OLD), Shown(NEW), Shown(SecretStr(""))
HELD, BUSY = Leased(Claim(Verdict.HELD)), Leased(Claim(Verdict.BUSY, 30.0))
TO_THE_CALL: list[Event] = [STILL, HELD, Waited(), STILL, Confirmed(15.0)]


def told(
    *events: Event, refused: SecretStr | None = OLD, remedy: Remedy = Remedy.REGENERATE
) -> Sequence[Effect]:
    """What a renewal does after the last of these."""
    renewal = Renewal(refused, remedy, "look")
    effects = renewal.start()
    for event in events:
        effects = renewal.step(event)
    return effects


def test_a_token_that_the_list_shows_is_taken_without_any_lease() -> None:
    assert told() == [ReadList()]
    assert told(RENEWED) == [Good(NEW)]


def test_the_way_to_a_new_token_passes_the_list_again_under_the_lease() -> None:
    assert told(STILL) == (AskLease(),)
    assert isinstance(told(STILL, HELD)[0], Wait)
    assert told(STILL, HELD, Waited()) == (ReadList(),)
    assert told(STILL, HELD, Waited(), STILL) == (ConfirmLease(),)
    assert told(*TO_THE_CALL) == (Make(15.0),)
    assert told(*TO_THE_CALL, Made(NEW)) == [Record(NEW), Good(NEW)]


def test_what_somebody_else_made_meanwhile_is_taken_and_the_lease_given_back() -> None:
    assert told(STILL, HELD, Waited(), RENEWED) == [GiveBack(), Good(NEW)]


@pytest.mark.parametrize("shown", [NONE, Shown(SecretStr(""))])
def test_a_page_without_any_token_gets_one_made(shown: Shown) -> None:
    assert told(shown, HELD, Waited(), shown, Confirmed(1.0), refused=None) == (Make(1.0),)


def test_a_lease_that_was_lost_before_the_call_makes_no_call() -> None:
    assert isinstance(told(*TO_THE_CALL[:-1], Confirmed(None))[0], Later)


def test_a_doubtful_outcome_is_looked_up_and_never_tried_again_at_once() -> None:
    unknown = NotMade(Failure.UNKNOWN)
    assert told(*TO_THE_CALL, unknown) == (ReadList(),)
    assert told(*TO_THE_CALL, unknown, RENEWED) == [Record(NEW), Good(NEW)]
    for nothing in (STILL, NotShown()):
        effects = told(*TO_THE_CALL, unknown, nothing)
        assert [type(effect) for effect in effects] == [Later], "the lease is not given back: it must lapse"


def test_a_call_that_was_refused_made_nothing_so_the_lease_is_given_back() -> None:
    assert told(*TO_THE_CALL, NotMade(Failure.REFUSED, "act")) == [GiveBack(), Parked("act")]
    effects = told(*TO_THE_CALL, NotMade(Failure.BUSY))
    assert [type(effect) for effect in effects] == [GiveBack, Later]


@pytest.mark.parametrize("events", [[NotShown()], [STILL, HELD, Waited(), NotShown()]])
def test_without_the_list_nothing_is_made(events: Sequence[Event]) -> None:
    assert isinstance(told(*events)[-1], Later)


def test_a_loser_looks_at_the_list_a_few_times_and_then_comes_later() -> None:
    rounds: list[Event] = []
    for _ in range(LOOKS):
        assert told(*rounds, STILL) == (AskLease(),)
        rounds += [STILL, BUSY, Waited()]
    assert told(*rounds, RENEWED) == [Good(NEW)]
    assert told(*rounds, STILL) == [DENIED[Verdict.BUSY]]


@pytest.mark.parametrize(("verdict", "action"), [(Verdict.FOUGHT, FOUGHT), (Verdict.SPOILT, SPOILT)])
def test_who_would_only_knock_others_out_looks_once_more_and_parks_the_page(
    verdict: Verdict, action: str
) -> None:
    denied = Leased(Claim(verdict, 300.0))
    assert told(STILL, denied, Waited(), RENEWED) == [Good(NEW)]
    assert told(STILL, denied, Waited(), STILL) == [Parked(action)]


def test_without_redis_nobody_waits_for_a_lease_that_nobody_can_give() -> None:
    assert told(STILL, Leased(Claim(Verdict.AWAY))) == [DENIED[Verdict.AWAY]]


def test_a_code_that_may_mean_anything_ends_nobodys_token() -> None:
    assert told(STILL, remedy=Remedy.REREAD) == [Parked("look")]
    assert told(RENEWED, remedy=Remedy.REREAD) == [Good(NEW)]


def test_a_page_that_nobody_sees_is_parked_with_what_to_do() -> None:
    blind = Shown(SecretStr(""), blind="log in")
    assert told(blind) == [Parked("log in")]
    assert told(STILL, HELD, Waited(), blind) == [GiveBack(), Parked("log in")]


def test_every_denial_has_its_end() -> None:
    assert {*DENIED, Verdict.HELD} == {*Verdict}


EVENTS: dict[Phase, Sequence[Event]] = {
    Phase.LOOKING: [STILL, STILL, STILL, RENEWED, NONE, NotShown()],
    Phase.ASKING: [Leased(Claim(verdict, 1.0)) for verdict in Verdict],
    Phase.LOSING: [Waited()],
    Phase.PATIENT: [Waited()],
    Phase.HOLDING: [STILL, STILL, RENEWED, NONE, NotShown()],
    Phase.CONFIRMING: [Confirmed(1.0), Confirmed(None)],
    Phase.MAKING: [Made(NEW), *(NotMade(failure) for failure in Failure)],
    Phase.DOUBTING: [STILL, RENEWED, NONE, NotShown()],
}
ENDS = (Good, Parked, Later)


@given(st.data())
def test_every_renewal_ends_soon_and_calls_once_at_most(data: st.DataObject) -> None:
    renewal = Renewal(data.draw(st.sampled_from([OLD, None])), data.draw(st.sampled_from(Remedy)), "look")
    effects: Sequence[Effect] = renewal.start()
    done: list[Effect] = []
    for _ in range(4 * LOOKS + 8):
        done += effects
        if isinstance(effects[-1], ENDS):
            break
        effects = renewal.step(data.draw(st.sampled_from(EVENTS[renewal.phase])))
    kinds = [type(effect) for effect in done]
    assert isinstance(done[-1], ENDS)
    assert kinds.count(Make) <= 1
    assert kinds.count(Record) + kinds.count(GiveBack) <= 1
    if Make in kinds:
        assert kinds[kinds.index(Make) - 2 : kinds.index(Make)] == [ReadList, ConfirmLease]
    if isinstance(done[-1], Good):
        assert done[-1].token.get_secret_value() in ("old", "new")


def test_marks_tell_tokens_apart_and_hold_nothing_of_them() -> None:
    assert mark("p", OLD) == mark("p", SecretStr("old"))
    assert len({mark("p", OLD), mark("p", NEW), mark("q", OLD), mark("p", None)}) == 4
    assert mark("p", None) == mark("p", SecretStr("")) == ""
    assert "old" not in mark("p", OLD)
