"""Hostile content in a page that mentions a post, or in a request, has no effect."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hearing_kit import POST

from bridge.errors import InvalidRequest, TooManyRequests
from bridge.posts.urls import canonical, one_spelling
from bridge.syndication.backfeed.responses import Response, from_statuses
from bridge.syndication.backfeed.search import mention_of as answer_of
from bridge.syndication.mastodon.client import moment, plain
from bridge.webmention.incoming.moderation.rules import Known, Rules, decide
from bridge.webmention.incoming.request_checks import OwnerUrls, RequestChecks
from bridge.webmention.mention import Mention, MentionTarget, domain_of, mention_of, web_url

HERE = MentionTarget(POST, frozenset({"/2026/hello"}), frozenset({"example.com"}))
FRIEND = "https://friend.example/"


def said(source: str, at: str = "", **more: Any) -> Mention:
    """How a page that replies to the post is interpreted."""
    entry: Mapping[str, Any] = {
        "url": [], "responses": {"in-reply-to": [POST]}, "rsvp": "", "name": "", "text": "Hi.",
        "links": 1, "published": "", "author": {}, "comments": [], **more,
    }  # fmt: skip
    return mention_of({"entry": entry, "links": 1}, source, POST, HERE, at=at)


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


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("HTTPS://Friend.Example:443", "https://friend.example/"),
        ("http://friend.example:80/a?#", "http://friend.example/a"),
        (
            "http://friend.example:443/%7ea%2fb%c3%a9?x=%61#%62",
            "http://friend.example:443/~a%2Fb%C3%A9?x=a#b",
        ),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
        ("https://friend.example/x/../A/%2e/b/..", "https://friend.example/A/"),
        ("https://friend.example/A//b/?b&a", "https://friend.example/A//b/?b&a"),
        ("https://[a/", "https://[a/"),
        (
            "https://BÜCHER.example:443/ü%c3%bc?ü",
            "https://xn--bcher-kva.example/%C3%BC%C3%BC?%C3%BC",
        ),
        ("https://a.example/\ud800", "https://a.example/%3F"),
    ],
)
def test_spellings_of_one_url_are_one(url: str, spelled: str) -> None:
    assert one_spelling(url) == one_spelling(spelled) == spelled


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


def test_a_site_that_leads_on_to_any_other_does_not_vouch_for_it() -> None:
    source, at = f"{FRIEND}out?to=https://evil.example/1", "https://evil.example/1"
    rules = Rules(trust=("friend.example",))
    known = Known(authors=frozenset({"friend.example/"}), hosts=frozenset({"friend.example"}))
    mention = said(source, at=at, author={"name": "Friend", "url": FRIEND}, url=[f"{FRIEND}1"])
    assert mention.entry["author"]["name"] == "Friend on evil.example"
    assert not mention.vouched
    assert mention.url == source
    assert decide(mention, source, "known", rules, known, flood=False, at=at) == "wait"
    blocked = Rules(block=("evil.example",))
    assert decide(mention, source, "known", blocked, known, flood=False, at=at) == "drop"


def test_a_site_that_leads_on_to_itself_speaks_for_itself() -> None:
    at = "https://www.friend.example/1/"
    mention = said(f"{FRIEND}1", at=at, author={"name": "Friend", "url": FRIEND})
    assert (mention.vouched, mention.author_url) == (True, FRIEND)


def test_a_status_that_is_made_to_keep_a_parser_busy_is_read_in_no_time() -> None:
    hostile = "".join(f"<b id={n}>" for n in range(2_000)) + "x<p>" * 5_000 + "<" * 2_000_000
    status = {
        "visibility": "public", "account": {"id": "1", "acct": "a"}, "content": hostile,
        "url": "https://a.example/@a/1",
    }  # fmt: skip
    begun = time.process_time()
    (answer,) = from_statuses([status], "2")
    assert plain("<" * 200_000)
    assert answer.text.startswith("x")
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    ("source", "author", "decision"),
    [("https://tilde.club/~friend/1", "https://tilde.club/~friend/", "show"),
     ("https://tilde.club/~evil/1", "https://tilde.club/~friend/", "wait"),
     ("https://tilde.club/~friendly/1", "https://tilde.club/~friend", "wait"),
     ("https://tilde.club/~evil/1", "https://tilde.club/", "wait"),
     ("https://friend.example/1", "https://friend.example/about", "show")],
)  # fmt: skip
def test_on_a_host_of_many_one_cannot_name_another_as_the_author(
    source: str, author: str, decision: str
) -> None:
    mention = said(source, at=source, author={"name": "Friend", "url": author})
    known = Known(authors=frozenset({canonical(author, frozenset())}))
    assert decide(mention, source, "known", Rules(), known, flood=False, at=source) == decision
    rules = Rules(trust=(author,))
    assert decide(mention, source, "known", rules, Known(), flood=False, at=source) == decision


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("evil.example", "evil.example"),
        ("a.b.evil.example:8443", "evil.example"),
        ("A.Evil.Example.", "evil.example"),
        ("x.evil.co.uk", "evil.co.uk"),
        ("x.y.com.au", "y.com.au"),
        ("a.t.co", "t.co"),
        ("x.anna.github.io", "anna.github.io"),
        ("anna.wordpress.com", "anna.wordpress.com"),
        ("93.184.216.34", "93.184.216.34"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("localhost:8000", "localhost:8000"),
    ],
)
def test_the_hosts_below_a_domain_are_its_owners(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_a_blocked_host_name_blocks_those_below_it() -> None:
    rules = Rules(block=("evil.example", "böse.example"), trust=("friend.example",))
    for source, blocked in [
        ("https://a.böse.example/1", True),
        ("https://xn--bse-sna.example/1", True),
        ("https://evil.example/1", True),
        ("https://a.b.evil.example/1", True),
        ("https://notevil.example/1", False),
        ("https://evil.example.org/1", False),
    ]:
        assert rules.blocks(said(source), source) is blocked
    below = "https://a.friend.example/1"
    assert not rules.trusts(said(below, author={"name": "A"}), below), "trust is for the host alone"


class Home:
    """Targets of which each is there."""

    own = frozenset({"me.example"})

    async def find(self, url: str) -> MentionTarget:
        return MentionTarget(url, frozenset({"/"}), self.own)


async def test_any_number_of_hosts_below_one_domain_are_limited_together() -> None:
    checks = RequestChecks(cast("Any", Home()), OwnerUrls())

    async def sent(host: str, client: int) -> None:
        await checks.check(f"https://{host}/", "https://me.example/", f"10.0.0.{client}")

    for number in range(120):
        await sent(f"h{number}.evil.example", number)
    with pytest.raises(TooManyRequests):
        await sent("new.evil.example", 121)
    await sent("friend.example", 121)
    for number in range(121):
        await sent(f"person{number}.github.io", 122 + number % 100)


@pytest.mark.parametrize(
    "target",
    [
        "https://me:secret@me.example/",
        "https://me.example./",
        "https://me.example:99999/",
        "https://me.example/a/../b/",
        "ftp://me.example/",
    ],
)
async def test_a_target_that_no_link_spells_so_is_refused_in_words(target: str) -> None:
    checks = RequestChecks(cast("Any", Home()), OwnerUrls())
    await checks.check("https://bob.example/", "https://me.example/a/#part", "10.0.0.1")
    with pytest.raises(InvalidRequest, match=r"'target' (cannot be used|is not an http)"):
        await checks.check("https://bob.example/", target, "10.0.0.1")
