"""The ``/_sim`` routes: look into a running simulator and steer it, without token or limit."""

from collections.abc import Iterator
from typing import Protocol

import msgspec
from aiohttp import web

from connector.errors import ConfigError
from connector.simulator.faults import Faults
from connector.simulator.replies import JSON

Arguments = dict[str, object]


class Controlled(Protocol):
    """What a simulator shows and lets be done to it."""

    faults: Faults

    def status(self) -> dict[str, object]: ...

    def dump(self, *, ignore_signatures: bool) -> Iterator[bytes]:
        """Lines for `audit.compare_dumps`, each with its line feed."""
        ...

    def act(self, verb: str, arguments: Arguments) -> object:
        """
        Do one thing at once.

        Raises:
            ConfigError: there is no such verb, or it does not take these arguments.
        """
        ...


async def control(simulator: Controlled, request: web.BaseRequest, name: str) -> web.StreamResponse:
    try:
        return await _routed(simulator, request, name)
    except (ConfigError, msgspec.MsgspecError) as error:
        return _json({"error": str(error)}, status=400)


async def _routed(simulator: Controlled, request: web.BaseRequest, name: str) -> web.StreamResponse:
    if (request.method, name) == ("GET", "dump"):
        return await _stream(simulator, request)
    done = await _done(simulator, request, name)
    if done is None:
        return _json({"error": f"no such control route: {request.method} {name}"}, status=404)
    return _json(done)


async def _done(simulator: Controlled, request: web.BaseRequest, name: str) -> object:
    done: object = None
    match request.method, name:
        case "GET", "status":
            done = simulator.status()
        case "GET", "faults":
            done = simulator.faults.listed()
        case "POST", "faults":
            done = {"added": simulator.faults.load(await request.read())}
        case "DELETE", "faults":
            simulator.faults.clear()
            done = {"cleared": True}
        case "POST", "activity":
            done = simulator.act("activity", await _arguments(request))
        case "POST", "act":
            arguments = await _arguments(request)
            done = simulator.act(str(arguments.pop("verb", "")), arguments)
    return done


async def _arguments(request: web.BaseRequest) -> Arguments:
    return msgspec.json.decode(await request.read(), type=Arguments)


async def _stream(simulator: Controlled, request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    ignore = request.query.get("ignore_signatures", "") in ("1", "true")
    for line in simulator.dump(ignore_signatures=ignore):
        await response.write(line)
    await response.write_eof()
    return response


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), headers={"Content-Type": JSON})
