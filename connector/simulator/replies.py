"""What a simulator answers, and how the answer reaches the wire: whole, slowly, cut, or not at all."""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from connector.clock import Clock

JSON = "application/json; charset=utf-8"
SLOW_STEPS = 8

Delivery = Literal["whole", "slow", "cut", "abort"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; ``seconds`` is how long a slow one takes, ``close`` ends the connection after it."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = "whole"
    seconds: float = 0.0
    close: bool = False


async def deliver(request: web.BaseRequest, reply: Reply, clock: Clock) -> web.StreamResponse:
    if reply.delivery == "whole":
        return _whole(reply)
    if reply.delivery != "abort":
        await _in_pieces(request, reply, clock)
    if reply.delivery != "slow":
        reset(request)
    return _whole(reply)


def reset(request: web.BaseRequest) -> None:
    """Break the connection so that the client sees a reset, not an orderly end."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _whole(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body, headers=_headers(reply))
    if reply.close:
        response.force_close()
    return response


def _headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": reply.content_type, **reply.headers}


async def _in_pieces(request: web.BaseRequest, reply: Reply, clock: Clock) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    response.content_length = len(reply.body)
    await response.prepare(request)
    body = reply.body if reply.delivery == "slow" else reply.body[: len(reply.body) // 2]
    step = max(1, len(body) // SLOW_STEPS)
    for at in range(0, len(body), step):
        await clock.sleep(reply.seconds / SLOW_STEPS)
        await response.write(body[at : at + step])
    return response
