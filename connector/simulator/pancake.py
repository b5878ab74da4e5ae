"""The Pancake API over a world: routes, tokens, errors and the limit of each page."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import parse_qs

import msgspec

from connector.clock import Clock, SystemClock
from connector.errors import ConfigError
from connector.simulator import content, listing
from connector.simulator.access import Access, Target, route
from connector.simulator.audit import pancake_dump
from connector.simulator.calls import Call, CallLog
from connector.simulator.control import Arguments
from connector.simulator.faults import HTML, Faults, Rule, Striker
from connector.simulator.inbox import Conversation, Page
from connector.simulator.limits import Budget, retry_after
from connector.simulator.options import PancakeOptions, change, draw
from connector.simulator.replies import JSON, Reply
from connector.simulator.server import HttpServer, Incoming
from connector.simulator.world import World

SENTENCES = {
    100: "Invalid request",
    102: "Invalid access_token",
    103: "User access token is expired",
    105: "access_token renewed, please use new access_token",
    107: "Permission denied",
    122: "Page subscription is expired",
    429: "Too many requests",
}
STATUSES = {102: 401, 103: 401, 105: 401, 107: 403, 122: 403}
NOT_FOUND = 404
Params = dict[str, list[str]]


class PancakeSimulator:
    """Serves one world. Everything public may be read and changed while it runs."""

    def __init__(
        self, world: World, *, options: PancakeOptions | None = None, clock: Clock | None = None
    ) -> None:
        self.world = world
        self.options = options or PancakeOptions()
        self.faults = Faults()
        self.calls = CallLog()
        self.access = {page_id: Access(page_id) for page_id in world.pages}
        self.budgets: dict[str, Budget] = {}
        self._clock = clock or SystemClock()
        self._rng = random.Random(f"{self.options.seed}/pancake")
        self._server = HttpServer(self._answer, self, self._clock)
        self._striker = Striker(self._clock, _error_body)
        self._reads = 0
        for access in self.access.values():
            access.regenerate()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen; return the base URL, ``http://127.0.0.1:<port>/api``."""
        return await self._server.start(port, host)

    async def stop(self) -> None:
        await self._server.stop()

    # Looking in

    @property
    def calls_over_limit(self) -> int:
        return sum(b.over for b in self.budgets.values())

    def max_in_any_second(self, page_id: str) -> int:
        """The most calls of ours that any sliding second held, refused ones included."""
        budget = self.budgets.get(page_id)
        return budget.own.most if budget else 0

    def token(self, page_id: str) -> str:
        """The page token that works now."""
        return self._access(page_id).token

    def kill_token(self, page_id: str) -> str:
        """Regenerate as somebody else would: the old token gets 105 from now on (realities 3, 4)."""
        return self._access(page_id).regenerate()

    def park(self, page_id: str, code: int = 122) -> None:
        """The page needs a person from now on; ``unpark`` is that person (reality 9)."""
        self.options.parked[page_id] = code

    def unpark(self, page_id: str) -> None:
        self.options.parked.pop(page_id, None)

    def status(self) -> dict[str, object]:
        self.world.tick(self._clock.epoch_ms())
        pages = self.world.pages.values()
        return {
            "simulator": "pancake",
            "calls": self.calls.calls,
            "refused": self.calls.refused,
            "calls_over_limit": self.calls_over_limit,
            "statuses": {str(k): v for k, v in sorted(self.calls.statuses.items())},
            "pages": self.calls.by_page(),
            "max_in_any_second": {page_id: self.max_in_any_second(page_id) for page_id in self.budgets},
            "activity_per_second": self.world.rate,
            "world": {
                "pages": len(self.world.pages),
                "conversations": sum(len(p.conversations) for p in pages),
                "changes": self.world.changes,
            },
        }

    def dump(self, *, ignore_signatures: bool) -> Iterator[bytes]:
        return pancake_dump(self.world, ignore_signatures=ignore_signatures)

    def act(self, verb: str, arguments: Arguments) -> object:
        verbs: dict[str, Callable[..., object]] = {
            "activity": self.world.set_activity,
            "add_message": self.world.add_message,
            "edit_message": self.world.edit_message,
            "remove_message": self.world.remove_message,
            "touch": self.world.touch,
            "add_conversation": self.world.add_conversation,
            "merge_customer": self.world.merge_customer,
            "remove_conversation": self.world.remove_conversation,
            "restore_conversation": self.world.restore_conversation,
            "kill_token": self.kill_token,
            "park": self.park,
            "unpark": self.unpark,
            "set": partial(change, self.options, dict(arguments)),
        }
        if verb not in verbs:
            raise ConfigError(f"no verb {verb!r}", advice=f"one of {', '.join(sorted(verbs))}")
        if verb == "set":
            arguments = {}
        if verb == "activity" and "rate" in arguments:
            arguments = {"per_second": arguments["rate"]}
        self.world.tick(self._clock.epoch_ms())
        try:
            done = verbs[verb](**arguments)
        except (TypeError, KeyError, StopIteration, ValueError) as error:
            raise ConfigError(f"{verb}: {error!r}", advice="see docs/SIMULATORS.md") from None
        shown = {"id": done.id} if hasattr(done, "id") else {}
        return {"done": verb, **shown}

    def _access(self, page_id: str) -> Access:
        if page_id not in self.access:
            self.access[page_id] = Access(page_id)
            self.access[page_id].regenerate()
        return self.access[page_id]

    # Routes

    async def _answer(self, request: Incoming) -> Reply:
        at = self._clock.monotonic()
        path, query = request.split()
        call = route(request.method, path.removeprefix("/api"))
        params = parse_qs(query, keep_blank_values=True)
        limited = call.route in ("conversations", "messages") and call.page_id in self.world.pages
        refused = limited and self._budget(call.page_id).arrive(at, self.options)
        reply = await self._routed(call, params, refused=refused)
        page_id = call.page_id if call.page_id in self.world.pages else ""
        self.calls.note(Call(at, page_id, call.route, reply.status), refused=refused)
        return reply

    async def _routed(self, call: Target, params: Params, *, refused: bool) -> Reply:
        async def work() -> Reply:
            await self._clock.sleep(draw(self.options.latency, self._rng))
            if refused:
                return self._refusal()
            self.world.tick(self._clock.epoch_ms())
            return await self._work(call, params)

        rule = self.faults.strike(call.route, call.subject)
        if rule is None:
            return await work()
        if rule.action == "kill_token":
            self.kill_token(call.page_id)
            return await work()
        return await self._striker.apply(_named(rule), work)

    async def _work(self, call: Target, params: Params) -> Reply:
        routes: dict[str, Callable[[Target, Params], Reply]] = {
            "pages": self._pages,
            "generate": self._generate,
            "conversations": self._conversations,
            "messages": self._messages,
        }
        serve = routes.get(call.route)
        if serve is None:
            return Reply(NOT_FOUND, b'{"success":false,"message":"Not found"}')
        return serve(call, params)

    def _budget(self, page_id: str) -> Budget:
        if page_id not in self.budgets:
            self.budgets[page_id] = Budget(page_id, self.options.seed)
        return self.budgets[page_id]

    def _pages(self, _: Target, params: Params) -> Reply:
        if (code := self._user_error(params)) is not None:
            return self._error(code)
        pages = [page.data(self.token(page.id)) for page in self.world.pages.values()]
        ids = msgspec.json.encode(list(self.world.pages))
        body = b'{"success":true,"categorized":{"activated":[%s],"activated_page_ids":%s,' % (
            b",".join(pages),
            ids,
        )
        return _ok(body + b'"hidden":[],"inactivated":[],"nopermission":[]}}')

    def _generate(self, call: Target, params: Params) -> Reply:
        if (code := self._user_error(params)) is not None:
            return self._error(code)
        if call.page_id not in self.world.pages:
            return self._error(107)
        if call.page_id in self.options.parked:
            return self._error(self.options.parked[call.page_id])
        token = self._access(call.page_id).regenerate()
        return _ok(msgspec.json.encode({"success": True, "page_access_token": token}))

    def _conversations(self, call: Target, params: Params) -> Reply:
        page = self._page(call, params)
        if isinstance(page, Reply):
            return page
        since, until = _one(params, "since"), _one(params, "until")
        if bool(since) != bool(until):
            return self._error(None, "Since must be provided with until")
        try:
            found = listing.conversations(page, _query(params, since, until), self.options)
        except ValueError:
            return self._error(100)
        except listing.CursorGoneError:
            return self._error(None, "Conversation not found")
        return self._signed(b'{"success":true,"conversations":[%s]}' % b",".join(c.data for c in found))

    def _messages(self, call: Target, params: Params) -> Reply:
        page = self._page(call, params)
        if isinstance(page, Reply):
            return page
        if self.options.customer_id_required and not _one(params, "customer_id"):
            return self._error(None, "customer_id is required")
        conversation = page.conversations.get(call.conversation_id)
        if conversation is None and self.options.unknown_conversation == "error":
            return self._error(None, "Conversation not found")
        try:
            count = int(_one(params, "current_count") or 0)
        except ValueError:
            return self._error(100)
        return self._signed(self._thread(conversation, call.conversation_id, count))

    def _thread(self, conversation: Conversation | None, conversation_id: str, count: int) -> bytes:
        held = conversation.messages if conversation else []
        shown = listing.messages(held, count, self.world.now_us, self.options)
        about = content.thread(conversation_id, conversation.customer_id if conversation else None)
        return b'{"success":true,"messages":[%s],%s}' % (b",".join(m.data for m in shown), about)

    # Answers

    def _page(self, call: Target, params: Params) -> Page | Reply:
        page = self.world.pages.get(call.page_id)
        token = _one(params, "page_access_token")
        if page is None or not token:
            return self._error(102)
        access = self._access(page.id)
        if token != access.token:
            return self._error(105 if token in access.dead else 102)
        if page.id in self.options.parked:
            return self._error(self.options.parked[page.id])
        return page

    def _user_error(self, params: Params) -> int | None:
        token = _one(params, "access_token")
        if token in self.options.dead_user_tokens:
            return 103
        return None if token in self.options.user_tokens else 102

    def _error(self, code: int | None, message: str | None = None) -> Reply:
        text = message or SENTENCES.get(code or 0, "Error")
        hidden = code is None or (self.options.codeless > 0 and self._rng.random() < self.options.codeless)
        body = _error_body(None if hidden else code, text)
        form = self.options.error_form
        real = form == "http" or (form == "mixed" and self._rng.random() < 0.5)
        status = STATUSES.get(code or 0, 200) if real else 200
        if status != 200 and self.options.html_errors:
            return Reply(status, f"<html><body>{status}</body></html>".encode(), HTML)
        return Reply(status, body)

    def _refusal(self) -> Reply:
        form = self.options.refusal
        real = form == "http" or (form == "mixed" and self._rng.random() < 0.5)
        headers = retry_after(self.options, self._clock.epoch_ms(), self._rng)
        return Reply(429 if real else 200, _error_body(429, SENTENCES[429]), JSON, headers)

    def _signed(self, body: bytes) -> Reply:
        self._reads += 1
        if self.options.signed_urls_change:
            body = content.signed(body, self._reads)
        return _ok(body)


def _query(params: Params, since: str, until: str) -> listing.Query:
    types = params.get("type", []) + params.get("type[]", [])
    return listing.Query(
        order_by=_one(params, "order_by") or "updated_at",
        cursor=_one(params, "last_conversation_id"),
        window=(int(since), int(until)) if since else None,
        unread_first=_one(params, "unread_first") in ("true", "1"),
        types=frozenset(name for given in types for name in given.split(",") if name),
    )


def _one(params: Params, name: str) -> str:
    return params.get(name, [""])[-1]


def _ok(body: bytes) -> Reply:
    return Reply(200, body)


def _error_body(code: int | str | None, message: str) -> bytes:
    code_part = {} if code is None else {"error_code": code}
    return msgspec.json.encode({"success": False, **code_part, "message": message})


def _named(rule: Rule) -> Rule:
    if rule.action == "error" and isinstance(rule.code, int) and rule.message == "Internal Server Error":
        return msgspec.structs.replace(rule, message=SENTENCES.get(rule.code, rule.message))
    return rule
