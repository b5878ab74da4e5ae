"""The Pancake API over a world: routes, tokens, errors and the limit of each page."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import parse_qs

from connector.clock import Clock, SystemClock
from connector.errors import ConfigError
from connector.simulator import webhooks
from connector.simulator.access import Target, route
from connector.simulator.answers import Answers, error_body, named
from connector.simulator.audit import pancake_dump
from connector.simulator.calls import Call, CallLog
from connector.simulator.control import Arguments
from connector.simulator.faults import Faults, Striker
from connector.simulator.limits import Budget
from connector.simulator.options import PancakeOptions, change, draw
from connector.simulator.replies import Reply
from connector.simulator.routes import Params, Routes
from connector.simulator.server import PREFIX, HttpServer, Incoming
from connector.simulator.webhooks import WebhookSender
from connector.simulator.world import World


class PancakeSimulator:
    """Serves one world. Everything public may be read and changed while it runs."""

    def __init__(
        self, world: World, *, options: PancakeOptions | None = None, clock: Clock | None = None
    ) -> None:
        self.world = world
        self.options = options or PancakeOptions()
        self.faults = Faults()
        self.calls = CallLog()
        self.budgets: dict[str, Budget] = {}
        self._clock = clock or SystemClock()
        self._rng = random.Random(f"{self.options.seed}/pancake")
        self.webhooks = WebhookSender(world, self.options, self._clock)
        self._answers = Answers(self.options, self._clock)
        self._routes = Routes(world, self.options, self._answers)
        self._server = HttpServer(self._answer, self, self._clock)
        self._striker = Striker(self._clock, error_body)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen; return the base URL, ``http://127.0.0.1:<port>/api``."""
        self.webhooks.start()
        return await self._server.start(port, host)

    async def stop(self) -> None:
        await self.webhooks.stop()
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
        return self._routes.access(page_id).token

    def regenerations(self, page_id: str) -> int:
        """How often a call of ours has made the page's token anew."""
        return self._routes.access(page_id).asked

    def kill_token(self, page_id: str) -> str:
        """Regenerate as somebody else would: the old token gets 105 from now on (realities 3, 4)."""
        return self._routes.access(page_id).regenerate()

    def expire_token(self, page_id: str) -> None:
        """The page's token is refused from now on, and the list shows it still, until one makes another."""
        self._routes.access(page_id).expired = True

    def park(self, page_id: str, code: int = 122) -> None:
        """The page needs a person from now on; ``unpark`` is that person (reality 9)."""
        self.options.parked[page_id] = code
        self.webhooks.connection(page_id, connected=False)

    def unpark(self, page_id: str) -> None:
        self.options.parked.pop(page_id, None)
        self.webhooks.connection(page_id, connected=True)

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
            "regenerations": {page_id: self.regenerations(page_id) for page_id in self.world.pages},
            "webhooks": webhooks.status(self.webhooks),
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
            "expire_token": self.expire_token,
            "park": self.park,
            "unpark": self.unpark,
            "resume_webhooks": self.webhooks.deliveries.resume,
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

    # Routes

    async def _answer(self, request: Incoming) -> Reply:
        path, query = request.split()
        return await self.respond(request.method, path.removeprefix(PREFIX), query)

    async def respond(self, method: str, path: str, query: str) -> Reply:
        """The answer to one call, without a socket: ``path`` is what follows the base URL."""
        at = self._clock.monotonic()
        call = route(method, path)
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
                return self._answers.refusal()
            self.world.tick(self._clock.epoch_ms())
            return self._routes.serve(call, params)

        rule = self.faults.strike(call.route, call.subject)
        if rule is None:
            return await work()
        if rule.action in ("kill_token", "act"):
            verb, arguments = (
                (rule.verb, rule.arguments) if rule.verb else ("kill_token", {"page_id": call.page_id})
            )
            self.act(verb, dict(arguments))
            return await work()
        return await self._striker.apply(named(rule), work)

    def _budget(self, page_id: str) -> Budget:
        if page_id not in self.budgets:
            self.budgets[page_id] = Budget(page_id, self.options.seed)
        return self.budgets[page_id]
