"""The FolkForm API in its three generations: limits, sign-in, writing and reading back."""

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlencode

import msgspec

from connector.clock import Clock, SystemClock
from connector.errors import ConfigError
from connector.simulator.arrival import Arrival
from connector.simulator.audit import Shelf, lines
from connector.simulator.calls import Call, CallLog
from connector.simulator.content import encode
from connector.simulator.control import Arguments
from connector.simulator.envelopes import Failure, failure, fiber, success
from connector.simulator.faults import Faults, Rule, Striker
from connector.simulator.gate import Gate, Limiter
from connector.simulator.generations import CONVERSATION, EVERY_WRITE, body_limit, writes
from connector.simulator.options import FolkFormOptions, draw
from connector.simulator.reading import READS, Reader
from connector.simulator.replies import Reply
from connector.simulator.server import HttpServer
from connector.simulator.store import Store
from connector.simulator.writing import Write, Writer

HEALTH = ("/health", "/api/v1/system/health")
TOO_LARGE = 413
HEAD_TOO_LARGE = 431


class InProgress:
    """Calls that are being worked on, by collection and conversation."""

    def __init__(self) -> None:
        self.overlaps = 0
        """Two calls for one collection and conversation at once, both with a client that still waits."""
        self.orphan_overlaps = 0
        """The same, but the earlier call's client had hung up already."""
        self.overlapped: dict[str, int] = {}
        self._open: dict[tuple[str, str], list[Arrival]] = {}

    def enter(self, key: tuple[str, str], request: Arrival) -> None:
        """``key``: the collection written to, and the conversation id."""
        others = self._open.setdefault(key, [])
        if any(not other.gone for other in others):
            self.overlaps += 1
            self.overlapped[key[1]] = self.overlapped.get(key[1], 0) + 1
        elif others:
            self.orphan_overlaps += 1
        others.append(request)

    def leave(self, key: tuple[str, str], request: Arrival) -> None:
        others = self._open.get(key, [])
        if request in others:
            others.remove(request)
        if not others:
            self._open.pop(key, None)


class FolkFormSimulator:
    """Serves one store. Everything public may be read and changed while it runs."""

    def __init__(self, *, options: FolkFormOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or FolkFormOptions()
        self.store = Store(self.options)
        self.faults = Faults()
        self.calls = CallLog()
        self.progress = InProgress()
        self.gate = Gate(self.options)
        self._clock = clock or SystemClock()
        self._limiter = Limiter(self._clock)
        self._rng = random.Random(f"{self.options.seed}/folkform")
        self._writer = Writer(self.store, self.options)
        self._reader = Reader(self.store, self.options)
        self._striker = Striker(self._clock, _error_body)
        self._server = HttpServer(self.respond, self, self._clock)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen; return the base URL, ``http://127.0.0.1:<port>/api``."""
        return await self._server.start(port, host)

    async def stop(self) -> None:
        await self._server.stop()

    # Looking in

    @property
    def overlaps(self) -> int:
        return self.progress.overlaps

    @property
    def regressions(self) -> int:
        return self.store.notes.conversation_regressions + self.store.notes.message_regressions

    @property
    def upserts_of_unchanged(self) -> int:
        return self.store.notes.unchanged_conversations + self.store.notes.unchanged_messages

    @property
    def writes(self) -> int:
        return self.store.notes.conversation_writes + self.store.notes.message_writes

    def shelves(self, *, ignore_signatures: bool = False) -> Iterator[Shelf]:
        return self.store.shelves(ignore_signatures=ignore_signatures)

    def dump(self, *, ignore_signatures: bool) -> Iterator[bytes]:
        return lines(self.shelves(ignore_signatures=ignore_signatures))

    def status(self) -> dict[str, object]:
        routes = {r: self.calls.of(route=r) for r in sorted({route for _, route in self.calls.tallies})}
        return {
            "simulator": "folkform",
            "generation": self.options.generation,
            "calls": self.calls.calls,
            "refused": self.calls.refused,
            "statuses": {str(k): v for k, v in sorted(self.calls.statuses.items())},
            "routes": {r: {"calls": t.calls, "refused": t.refused} for r, t in routes.items()},
            "overlaps": self.progress.overlaps,
            "orphan_overlaps": self.progress.orphan_overlaps,
            "regressions": self.regressions,
            "upserts_of_unchanged": self.upserts_of_unchanged,
            "writes": self.writes,
            **vars(self.store.notes),
            "conversations": len(self.store.documents),
            "threads": len(self.store.threads),
            "messages": len(self.store.items),
        }

    def act(self, verb: str, arguments: Arguments) -> object:
        verbs: dict[str, Callable[..., object]] = {
            "login": self.gate.login,
            "clear": self.clear,
            "agent": self.agent,
        }
        if verb not in verbs:
            raise ConfigError(f"no verb {verb!r}", advice=f"one of {', '.join(sorted(verbs))}")
        try:
            verbs[verb](**arguments)
        except TypeError as error:
            raise ConfigError(f"{verb}: {error}", advice="see docs/SIMULATORS.md") from None
        return {"done": verb}

    def clear(self) -> None:
        """An empty database, as for a rebuild; the counters of calls go on."""
        self.store.documents.clear()
        self.store.by_conversation.clear()
        self.store.threads.clear()
        self.store.items.clear()

    def agent(self, *, page_id: str, data: dict[str, object]) -> None:
        """The old agent upserts a snapshot of its own (reality 60): last arrival wins, whatever we wrote."""
        wanted = urlencode({"filter": encode({"conversationId": data.get("id")}).decode()})
        body = encode({"pageId": page_id, "pageUsername": "", "panCakeData": data})
        self._writer.prepare(CONVERSATION, wanted, body).apply(self._clock.epoch_ms(), "")

    # One call

    async def respond(self, request: Arrival) -> Reply:
        """Answer one request; also for a client in the same process, without a socket."""
        at = self._clock.monotonic()
        path, query = request.split()
        if path in HEALTH:
            return success(b'{"status":"healthy"}')
        call = self._named(request, path, query)
        refused = False
        if (reply := self._too_large(request)) is None:
            limit = self._limiter.arrive(request.remote or "", self.options.rate)
            refused = limit.refused
            reply = limit.refusal() if refused else limit.noted(await self._admitted(call))
        self.calls.note(Call(at, "", call.route, reply.status), refused=refused)
        return reply

    def _named(self, request: Arrival, path: str, query: str) -> "_Named":
        name = path.removeprefix("/api").removeprefix("/v1/").removeprefix("facebook/")
        head, _, tail = name.rpartition("/")
        route, argument = (head, unquote(tail)) if (head, "GET") in PARAMETER_ROUTES else (name, "")
        known = None if route in EVERY_WRITE - writes(self.options) else METHODS.get(route)
        return _Named(request, path, query, route if known else "unknown", argument, known)

    def _too_large(self, request: Arrival) -> Reply | None:
        head = len(request.raw_path) + sum(len(k) + len(v) + 4 for k, v in request.raw_headers)
        if head > self.options.head_limit:
            return fiber(HEAD_TOO_LARGE, "Request Header Fields Too Large", close=True)
        if (request.content_length or 0) > body_limit(self.options):
            return fiber(TOO_LARGE, "Request Entity Too Large", close=True)
        return None

    async def _admitted(self, call: "_Named") -> Reply:
        if call.methods is None:
            return fiber(404, f"Cannot {call.request.method} {unquote(call.path)}")
        if call.request.method not in call.methods:
            return fiber(405, "Method Not Allowed")
        try:
            self.gate.check(call.route, call.request.headers)
            return await self._worked(call)
        except Failure as error:
            return failure(error)

    async def _worked(self, call: "_Named") -> Reply:
        body = await call.request.read()
        if len(body) > body_limit(self.options):
            return fiber(TOO_LARGE, "Request Entity Too Large", close=True)
        if call.route in EVERY_WRITE:
            return await self._write(call, self._writer.prepare(call.route, call.query, body))
        rule = self.faults.strike(call.route, call.argument)
        if call.route in OPEN_ROUTES:
            return await self._around(rule, lambda: self._session(call, body))
        return await self._around(rule, lambda: self._read(call))

    async def _write(self, call: "_Named", write: Write) -> Reply:
        rule = self.faults.strike(call.route, write.subject)
        partial = rule is not None and rule.action == "partial"
        for key in write.touches:
            self.progress.enter(key, call.request)
        try:
            fault = "partial" if partial else ""
            return await self._around(None if partial else rule, lambda: self._applied(write, fault))
        finally:
            for key in write.touches:
                self.progress.leave(key, call.request)

    async def _around(self, rule: Rule | None, work: Callable[[], Awaitable[Reply]]) -> Reply:
        return await work() if rule is None else await self._striker.apply(rule, work)

    async def _applied(self, write: Write, fault: str) -> Reply:
        scan = self.options.latency_per_million * len(self.store.items) / 1e6
        await self._pause(scan)
        try:
            return write.apply(self._clock.epoch_ms(), fault)
        except Failure as error:
            return failure(error)

    async def _read(self, call: "_Named") -> Reply:
        await self._pause(0.0)
        try:
            return self._reader.serve(call.route, call.argument, parse_qs(call.query))
        except Failure as error:
            return failure(error)

    async def _session(self, call: "_Named", body: bytes) -> Reply:
        if call.route == "auth/roles":
            return success(msgspec.json.encode([self.gate.role()]))
        try:
            given = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.MsgspecError:
            given = {}
        if not (given.get("idToken") and given.get("hwid")):
            raise Failure(400, "VAL_002", "Dữ liệu không hợp lệ")
        return success(msgspec.json.encode({"token": self.gate.login()}))

    async def _pause(self, more: float) -> None:
        seconds = draw(self.options.latency, self._rng) + more
        if seconds > 0:
            await self._clock.sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Named:
    request: Arrival
    path: str
    query: str
    route: str
    argument: str
    methods: frozenset[str] | None


OPEN_ROUTES = ("auth/login/firebase", "auth/roles")
PARAMETER_ROUTES = {(route, "GET") for route, takes in READS.items() if takes}
METHODS: dict[str, frozenset[str]] = {
    **{route: frozenset({"POST"}) for route in EVERY_WRITE},
    **{route: frozenset({"GET"}) for route in READS},
    "auth/login/firebase": frozenset({"POST"}),
    "auth/roles": frozenset({"GET"}),
}


def _error_body(code: int | str, message: str) -> bytes:
    named = "DB" if isinstance(code, int) else code
    return msgspec.json.encode({"code": named, "message": message, "status": "error"})
