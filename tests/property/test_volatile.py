"""Signatures of URLs are no content; everything else is."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.pancake.wire import content_hash

SIGNED = (
    "https://scontent.xx.fbcdn.net/v/t1.15752-9/1_n.jpg?_nc_cat=1&_nc_sid=a&oh={0}&oe={1}",
    "https://content.pancake.vn/2-26/2026/3/f.jpg?oe={1}&sig={0}",
    "https://s3.amazonaws.com/b/k?X-Amz-Algorithm=AWS4&X-Amz-Date={1}&X-Amz-Signature={0}",
    "https://storage.googleapis.com/b/k?X-Goog-Expires={1}&X-Goog-Signature={0}",
    "https://d1.cloudfront.net/k?Expires={1}&Signature={0}&Key-Pair-Id=K",
    "https://a.blob.core.windows.net/c/k?sv=2024&se={1}&sr=b&sp=r&sig={0}",
    "https://p16.tiktokcdn.com/k.webp?x-expires={1}&x-signature={0}",
    "https://cdn.example/k?token={0}.{1}",
)
PART = st.text("0123456789abcdefABCDEF-_.%", min_size=1, max_size=40)
FORMS: tuple[Callable[[str], str], ...] = (
    json.dumps,
    lambda text: json.dumps(text).replace("/", "\\/"),
    lambda text: json.dumps(text).replace("&", "\\u0026"),
    lambda text: json.dumps(f'<img src="{text.replace("&", "&amp;")}"> xem nhé'),
)


def _object(url: str, form: int, text: str = "Chốt đơn") -> bytes:
    return (
        f'{{"id":"m_1","message":{json.dumps(text)},"attachments":[{{"url":{FORMS[form](url)}}}]}}'.encode()
    )


@pytest.mark.parametrize("form", range(len(FORMS)))
@pytest.mark.parametrize("url", SIGNED)
@given(old=st.tuples(PART, PART), new=st.tuples(PART, PART))
def test_a_url_that_is_signed_anew_is_the_same_content(
    url: str, form: int, old: tuple[str, str], new: tuple[str, str]
) -> None:
    assert content_hash(_object(url.format(*old), form)) == content_hash(_object(url.format(*new), form))


@pytest.mark.parametrize("url", SIGNED)
@given(data=st.data())
def test_any_other_byte_is_content(url: str, data: st.DataObject) -> None:
    raw = _object(url.format("00", "11"), 0)
    query = raw.index(b"?"), raw.index(b'"', raw.index(b"?"))
    places = [at for at in range(len(raw)) if not query[0] <= at < query[1]]
    at = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from([byte for byte in b"0aZ" if byte != raw[at]]))
    changed = raw[:at] + bytes([other]) + raw[at + 1 :]
    # A change within the URL's scheme makes it another text, and its query content: still a difference.
    assert content_hash(changed) != content_hash(raw)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://shop.vn/ao?sp=12&mau=do", "https://shop.vn/ao?sp=13&mau=do"),
        ("https://shop.vn/?page=1", "https://shop.vn/?page=2"),
        ("https://shop.vn/ao?designer=1&sigma=2", "https://shop.vn/ao?designer=1&sigma=3"),
        ("https://x.vn/f.jpg?sig=1", "https://x.vn/g.jpg?sig=1"),
        ("https://x.vn/f.jpg?sig=1", "https://x.vn/f.jpg"),
        ("giá sao vậy?sig=1", "giá sao vậy?sig=2"),
        ("https://x.vn/f.jpg?sig=1 hay quá", "https://x.vn/f.jpg?sig=1 hay lắm"),
    ],
)
def test_links_that_nobody_signed_and_words_around_them_count(one: str, other: str) -> None:
    assert content_hash(_object("", 0, one)) != content_hash(_object("", 0, other))


@pytest.mark.parametrize("length", [10, 100_000])
def test_many_question_marks_cost_no_more_than_their_length(length: int) -> None:
    # A pattern that backtracks would not come back from this.
    hostile = b'{"message":"' + b"https://" * length + b"?" * length + b"&sig" * length + b'"}'
    assert len(content_hash(hostile)) == 8
