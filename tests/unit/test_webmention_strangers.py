"""What strangers may write into a page that mentions a post, or into a request, and what they gain
by it: nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hearing_kit import POST

from bridge.syndication.answers import Response
from bridge.syndication.backfeed import mention_of as answer_of
from bridge.syndication.mastodon import moment
from bridge.webmention.incoming.rules import Known, Rules, decide
from bridge.webmention.mention import Mention, Target, mention_of, web_url

HERE = Target(POST, frozenset({"/2026/hello"}), frozenset({"example.com"}))
FRIEND = "https://friend.example/"


def said(source: str, **more: Any) -> Mention:
    """What a page that answers the post is taken for."""
    entry: Mapping[str, Any] = {
        "url": [], "responses": {"in-reply-to": [POST]}, "rsvp": "", "name": "", "text": "Hi.",
        "links": 1, "published": "", "author": {}, "comments": [], **more,
    }  # fmt: skip
    return mention_of({"entry": entry, "links": 1}, source, POST, HERE)


@pytest.mark.parametrize(
    "url",
    ["https://a.example:99999/", "https://a.example:x/", "https://[a/", "https://:80/",
     "https://a.example/\u202e", "javascript:alert(1)", "https://a.example/ b"],
)  # fmt: skip
def test_what_is_no_address_is_never_taken_for_one(url: str) -> None:
    assert web_url(url) == ""
    comment = {"url": url, "text": "x", "published": "", "author": {"name": "x", "url": url}}
    assert said("https://a.example/1", comments=[comment]).entry["wm-children"] == []
    assert said("https://brid.gy/1", url=[url]).url == "https://brid.gy/1"
    assert "url" not in said("https://brid.gy/1", author={"url": url}).entry["author"]


def test_a_picture_has_an_address_and_no_more() -> None:
    assert said("https://a.example/1", author={"photo": f"data:image/png,{'A' * 9999}"}).photo == ""
    assert said("https://a.example/1", author={"photo": f"{FRIEND}a.png"}).photo == f"{FRIEND}a.png"


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_no_clock_shows_is_left_out(when: str) -> None:
    assert "published" not in said("https://a.example/1", published=when).entry
    assert moment(when) is None


def test_a_page_that_converts_any_other_does_not_speak_for_a_friend() -> None:
    source = "https://granary.io/url?output=html&url=https://evil.example/"
    mention = said(source, author={"name": "Friend", "url": FRIEND})
    known = Known(authors=frozenset({"friend.example/"}), hosts=frozenset({"granary.io"}))
    assert not mention.vouched
    assert decide(mention, source, "known", Rules(), known, flood=False) == "wait"


def test_an_answer_whose_author_has_no_name_is_named_by_an_address_alone() -> None:
    url = "https://a.example/@x/1"
    answer = Response("in-reply-to", url, "", f"javascript:{'a' * 9999}")
    assert answer_of(answer, POST, "mastodon").entry["author"] == {"type": "card", "name": url}
