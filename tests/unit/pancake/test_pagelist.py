"""The list of pages in all the forms that it may have, and the token that it shows of each."""

import json

import pytest

from connector.errors import UnknownOutcomeError
from connector.model import Page
from connector.pancake.pagelist import parse_pages

PAGE = {"id": "1", "name": "Cửa hàng", "username": "shop", "platform": "facebook", "nobody": {"knows": 1}}


def pages_of(body: object) -> list[Page]:
    return [entry.page for entry in parse_pages(json.dumps(body).encode())]


@pytest.mark.parametrize(
    "body",
    [
        {"pages": [PAGE]},
        {
            "success": True,
            "categorized": {"activated": [PAGE], "hidden": [{"id": "2"}], "nopermission": None},
        },
        {"pages": None, "categorized": {"activated": [PAGE]}},
    ],
)
def test_the_list_is_read_in_either_shape(body: object) -> None:
    assert pages_of(body) == [Page("1", "shop", "Cửa hàng", "facebook")]


@pytest.mark.parametrize("body", [{"pages": []}, {"categorized": {"activated": []}}])
def test_an_account_without_pages_has_none(body: object) -> None:
    assert pages_of(body) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"success": True}, {"pages": None}, {"categorized": {}}, {"categorized": {"activated": None}}, []],
)
def test_an_answer_without_any_list_is_not_an_account_without_pages(body: object) -> None:
    # It would close every page that is being read.
    with pytest.raises(UnknownOutcomeError):
        pages_of(body)


@pytest.mark.parametrize("username", [None, "", 17, ...])
def test_the_id_stands_in_for_a_user_name_that_a_page_has_not(username: object) -> None:
    page = {"id": "igo_17", "username": username}
    if username is ...:
        del page["username"]
    assert pages_of({"pages": [page]}) == [Page("igo_17", "igo_17")]


@pytest.mark.parametrize("page_id", ["igo_1", "pzl_84", "zl_1", "ttm_1", "waba_1", "web_a.b", "tl_1", "In_1"])
def test_an_id_may_have_any_prefix(page_id: str) -> None:
    assert pages_of({"pages": [{"id": page_id}]})[0].id == page_id


def test_a_page_without_an_id_is_left_out_and_the_others_stay() -> None:
    assert [page.id for page in pages_of({"pages": [{"id": None}, {"name": "x"}, {"id": 5}, PAGE]})] == ["1"]


@pytest.mark.parametrize(
    "settings", [None, [], "x", {"page_access_token": None}, {"page_access_token": 7}, {}]
)
def test_a_page_whose_token_is_not_shown_has_an_empty_one(settings: object) -> None:
    body = json.dumps({"pages": [{"id": "1", "settings": settings}]}).encode()
    assert parse_pages(body)[0].token.get_secret_value() == ""


def test_a_name_that_was_cut_in_an_emoji_does_not_hide_the_pages() -> None:
    body = rb'{"categorized":{"activated":[{"id":"1","name":"shop \ud83d"}]}}'
    assert [entry.page.id for entry in parse_pages(body)] == ["1"]


def test_a_listed_token_is_never_shown() -> None:
    body = json.dumps({"pages": [{"id": "1", "settings": {"page_access_token": "CANARY"}}]}).encode()
    assert "CANARY" not in repr(parse_pages(body))
