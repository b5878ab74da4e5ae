"""
What the seeded objects look like: the awkward content that real inboxes have, as exact JSON bytes.

Every function is a pure function of its arguments and of the generator it is given.
"""

import json
import random
import unicodedata
from datetime import UTC, datetime, timedelta

import msgspec

Fields = dict[str, bytes]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNATURE = "sig=0000000000000000"
FACEBOOK_SIGNATURE = "oh=00_AfD0000000000000000&oe=00000000"
S3_SIGNATURE = "X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=" + "0" * 64
"""They stand in every signed URL; a server that signs on each read writes its own digits over them."""

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_SCAN = json.JSONDecoder().raw_decode

_NAMES = (
    "Nguyễn Thị Hồng",
    "Trần Văn Đức",
    "Lê Hoàng Phương",
    "Phạm Mỹ Linh",
    "Võ Quốc Bảo",
    'O\'Brien "Bé"',
)
_PLAIN = (
    "Shop ơi, áo này còn size M không ạ?",
    "Dạ còn ạ, chị lấy màu gì để em lên đơn?",
    "Giao về Quận 7, TP. Hồ Chí Minh giúp mình nhé",
    "Bao nhiêu tiền một cái vậy shop",
    "Em gửi chị bảng giá mới nhất, có gì chị nhắn lại em nha",
    "Mình đã chuyển khoản rồi, shop kiểm tra giúp",
)
_AWKWARD = (
    json.dumps("Giá 250.000đ / 2 cái — caf\u00e9 \U0001f600 nhé", ensure_ascii=True),
    json.dumps("Xem http://shop.vn/áo/mới").replace("/", "\\/"),
    json.dumps("Đẹp quá 😍🔥 chốt 2 bộ 👨‍👩‍👧‍👦", ensure_ascii=False),
    json.dumps("مرحبا \u202eabc\u202c שלום", ensure_ascii=False),
    '"xuống\\ndòng\\tvà \\u0001 điều khiển, \\"ngoặc\\", \\\\gạch"',
    "\"<b>đậm</b> &amp; 'nháy' <br\\/>\"",
)
_TEXTS = tuple(
    [_ENCODE(t) for t in _PLAIN]
    + [_ENCODE(unicodedata.normalize("NFD", t)) for t in _PLAIN[:3]]
    + [t.encode() for t in _AWKWARD]
    + [b'"<div></div>"']
)
_COLOURS = ("#4b5577", "#e74c3c", "#0e9f6e")
_NUMBERS = (b"9007199254740993", b"9223372036854775807", b"18014398509481985", b"42")
_FLOATS = (b"1.0", b"1e5", b"0.30000000000000004", b"-0.0", b"12.50")


def stamp(us: int) -> str:
    """Microseconds since 1970 as Pancake writes them: naive, UTC, six digits."""
    return (EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%f")


def encode(value: object) -> bytes:
    return _ENCODE(value)


def fields(data: bytes) -> Fields:
    """The raw values of one object as `render` writes it, in its order."""
    try:
        return {key: bytes(value) for key, value in _DECODE(data).items()}
    except msgspec.DecodeError:
        # Half a surrogate pair is legal JSON, and msgspec refuses it.
        return _fields_slowly(data.decode())


def _fields_slowly(text: str) -> Fields:
    found: Fields = {}
    at = 1
    while text[at] != "}":
        key, colon = _SCAN(text, at)
        _, end = _SCAN(text, colon + 1)
        found[key] = text[colon + 1 : end].encode()
        at = end + (text[end] == ",")
    return found


def signed(body: bytes, read: int) -> bytes:
    """The same with every signed URL signed anew (reality 31)."""
    body = body.replace(SIGNATURE.encode(), b"sig=%016x" % read)
    body = body.replace(FACEBOOK_SIGNATURE.encode(), b"oh=00_AfD%016x&oe=%08X" % (read, read))
    date, _, _ = S3_SIGNATURE.partition("&")
    moment = EPOCH + timedelta(seconds=1_767_225_600 + read)
    anew = S3_SIGNATURE.replace(date, f"X-Amz-Date={moment:%Y%m%dT%H%M%SZ}").replace("0" * 64, f"{read:064x}")
    return body.replace(S3_SIGNATURE.encode(), anew.encode())


def render(parts: Fields) -> bytes:
    return b"{" + b",".join(_ENCODE(key) + b":" + value for key, value in parts.items()) + b"}"


def name_of(rng: random.Random) -> str:
    return rng.choice(_NAMES)


def text_of(rng: random.Random) -> bytes:
    """One message text as a JSON string, quotes included."""
    return rng.choice(_TEXTS)


def token_part(rng: random.Random, length: int) -> str:
    return f"{rng.getrandbits(length * 4):0{length}x}"


def plain_message(fixed: Fields, number: int) -> bytes:
    text = _ENCODE(f"Tin nhắn {number}")
    return render(fixed | {"message": text, "original_message": text, "is_removed": b"false"})


def message(rng: random.Random, fixed: Fields) -> bytes:
    """A message as the REST API lists it; ``fixed`` holds ids, sender and time."""
    text = text_of(rng)
    parts = fixed | {
        "message": text,
        "original_message": b'""' if text == b'"<div></div>"' else text,
        "seen": b"true",
        "has_phone": b"false",
        "is_hidden": b"false",
        "is_parent_hidden": b"false",
        "is_removed": b"false",
        "removed_by": b"null",
        "is_parent": b"false",
        "parent_id": b"null",
        "user_likes": b"false",
        "show_info": b"true",
        "can_comment": b"false",
        "can_like": b"true",
        "can_hide": b"true",
        "can_remove": b"true",
        "can_reply_privately": b"false",
        "private_reply_conversation": b"null",
        "comment_count": b"null",
        "like_count": b"0",
        "is_livestream_order": b"null",
        "rich_message": b'{"is_printed":false}' if rng.random() < 0.1 else b"null",
        "edit_history": b"null",
        "message_tags": b"[]",
        "phone_info": b"[]",
        "attachments": _attachments(rng),
        "platform_sequence": rng.choice(_NUMBERS),
        "confidence": rng.choice(_FLOATS),
    }
    if rng.random() < 0.2:
        parts["x_future"] = b'{"a.b":{"$set":1},"$ref":null,"reports":{"+84.903":{"order_fail":1}},"":[]}'
    return render(parts)


def _attachments(rng: random.Random) -> bytes:
    return b"[" + b",".join(_attachment(rng) for _ in range(rng.choice((0, 1, 1, 1)))) + b"]"


def _attachment(rng: random.Random) -> bytes:
    kind = rng.choice(("photo", "photo", "video", "sticker", "system_message", "x_new_kind"))
    file = token_part(rng, 48)
    url = f"https://content.pancake.vn/2-26/2026/3/{file}.jpg?oe={token_part(rng, 8)}&{SIGNATURE}"
    return (
        f'{{"type":"{kind}","id":"{rng.getrandbits(50)}","url":"{url}","title":null,'
        f'"mime_type":"image\\/jpeg",'
        f'"image_data":{{"url":"{url}","width":1080,"height":{rng.randrange(600, 1920)}}},'
        f'"payload":{{"template_type":"generic","buttons":[]}}}}'
    ).encode()


def sender(rng: random.Random, customer: Fields) -> bytes:
    """Customer, staff, robot, or (now and then) nobody."""
    roll = rng.random()
    if roll < 0.55:
        return render(customer)
    if roll < 0.58:
        return b"null"
    robot = b"true" if roll < 0.7 else b"false"
    return (
        b'{"id":"1000","name":"Shop","email":null,"uid":"'
        + token_part(rng, 8).encode()
        + b'","admin_id":"77",'
        b'"admin_name":' + _ENCODE(name_of(rng)) + b',"ai_generated":false,"is_automated":' + robot + b"}"
    )


def conversation(rng: random.Random, fixed: Fields) -> bytes:
    """A conversation as the v2 list has it; ``fixed`` holds ids, times, count and snippet."""
    tags = [_tag(rng, n) if rng.random() > 0.15 else b"null" for n in range(rng.randrange(4))]
    parts = fixed | {
        "seen": rng.choice((b"true", b"false")),
        "has_phone": b"true",
        "tags": b"[" + b",".join(tags) + b"]",
        "tag_histories": _tag_histories(rng, fixed["id"]),
        "assignee_ids": _ENCODE([uuid(rng)]),
        "assignee_group_id": b"null",
        "current_assign_users": b"[]",
        "assignee_histories": b"[]",
        "customers": b'[{"id":"%s","fb_id":"%d","name":%s}]'
        % (uuid(rng).encode(), rng.getrandbits(50), _ENCODE(name_of(rng))),
        "recent_phone_numbers": b'[{"phone_number":"0903123456","order_id":9007199254740993}]',
        "ad_ids": b"null",
        "ads": b'[{"post_id":"123_456","ad_id":"23850000000000000","inserted_at":"2026-02-01T06:29:56"}]',
        "page_customer": _page_customer(rng),
        "is_combined": b"false",
        "is_removed": b"false",
        "is_replied": b"true",
        "thread_key": b'"t_%d"' % rng.getrandbits(50),
        "recent_seen_users": b'{"a.b@pancake.vn":{"$at":1.0,"score":1e5}}',
        "unread_count": b"0",
    }
    return render(parts)


def _tag(rng: random.Random, number: int) -> bytes:
    colour = rng.choice(_COLOURS)
    text = _ENCODE(rng.choice(("Chốt đơn", "Hỏi giá", "Khách quen \U0001f600")))
    return b'{"id":%d,"text":%s,"color":"%s","is_deactive":false,"is_lead_event":false}' % (
        number,
        text,
        colour.encode(),
    )


def _tag_histories(rng: random.Random, conversation_id: bytes) -> bytes:
    line = (
        b'{"inserted_at":"2026-02-0%dT06:29:56","conversation_id":%s,"payload":{"action":"add",'
        b'"editor_id":"%s","editor_name":%s,"tag":{"id":%d,"text":"H\\u1ecfi gi\\u00e1"}}}'
    )
    lines = (
        line % (n + 1, conversation_id, uuid(rng).encode(), _ENCODE(name_of(rng)), n)
        for n in range(rng.randrange(2, 7))
    )
    return b"[" + b",".join(lines) + b"]"


def _page_customer(rng: random.Random) -> bytes:
    return (
        b'{"id":"%s","name":%s,"customer_id":null,"psid":"%d","gender":null,'
        b'"inserted_at":"2026-01-05T03:04:05",'
        b'"birthday":{"date":0,"month":0,"year":0},"notes":[{"id":"n1","message":"VIP","order_id":null,'
        b'"created_at":1767582245123,"updated_at":null,"removed_at":null}],"recent_orders":null}'
    ) % (uuid(rng).encode(), _ENCODE(name_of(rng)), rng.getrandbits(50))


def uuid(rng: random.Random) -> str:
    digits = token_part(rng, 32)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def thread(conversation_id: str, customer_id: str | None) -> bytes:
    """What the messages endpoint says beside the messages, as the inside of an object."""
    named = {"fb_id": "55", "name": "Lê Hoàng Phương", "id": customer_id}
    parts = {
        "conversation_id": encode(conversation_id),
        "conv_from": b'{"id":"55","name":"L\\u00ea Ho\\u00e0ng Ph\\u01b0\\u01a1ng","email":null}',
        "customers": encode([named | {"order_count": 2, "tags": ["12"], "ad_clicks": []}]),
        "conv_customers": encode([named]),
        "gender": b"null",
        "birthday": b'{"date":0,"month":0,"year":0}',
        "can_inbox": b"true",
        "is_banned": b"false",
        "banned_count": b"0",
        "app": b'"facebook"',
        "comment_count": b"0",
        "recent_emails": b'["a.b@c.vn"]',
        "recent_phone_numbers": b'["0903123456"]',
        "reports_by_phone": b'{"+84.903":{"order_success":1.0,"order_fail":0,"warning":0}}',
        "read_watermarks": b'[{"psid":"55","message_id":"m_1","watermark":1767582245,"is_group_conv":null}]',
        "notes": b"[]",
        "activities": b"[]",
        "post": b"null",
        "ad_clicks": b'{"$all":[],"c.1":{}}',
        "extra_info": b'{"sentiment_analysis":{"last_sentiment":{"confidence":1.0,"intensity":1e5}}}',
    }
    return render(parts)[1:-1]
