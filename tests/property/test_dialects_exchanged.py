"""Whatever FolkForm is exchanged for whatever other one, everything arrives, and finding out stays cheap."""

import asyncio
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from connector.folkform.dialects import DIALECTS, Dialects
from connector.folkform.sink import FolkFormSink
from connector.model import Event
from connector.settings import FolkFormSettings
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions
from tests.fakes.clock import FakeClock
from tests.fakes.counter import NearClient
from tests.unit.folkform.desk import message, snapshot

Generation = Literal[1, 2, 3]
What = tuple[Literal["snapshot", "message", "many"], int]
STEPS = st.lists(
    st.one_of(
        st.sampled_from([1, 2, 3]),
        st.tuples(st.sampled_from(["snapshot", "message", "many"]), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=20,
)


async def lived(steps: list[Generation | What], *, batch: bool) -> None:
    clock = FakeClock()
    options = FolkFormOptions(rate=None, second_ingest="works", batch_upsert=20 if batch else 0)
    folkform = FolkFormSimulator(options=options, clock=clock)
    client = NearClient(folkform, clock)
    given = FolkFormSettings(
        base_url="http://folkform.test/api",
        token=SecretStr(options.token),
        role_id=options.role_id,
        rate="off",
    )
    sink = FolkFormSink(client, given)
    exchanges = 0
    for number, step in enumerate(steps):
        if isinstance(step, int):
            exchanges += step != options.generation
            options.generation = step
            continue
        what, width = step
        lanes = [[written(what, number, at)] for at in range(width + 1)]
        if what == "many" and sink.width > 1:
            assert await sink.write_many(lanes[: sink.width], asyncio.Event()) == [None] * len(lanes)
        else:
            await asyncio.gather(*(sink.write(lane, asyncio.Event()) for lane in lanes))
        for (event,) in lanes:
            held = folkform.store
            found = (
                held.items[event.message_id]
                if event.message_id
                else held.by_conversation[event.conversation_id][0]
            )
            assert found.data == event.payload
    assert folkform.store.notes.overwritten_documents == folkform.progress.overlaps == 0
    # Two kinds of write and a batch to ask for, and never more than two routes in vain for each.
    assert folkform.calls.of(route="unknown").calls <= 5 * (exchanges + 1)
    await client.close()
    client.metrics.close()


def written(what: str, number: int, at: int) -> Event:
    ident = f"c{number}-{at}"
    if what == "message":
        return message(number * 10 + at, conversation_id=ident)
    return snapshot(ident)


@given(STEPS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_write_arrives_whichever_generation_answers(
    steps: list[Generation | What],
    batch: bool,  # noqa: FBT001
) -> None:
    asyncio.run(lived(steps, batch=batch))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=30))
def test_there_is_always_a_dialect_to_speak(history: list[tuple[bool, int]]) -> None:
    dialects = Dialects("auto")
    routes = [route for dialect in DIALECTS.values() for route in (dialect.conversations, dialect.messages)]
    for there, number in history:
        route = routes[number]
        if there:
            dialects.arrived(route)
            assert dialects.proved(route)
        else:
            dialects.missing({route})
            assert route not in dialects.current.routes
            assert not dialects.proved(route)
        assert dialects.current in DIALECTS.values()
        assert dialects.body_limit >= DIALECTS["generation1"].body_limit
