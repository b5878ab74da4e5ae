"""The thread behind every acknowledgement: nobody waits for it for ever."""

from typing import Any

import pytest

from connector.errors import ContractError
from connector.kafka.producer import Outgoing, ProducerThread

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "message.timeout.ms": 1}


async def test_who_waits_for_a_thread_that_dies_is_told() -> None:
    nonsense: Any = object()
    producer = ProducerThread(NOWHERE)
    with pytest.raises(Exception, match="producing"):
        await producer.deliver([Outgoing("topic", 0, nonsense, b"value")])
    await producer.close(5.0)
    with pytest.raises(ContractError, match="thread has ended"):
        await producer.deliver([Outgoing("topic", 0, b"key", b"value")])


async def test_nothing_to_deliver_is_delivered_at_once() -> None:
    producer = ProducerThread(NOWHERE)
    assert await producer.deliver([]) == []
    await producer.close(5.0)
