"""What a cursor says survives its bytes, and merging two of them prefers none by chance."""

import random

from hypothesis import given
from hypothesis import strategies as st

from connector.pancake.shelf import Shelf
from connector.pancake.state import (
    FINGERPRINT,
    BackfillState,
    ConversationState,
    Owed,
    PageState,
    Reason,
    WalkState,
    decode_conversation,
    decode_page,
    encode,
    encode_page,
    merge_conversations,
    merge_pages,
    owes,
)

MS = st.integers(0, 2**47)
COUNT = st.integers(0, 2**31)
HASH = st.binary(min_size=8, max_size=8).filter(any) | st.just(b"")
TAIL = st.lists(st.binary(min_size=FINGERPRINT, max_size=FINGERPRINT), max_size=32).map(b"".join)
NAME = st.uuids().map(str) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
OWED = st.builds(
    Owed, st.sampled_from(Reason), NAME, MS, COUNT, MS, MS, st.integers(0, 99), COUNT, st.booleans()
)
WALK = st.builds(WalkState, COUNT, TAIL, TAIL, st.booleans(), st.integers(0, 2**56 - 1), COUNT)
STATE = st.builds(
    ConversationState,
    updated_at=MS,
    count=COUNT,
    customer=NAME,
    snapshot=HASH,
    rest=HASH.map(lambda hashed: hashed[:4]).filter(lambda hashed: not hashed or any(hashed)),
    thread=HASH.map(lambda hashed: hashed[:6]).filter(lambda hashed: not hashed or any(hashed)),
    tail=TAIL,
    digest=st.integers(0, 2**56 - 1),
    exact=st.booleans(),
    read=st.booleans(),
    vanished=st.booleans(),
    walk=st.none() | WALK,
    owed=st.none() | OWED,
)
PAGE = st.builds(
    PageState,
    generation=st.integers(0, 3),
    watermark=MS,
    proved=MS,
    backfill=st.builds(BackfillState, after=NAME, ended=st.booleans(), listed=COUNT),
    debts=st.dictionaries(NAME, OWED, max_size=3),
)
ENCODED = STATE.map(encode) | st.binary(max_size=60)


@given(STATE)
def test_a_conversation_comes_back_as_it_was(state: ConversationState) -> None:
    raw = encode(state)
    assert decode_conversation(raw) == state
    assert owes(raw) is (state.owed is not None)


@given(PAGE)
def test_a_page_comes_back_as_it_was(state: PageState) -> None:
    assert decode_page(encode_page(state)) == state


@given(
    st.binary(max_size=200) | st.tuples(STATE, st.integers(0, 80)).map(lambda cut: encode(cut[0])[: cut[1]])
)
def test_bytes_that_are_no_state_are_none_and_never_an_error(raw: bytes) -> None:
    state = decode_conversation(raw)
    assert state is None or isinstance(state, ConversationState)


@given(PAGE, PAGE, PAGE)
def test_merging_pages_is_commutative_associative_and_idempotent(
    one: PageState, two: PageState, three: PageState
) -> None:
    assert merge_pages(one, two) == merge_pages(two, one)
    assert merge_pages(merge_pages(one, two), three) == merge_pages(one, merge_pages(two, three))
    assert merge_pages(one, one) == one


@given(PAGE, PAGE)
def test_merging_pages_invents_no_claim(one: PageState, two: PageState) -> None:
    """Each was true when it was acknowledged; the result is one of them, so it is ahead of nothing."""
    merged = merge_pages(one, two)
    assert merged in (one, two)
    assert (merged.generation, merged.watermark) == max(
        (one.generation, one.watermark), (two.generation, two.watermark)
    )


@given(ENCODED, ENCODED, ENCODED)
def test_merging_conversations_is_commutative_associative_and_idempotent(
    one: bytes, two: bytes, three: bytes
) -> None:
    assert merge_conversations(one, two) == merge_conversations(two, one)
    assert merge_conversations(merge_conversations(one, two), three) == merge_conversations(
        one, merge_conversations(two, three)
    )
    assert merge_conversations(one, one) == one
    assert merge_conversations(one, two) in (one, two)


@given(ENCODED)
def test_what_cannot_be_read_wins_over_nothing(raw: bytes) -> None:
    readable = encode(ConversationState())
    merged = merge_conversations(raw, readable)
    assert decode_conversation(merged) is not None


KEY = st.sampled_from([f"page_{n}" for n in range(40)] + [f"other_{n}" for n in range(20)])
ACT = st.tuples(st.sampled_from(["put", "show", "walk"]), KEY, st.binary(max_size=30))


@given(st.dictionaries(KEY, st.binary(max_size=30)), st.lists(ACT, max_size=150))
def test_a_shelf_is_a_dictionary_that_knows_what_was_shown(
    before: dict[str, bytes], acts: list[tuple[str, str, bytes]]
) -> None:
    shelf = Shelf("page", list(before), list(before.values()))
    model, shown = dict(before), set(before)
    for act, name, state in acts:
        if act == "put":
            shelf.put(name, state)
            model[name] = state
            shown.add(name)
        elif act == "show":
            shelf.show(name)
            shown |= {name} & model.keys()
        else:
            shelf.begin_walk()
            shown.clear()
    assert dict(shelf.items()) == model
    assert len(shelf) == len(model)
    assert all(shelf.get(name) == model.get(name) for name in [*model, "page_none"])
    unshown: list[str] = []
    at = 0
    while (found := shelf.unshown(at, 2)) is not None:
        unshown += found
        at += 2
    assert sorted(unshown) == sorted(model.keys() - shown)


@given(st.lists(st.tuples(KEY, STATE.map(encode)), max_size=20), st.randoms())
def test_records_of_one_key_give_one_state_in_whatever_order_they_come(
    records: list[tuple[str, bytes]], dice: random.Random
) -> None:
    first = Shelf("page", [name for name, _ in records], [state for _, state in records])
    dice.shuffle(records)
    second = Shelf("page", [name for name, _ in records], [state for _, state in records])
    assert dict(first.items()) == dict(second.items())
