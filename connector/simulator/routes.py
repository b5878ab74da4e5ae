"""What each path of Pancake answers, once the call may pass: pages, tokens, lists."""

from collections.abc import Callable, Mapping

import msgspec

from connector.simulator import content, listing
from connector.simulator.access import Access, Target
from connector.simulator.answers import NO_CONVERSATION, NO_CUSTOMER, ONE_SIDED_WINDOW, Answers
from connector.simulator.inbox import Conversation, Page
from connector.simulator.options import PancakeOptions
from connector.simulator.replies import Reply
from connector.simulator.world import World

NOT_FOUND = 404
Params = Mapping[str, list[str]]


class Routes:
    """Serves one world to whoever has the right token."""

    def __init__(self, world: World, options: PancakeOptions, answers: Answers) -> None:
        self.tokens = {page_id: Access(page_id) for page_id in world.pages}
        self._world = world
        self._options = options
        self._answers = answers
        for access in self.tokens.values():
            access.regenerate()

    def access(self, page_id: str) -> Access:
        if page_id not in self.tokens:
            self.tokens[page_id] = Access(page_id)
            self.tokens[page_id].regenerate()
        return self.tokens[page_id]

    def serve(self, call: Target, params: Params) -> Reply:
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

    def _pages(self, _: Target, params: Params) -> Reply:
        if (code := self._user_error(params)) is not None:
            return self._answers.error(code)
        shown: dict[str, list[bytes]] = {"activated": [], "hidden": [], "inactivated": [], "nopermission": []}
        for page in self._visible(_one(params, "access_token")):
            state = self._options.page_states.get(page.id, "activated")
            shown[state].append(page.data(self.access(page.id).token))
        if self._options.page_list == "pages":
            return Reply(200, b'{"pages":[%s]}' % b",".join(shown["activated"]))
        ids = [page_id for page_id in self._world.pages if page_id not in self._options.page_states]
        listed = {name: b"[" + b",".join(found) + b"]" for name, found in shown.items()}
        categorized = content.render(listed | {"activated_page_ids": content.encode(ids)})
        return Reply(200, content.render({"success": b"true", "categorized": categorized}))

    def _visible(self, user_token: str) -> list[Page]:
        allowed = self._options.user_pages.get(user_token)
        return [page for page in self._world.pages.values() if allowed is None or page.id in allowed]

    def _generate(self, call: Target, params: Params) -> Reply:
        if (code := self._user_error(params)) is not None:
            return self._answers.error(code)
        if call.page_id not in {page.id for page in self._visible(_one(params, "access_token"))}:
            return self._answers.error(107)
        if call.page_id in self._options.parked:
            return self._answers.error(self._options.parked[call.page_id])
        access = self.access(call.page_id)
        access.asked += 1
        made = {"success": True, "page_access_token": access.regenerate()}
        return Reply(200, msgspec.json.encode(made))

    def _conversations(self, call: Target, params: Params) -> Reply:
        page = self._page(call, params)
        if isinstance(page, Reply):
            return page
        since, until = _one(params, "since"), _one(params, "until")
        if bool(since) != bool(until):
            return self._answers.error(None, ONE_SIDED_WINDOW)
        try:
            found = listing.conversations(page, _query(params, since, until), self._options)
        except ValueError:
            return self._answers.error(100)
        except listing.CursorGoneError:
            return self._answers.error(None, NO_CONVERSATION)
        return self._answers.listing(
            b'{"success":true,"conversations":[%s]}' % b",".join(c.data for c in found)
        )

    def _messages(self, call: Target, params: Params) -> Reply:
        page = self._page(call, params)
        if isinstance(page, Reply):
            return page
        if self._options.customer_id_required and not _one(params, "customer_id"):
            return self._answers.error(None, NO_CUSTOMER)
        conversation = page.conversations.get(call.conversation_id)
        if conversation is None and self._options.unknown_conversation == "error":
            return self._answers.error(None, NO_CONVERSATION)
        try:
            count = int(_one(params, "current_count") or 0)
        except ValueError:
            return self._answers.error(100)
        return self._answers.listing(self._thread(conversation, call.conversation_id, count))

    def _thread(self, conversation: Conversation | None, conversation_id: str, count: int) -> bytes:
        held = conversation.messages if conversation else []
        shown = listing.messages(held, count, self._world.now_us, self._options)
        about = content.thread(conversation_id, conversation.customer_id if conversation else None)
        return b'{"success":true,"messages":[%s],%s}' % (b",".join(m.data for m in shown), about)

    # Answers

    def _page(self, call: Target, params: Params) -> Page | Reply:
        page = self._world.pages.get(call.page_id)
        token = _one(params, "page_access_token")
        if page is None or not token:
            return self._answers.error(102)
        if (code := self.access(page.id).refusal(token)) is not None:
            return self._answers.error(code)
        if page.id in self._options.parked:
            return self._answers.error(self._options.parked[page.id])
        return page

    def _user_error(self, params: Params) -> int | None:
        token = _one(params, "access_token")
        if token in self._options.dead_user_tokens:
            return 103
        return None if token in self._options.user_tokens else 102


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
