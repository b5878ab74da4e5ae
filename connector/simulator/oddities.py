"""
Contents that are rarer than those of every world, each under its own name, so that it can be asked for.

An oddity makes raw JSON values that replace fields of one message or conversation; GONE takes one out.
"""

import random
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from connector.simulator.content import (
    EPOCH,
    FACEBOOK_SIGNATURE,
    S3_SIGNATURE,
    Fields,
    encode,
    fields,
    render,
    token_part,
)

GONE = b""
LONG_TEXT = "Dài quá ạ 😀 " * 15_000
LONG_URL = 8_000
BLOB = b"/9j/4AAQ" * 12_500
HEAVY_LINES = 600

Oddity = Callable[[random.Random, Fields], Fields]
"""From what the object holds so far."""


def _always(**given: bytes) -> Oddity:
    return lambda *_: given


def _text(raw: bytes) -> Oddity:
    return _always(message=raw, original_message=raw)


def _said(text: str) -> Oddity:
    return _text(encode(text))


def _photo(url: str) -> Fields:
    one = b'{"type":"photo","url":"%s","image_data":{"url":"%s","width":1080,"height":720}}'
    return {"attachments": b"[" + one % (url.encode(), url.encode()) + b"]"}


def _facebook_url(rng: random.Random, _: Fields) -> Fields:
    name = f"{rng.getrandbits(40)}_{rng.getrandbits(50)}_n.jpg"
    return _photo(f"https://scontent.xx.fbcdn.net/v/t1.15752-9/{name}?_nc_cat=1&{FACEBOOK_SIGNATURE}&dl=1")


def _s3_url(rng: random.Random, _: Fields) -> Fields:
    return _photo(f"https://s3.ap-southeast-1.amazonaws.com/pancake/{token_part(rng, 16)}.jpg?{S3_SIGNATURE}")


def _long_url(rng: random.Random, _: Fields) -> Fields:
    return _photo(f"https://content.pancake.vn/x.jpg?q={token_part(rng, LONG_URL)}")


def _without_fraction(names: Sequence[str]) -> Oddity:
    return lambda _, held: {name: held[name][:20] + b'"' for name in names if held.get(name, b"")[:1] == b'"'}


def _as_number(name: str, per_second: int) -> Oddity:
    def number(_: random.Random, held: Fields) -> Fields:
        moment = datetime.fromisoformat(held[name].decode().strip('"') + "+00:00") - EPOCH
        return {name: encode(round(moment.total_seconds()) * per_second)}

    return number


def _heavy(rng: random.Random, held: Fields) -> Fields:
    line = b'{"inserted_at":"2026-02-01T06:29:56","conversation_id":%s,"payload":{"editor_id":"%s"}}'
    lines = (line % (held["id"], token_part(rng, 24).encode()) for _ in range(HEAVY_LINES))
    return {"tag_histories": b"[" + b",".join(lines) + b"]"}


_CONTROLS = "".join(map(chr, range(1, 32))) + "\x7f\u0085\u2028\ufeff"
_ACCENTS = "Đặt hàng ở Thừa Thiên Huế, giá 250.000₫ (đã giảm), cảm ơn ạ"
_LONE = b'"c\\u1eaft ngang \\ud83d"'
_KEYS = b'{"a.b@c.vn":{"$inc":1},"$set":{},"+84.903":[],"":0,"9":1}'

MESSAGES: Mapping[str, Oddity] = {
    "admin": _always(**{"from": b'{"id":"1000","name":"Shop","admin_id":"77","admin_name":"H\\u1ed3ng"}'}),
    "attachments_object": _always(attachments=b'{"ids":["1"],"data":[{"type":"photo"}]}'),
    "automation": _always(**{"from": b'{"id":"1000","name":"Bot","is_automated":true,"ai_generated":true}'}),
    "base64": _always(x_blob=b'"' + BLOB + b'=="'),
    "big_integers": _always(platform_sequence=b"9007199254740993", x_i=b"123456789012345678901234567890"),
    "control_characters": _said(_CONTROLS),
    "dotted_keys": _always(x_by=_KEYS),
    "emoji": _said("👍🏽 👨‍👩‍👧‍👦 🇻🇳 \U0001f600"),
    "escaped_pairs": _text(b'"\\ud83d\\ude00 \\uD83D\\uDE00 \\/ \\u0041"'),
    "facebook_url": _facebook_url,
    "from_missing": _always(**{"from": GONE}),
    "from_null": _always(**{"from": b"null"}),
    "html": _text(
        b'"<div>Xin <b>ch\\u00e0o<\\/b><br\\/><a href=\\"https:\\/\\/x.vn?a=1&amp;b=2\\">x<\\/a><\\/div>"'
    ),
    "lone_surrogate": _text(_LONE),
    "long_text": _said(LONG_TEXT),
    "long_url": _long_url,
    "media_only": _always(message=b'"<div></div>"', original_message=b'""'),
    "missing_keys": _always(
        attachments=GONE, message=GONE, original_message=GONE, type=GONE, inserted_at=GONE
    ),
    "nfc": _said(unicodedata.normalize("NFC", _ACCENTS)),
    "nfd": _said(unicodedata.normalize("NFD", _ACCENTS)),
    "nul": _text(b'"tr\\u01b0\\u1edbc\\u0000sau"'),
    "nulls": _always(message=b"null", attachments=b"null", phone_info=b"null", type=b"null", seen=b"null"),
    "numeric_siblings": _always(watermark=b"1767582245", seen_at=b"1767582245123", edited_at=b"1767582245.5"),
    "numeric_time": _as_number("inserted_at", 1),
    "right_to_left": _said("مرحبا \u202eabc\u202c שלום \u200f"),
    "s3_url": _s3_url,
    "system": _always(**{"from": b"null", "attachments": b'[{"type":"system_message","url":null}]'}),
    "time_without_fraction": _without_fraction(["inserted_at"]),
    "unknown_attachment": _always(attachments=b'[{"type":"x_hologram","frames":[1.0,1e5],"url":null}]'),
    "unknown_fields": _always(x_new=b'{"list":[null,true,1e-7,-0.0],"d\\u1ea5u":"c\\u00f3"}', v2=b"[]"),
    "unknown_type": _always(type=b'"X_STORY_REPLY"'),
}
"""What one message may hold (realities 24, 25, 28, 29, 31 to 38)."""

CONVERSATIONS: Mapping[str, Oddity] = {
    "attachments_object": _always(x_attachments=b'{"data":[]}', ad_clicks=b'{"5.1":[],"$k":{}}'),
    "big_integers": _always(recent_phone_numbers=b'[{"phone_number":"0903","order_id":9007199254740993}]'),
    "birthday_zeros": _always(page_customer=b'{"id":"k","birthday":{"date":0,"month":0,"year":0}}'),
    "dotted_keys": _always(recent_seen_users=_KEYS),
    "heavy": _heavy,
    "lone_surrogate": _always(snippet=_LONE),
    "missing_keys": _always(snippet=GONE, tags=GONE, seen=GONE, last_sent_by=GONE, **{"from": GONE}),
    "nulls": _always(
        snippet=b"null", tags=b"null", ad_ids=b"null", page_customer=b"null", **{"from": b"null"}
    ),
    "numeric_siblings": _always(last_customer_interactive_at=b"1767582245123", watermark=b"1767582245"),
    "numeric_time": _as_number("updated_at", 1000),
    "phones_as_strings": _always(recent_phone_numbers=b'["0903123456","+84 903"]'),
    "tags_with_null": _always(tags=b'[null,{"id":7,"text":"A"},null,"8",9]'),
    "time_without_fraction": _without_fraction(["inserted_at", "updated_at"]),
    "unknown_fields": _always(x_new=b'{"list":[null,true,1e-7,-0.0],"d\\u1ea5u":"c\\u00f3"}', v2=b"[]"),
    "unknown_type": _always(type=b'"COMMENT_LIVESTREAM"', platform=b'"threads"'),
}
"""What one conversation may hold (realities 29, 32 to 38, 40)."""

EVERY = tuple(sorted(MESSAGES.keys() | CONVERSATIONS.keys()))


def changed(data: bytes, oddity: Oddity, rng: random.Random) -> bytes:
    held = fields(data)
    return render({name: value for name, value in (held | oddity(rng, held)).items() if value != GONE})


def drawn(data: bytes, oddities: Mapping[str, Oddity], names: Sequence[str], rng: random.Random) -> bytes:
    """With one of the named oddities, if any of them is of this kind."""
    fitting = [name for name in names if name in oddities]
    return changed(data, oddities[rng.choice(fitting)], rng) if fitting else data
