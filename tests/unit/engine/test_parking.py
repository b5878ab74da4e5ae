"""When a page that needs a person is asked again, and what frees it."""

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.parking import FIRST_SECONDS, LONGEST_SECONDS, Parking


def test_probes_grow_from_five_minutes_to_an_hour() -> None:
    parking = Parking()
    waits = []
    for _ in range(7):
        parking.refused(parking.term, "sign in", 1)
        waits.append(parking.wait)
    assert waits == [300, 600, 1200, 2400, 3600, 3600, 3600]


def test_many_lanes_refused_at_once_are_one_refusal() -> None:
    parking = Parking()
    term = parking.term
    assert [parking.refused(term, "sign in", 7) for _ in range(10)] == [True] + [False] * 9
    assert parking.wait == FIRST_SECONDS
    assert parking.since == 7


def test_an_answer_asked_for_before_the_page_was_parked_does_not_free_it() -> None:
    parking = Parking()
    before = parking.term
    parking.refused(before, "sign in", 1)
    assert not parking.answered(before)
    assert parking.action == "sign in"
    assert parking.answered(parking.term)
    assert parking.action is None


def test_an_answer_resets_the_wait() -> None:
    parking = Parking()
    for _ in range(4):
        parking.refused(parking.term, "sign in", 1)
    parking.answered(parking.term)
    parking.refused(parking.term, "sign in", 9)
    assert parking.wait == FIRST_SECONDS
    assert parking.since == 9


def test_another_sentence_is_news_and_the_page_is_parked_since_the_first() -> None:
    parking = Parking()
    assert parking.refused(parking.term, "sign in", 1)
    assert not parking.refused(parking.term, "sign in", 2)
    assert parking.refused(parking.term, "pay", 3)
    assert (parking.action, parking.since) == ("pay", 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3))))
def test_it_is_parked_exactly_when_the_last_word_of_its_term_was_a_refusal(
    words: list[tuple[bool, int]],
) -> None:
    parking = Parking()
    parked = False
    for refused, age in words:
        current = age == 0
        term = parking.term - age
        if refused:
            parking.refused(term, "sign in", 1)
            parked = parked or current
        else:
            freed = parking.answered(term)
            assert freed == (parked and current)
            parked = parked and not current
        assert (parking.action is not None) == parked
        assert not parked or FIRST_SECONDS <= parking.wait <= LONGEST_SECONDS
