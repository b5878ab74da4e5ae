"""A million small states in memory: a dictionary of a conversation's id to bytes, without its overhead."""

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from zlib import crc32

from connector.pancake.state import merge_conversations

_RECORD = struct.Struct(">HHB")
FULL = 8  # records a bucket holds on average before one more bucket is made


class Shelf:
    """
    Encoded states by conversation.

    A dictionary spends 150 bytes on each entry before it holds anything; here about eight entries share
    one ``bytes`` object. Buckets are split one at a time (linear hashing), so that no single ``put`` has
    to move everything. What most ids begin with, their page's own, is not kept.
    """

    def __init__(self, page_id: str, names: Sequence[str] = (), states: Sequence[bytes] = ()) -> None:
        """``states`` belong to the ``names`` in the same places; what is named twice is merged."""
        self._prefix = f"{page_id}_".encode()
        self.mark = 0
        self._count = 0
        self._bits = (len(names) // FULL).bit_length()
        self._split = 0
        self._buckets = [b""] * (1 << self._bits)
        # By bucket, so that each is made once: making them by and by would leave twice as much memory in use.
        places = array("I", (self._place(self._key(name)) for name in names))
        for place, group in groupby(sorted(range(len(names)), key=places.__getitem__), places.__getitem__):
            held: dict[bytes, bytes] = {}
            for at in group:
                key, state = self._key(names[at]), states[at]
                held[key] = merge_conversations(held[key], state) if key in held else state
            self._buckets[place] = b"".join(self._record(key, state) for key, state in held.items())
            self._count += len(held)

    def __len__(self) -> int:
        return self._count

    def get(self, name: str) -> bytes | None:
        """The state of a conversation, if there is one."""
        key = self._key(name)
        bucket = self._buckets[self._place(key)]
        start, end = _find(bucket, key)
        return bucket[start + _RECORD.size + len(key) : end] if end else None

    def put(self, name: str, state: bytes) -> None:
        """Replace the state of a conversation; it counts as shown by the walk under way."""
        key = self._key(name)
        place = self._place(key)
        bucket = self._buckets[place]
        start, end = _find(bucket, key)
        self._buckets[place] = (
            bucket[:start] + bucket[end:] + self._record(key, state)
            if end
            else (bucket + self._record(key, state))
        )
        if not end:
            self._count += 1
            if self._count > FULL * len(self._buckets):
                self._grow()

    def begin_walk(self) -> None:
        """From now on nothing counts as shown."""
        self.mark = (self.mark + 1) % 256

    def show(self, name: str) -> None:
        """The walk under way has shown this conversation."""
        key = self._key(name)
        place = self._place(key)
        bucket = self._buckets[place]
        start, end = _find(bucket, key)
        at = start + _RECORD.size - 1
        if end and bucket[at] != self.mark:
            self._buckets[place] = b"%b%c%b" % (bucket[:at], self.mark, bucket[at + 1 :])

    def unshown(self, first: int, buckets: int) -> list[str] | None:
        """The conversations of a slice of the shelf that were not shown; None behind its end."""
        if first >= len(self._buckets):
            return None
        chosen = islice(self._buckets, first, first + buckets)
        return [
            self._name(key) for bucket in chosen for key, _, mark in _records(bucket) if mark != self.mark
        ]

    def items(self) -> Iterator[tuple[str, bytes]]:
        for bucket in self._buckets:
            for key, state, _ in _records(bucket):
                yield self._name(key), state

    def _key(self, name: str) -> bytes:
        key = name.encode()
        # No id holds a NUL (wire.text_id).
        return b"\0" + key[len(self._prefix) :] if key.startswith(self._prefix) else key

    def _name(self, key: bytes) -> str:
        return (self._prefix + key[1:] if key[:1] == b"\0" else key).decode()

    def _record(self, key: bytes, state: bytes) -> bytes:
        return _RECORD.pack(len(key), len(state), self.mark) + key + state

    def _place(self, key: bytes) -> int:
        digits = crc32(key)
        place = digits & ((1 << self._bits) - 1)
        return place if place >= self._split else digits & ((2 << self._bits) - 1)

    def _grow(self) -> None:
        bucket = self._buckets[self._split]
        bit = 1 << self._bits
        stays: list[bytes] = []
        goes: list[bytes] = []
        for key, state, mark in _records(bucket):
            record = _RECORD.pack(len(key), len(state), mark) + key + state
            (goes if crc32(key) & bit else stays).append(record)
        self._buckets[self._split] = b"".join(stays)
        self._buckets.append(b"".join(goes))
        self._split += 1
        if self._split == bit:
            self._bits, self._split = self._bits + 1, 0


def _find(bucket: bytes, key: bytes) -> tuple[int, int]:
    """Where the key's record begins and ends; the end is 0 when there is none."""
    at, length = 0, len(bucket)
    while at < length:
        named, held, _ = _RECORD.unpack_from(bucket, at)
        start = at + _RECORD.size
        end = start + named + held
        if named == len(key) and bucket.startswith(key, start):
            return at, end
        at = end
    return 0, 0


def _records(bucket: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    at, length = 0, len(bucket)
    while at < length:
        named, held, mark = _RECORD.unpack_from(bucket, at)
        start = at + _RECORD.size
        yield bucket[start : start + named], bucket[start + named : start + named + held], mark
        at = start + named + held
