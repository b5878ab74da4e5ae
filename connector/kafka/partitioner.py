"""Which partition a conversation belongs to: as Java's default partitioner for the same key."""

from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 of Kafka's Java client (org.apache.kafka.common.utils.Utils), unsigned."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of(ordering_key: str, partitions: int) -> int:
    """
    The partition of everything that must stay in order with ``ordering_key``.

    Computed here and not by the client, because a message's key is longer than its ordering key.
    """
    return (murmur2(ordering_key.encode()) & 0x7FFFFFFF) % partitions
