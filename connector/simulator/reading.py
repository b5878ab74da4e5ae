"""FolkForm's ways to read back (B8), each with its own list shape (realities 56, 57)."""

from collections.abc import Callable, Sequence

import msgspec

from connector.simulator.documents import conversation_json, item_json
from connector.simulator.envelopes import Failure, success
from connector.simulator.filters import matches, parse_filter
from connector.simulator.options import FolkFormOptions
from connector.simulator.replies import Reply
from connector.simulator.store import Document, Item, Store

READS = {
    "conversation/find": False,
    "conversation/find-one": False,
    "conversation/find-with-pagination": False,
    "conversation/count": False,
    "conversation/exists": False,
    "conversation/sort-by-api-update": False,
    "message/find": False,
    "message/find-with-pagination": False,
    "message/count": False,
    "message-item/find": False,
    "message-item/find-with-pagination": False,
    "message-item/count": False,
    "message-item/find-by-conversation": True,
    "message-item/find-by-message-id": True,
}
"""Route → whether its path ends with an id."""
NEWEST = 10
MOST = 1000
NOT_FOUND = "Không tìm thấy dữ liệu"
Params = dict[str, list[str]]


class _Options(msgspec.Struct):
    sort: dict[str, int] = {}
    limit: int = 0
    skip: int = 0


class Reader:
    """Answers from one store."""

    def __init__(self, store: Store, options: FolkFormOptions) -> None:
        self._store = store
        self._options = options

    def serve(self, route: str, argument: str, params: Params) -> Reply:
        """
        The answer to one read.

        Raises:
            Failure: as the backend refuses it.
        """
        collection, _, verb = route.partition("/")
        if verb == "count":
            return success(str(self._count(collection, params)).encode())
        if route == "message-item/find-by-conversation":
            return self._of_conversation(argument, params)
        if route == "message-item/find-by-message-id":
            return self._item(argument)
        if collection != "conversation":
            return self._invisible(verb, params)
        verbs: dict[str, Callable[[Params], Reply]] = {
            "find": self._find,
            "find-one": self._find_one,
            "find-with-pagination": self._paged,
            "exists": self._exists,
            "sort-by-api-update": self._newest,
        }
        return verbs[verb](params)

    def _count(self, collection: str, params: Params) -> int:
        wanted = parse_filter(params)
        if collection == "message":
            one = wanted.get("conversationId")
            return int(one in self._store.threads) if isinstance(one, str) else len(self._store.threads)
        if collection == "conversation":
            return len(self._matching(params))
        if not wanted:
            return len(self._store.items)
        return sum(matches(item, wanted, ident) for ident, item in self._candidates(wanted))

    def _candidates(self, wanted: dict[str, object]) -> Sequence[tuple[str, Item]]:
        one = wanted.get("conversationId")
        if isinstance(one, str):
            thread = self._store.threads.get(one)
            return list(thread.items.items()) if thread else []
        return list(self._store.items.items())

    def _matching(self, params: Params) -> list[Document]:
        wanted = parse_filter(params)
        one = wanted.get("conversationId")
        pool = (
            self._store.by_conversation.get(one, [])
            if isinstance(one, str)
            else self._store.documents.values()
        )
        return [document for document in pool if matches(document, wanted)]

    def _find(self, params: Params) -> Reply:
        options = _options(params)
        found = _sorted(self._matching(params), options)[options.skip :]
        return success(self._list(found[: min(options.limit or MOST, MOST)]))

    def _find_one(self, params: Params) -> Reply:
        found = self._matching(params)
        if not found:
            raise Failure(404, "DB_002", NOT_FOUND)
        return success(conversation_json(found[0], self._options.organization_id))

    def _exists(self, params: Params) -> Reply:
        return success(b"true" if self._matching(params) else b"false")

    def _paged(self, params: Params) -> Reply:
        found = _sorted(self._matching(params), _options(params))
        page, limit = max(1, _number(params, "page", 1)), _number(params, "limit", NEWEST)
        shown = found[(page - 1) * limit : page * limit]
        return self._page_of(shown, page, limit, len(found))

    def _newest(self, params: Params) -> Reply:
        page_id = params.get("pageId", [""])[-1]
        found = [d for d in self._store.documents.values() if page_id in ("", d.page_id)]
        found.sort(key=lambda d: -d.pan_updated_us)
        # Seen by running it (B12): page and limit are ignored.
        return self._page_of(found[:NEWEST], 1, NEWEST, len(found))

    def _page_of(self, shown: Sequence[Document], page: int, limit: int, total: int) -> Reply:
        items = self._list(shown) if shown else b"null"
        return success(_paging(page, limit, len(shown), total) + b',"items":' + items + b"}")

    def _list(self, documents: Sequence[Document]) -> bytes:
        organization = self._options.organization_id
        return b"[" + b",".join(conversation_json(d, organization) for d in documents) + b"]"

    def _invisible(self, verb: str, params: Params) -> Reply:
        # Reality 57: upsert-messages writes no organization, and these routes filter by it.
        parse_filter(params)
        if verb == "find":
            return success(b"[]")
        page, limit = max(1, _number(params, "page", 1)), _number(params, "limit", NEWEST)
        return success(_paging(page, limit, 0, 0) + b',"items":null}')

    def _of_conversation(self, conversation_id: str, params: Params) -> Reply:
        page, limit = max(1, _number(params, "page", 1)), _number(params, "limit", 50)
        limit = limit if 1 <= limit <= 100 else 50
        thread = self._store.threads.get(conversation_id)
        items = sorted(thread.items.items(), key=lambda pair: -pair[1].inserted_at) if thread else []
        shown = items[(page - 1) * limit : page * limit]
        kept = self._options.keep == "bytes"
        listed = b"[" + b",".join(item_json(i, m, kept=kept) for i, m in shown) + b"]" if shown else b"null"
        paging = msgspec.json.encode({"page": page, "limit": limit, "total": len(items)})
        return success(b'{"data":' + listed + b',"pagination":' + paging + b"}")

    def _item(self, message_id: str) -> Reply:
        item = self._store.items.get(message_id)
        if item is None:
            raise Failure(404, "DB_002", NOT_FOUND)
        return success(item_json(message_id, item, kept=self._options.keep == "bytes"))


def _paging(page: int, limit: int, shown: int, total: int) -> bytes:
    pages = -(-total // limit) if limit else 0
    head = {"page": page, "limit": limit, "itemCount": shown, "total": total, "totalPage": pages}
    return msgspec.json.encode(head)[:-1]


def _options(params: Params) -> _Options:
    try:
        return msgspec.json.decode(params.get("options", ["{}"])[-1], type=_Options)
    except msgspec.MsgspecError as error:
        raise Failure(400, "VAL_002", "Options không hợp lệ", str(error)) from None


def _sorted(documents: list[Document], options: _Options) -> list[Document]:
    keys: dict[str, Callable[[Document], int | str]] = {
        "panCakeUpdatedAt": lambda d: d.pan_updated_us,
        "updatedAt": lambda d: d.updated_ms,
        "createdAt": lambda d: d.created_ms,
        "conversationId": lambda d: d.conversation_id,
        "_id": lambda d: d.number,
    }
    for name, direction in reversed(options.sort.items()):
        if name in keys:
            documents = sorted(documents, key=keys[name], reverse=direction < 0)
    return documents


def _number(params: Params, name: str, default: int) -> int:
    given = params.get(name, [""])[-1]
    return int(given) if given.isdecimal() and int(given) > 0 else default
