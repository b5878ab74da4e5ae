"""What differs between the three public generations of FolkForm (contracts B0 and B12), as one table."""

from collections.abc import Mapping
from dataclasses import dataclass

from connector.simulator.options import FolkFormOptions

CONVERSATION = "conversation/upsert-one"
GUARDED = "conversation/sync-upsert-one"
MANY = "conversation/upsert-many"
BATCH = "conversation/batch-upsert"
MESSAGES = "message/upsert-messages"
INGEST = "cio/ingest"

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Generation:
    """
    One published state of the backend.

    ``keeps_created``: createdAt is that of the first write (reality 43). ``one_session``: a login ends the
    session before it (52). ``milliseconds``: of a message's insertedAt (47).
    """

    writes: frozenset[str]
    body_limit: int
    keeps_created: bool
    one_session: bool
    milliseconds: bool


GENERATIONS: Mapping[int, Generation] = {
    1: Generation(
        frozenset({CONVERSATION, MANY, MESSAGES}),
        10 * MEBIBYTE,
        keeps_created=False,
        one_session=True,
        milliseconds=False,
    ),
    2: Generation(
        frozenset({CONVERSATION, GUARDED, MANY, MESSAGES}),
        500 * MEBIBYTE,
        keeps_created=True,
        one_session=False,
        milliseconds=False,
    ),
    3: Generation(
        frozenset({INGEST}), 500 * MEBIBYTE, keeps_created=True, one_session=False, milliseconds=True
    ),
}
EVERY_WRITE = frozenset[str]({BATCH}).union(*(each.writes for each in GENERATIONS.values()))


def generation(options: FolkFormOptions) -> Generation:
    return GENERATIONS[options.generation]


def writes(options: FolkFormOptions) -> frozenset[str]:
    """The write routes there are now; the batch is an extension that no generation has (reality 58)."""
    extra = {BATCH} if options.batch_upsert else set()
    return generation(options).writes | extra


def body_limit(options: FolkFormOptions) -> int:
    """Bytes of a body that still pass (reality 51)."""
    return generation(options).body_limit if options.body_limit is None else options.body_limit
