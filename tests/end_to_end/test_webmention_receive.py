"""Receiving webmentions over sockets: what is rejected, shown, and removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from git_kit import git
from hearing_kit import OTHER, POST, SITE, Hearing, hearing
from rebuild_site import commit
from webmention_kit import Elsewhere, elsewhere

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bridge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hearing]:
    async with hearing(tmp_path_factory.mktemp("hearing")) as running:
        unlimited(running)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


def unlimited(running: Hearing) -> None:
    """Lifts the rate limits: all tests of this file send from one address."""
    for limiter in (running.receiver.checks.limits.clients, running.receiver.checks.limits.sources):
        limiter._each = 10_000


def entry(inside: str, *, text: str = "Agreed.", author: str = "Bob", url: str = "") -> str:
    """A page with an h-entry."""
    at = f'<a class="u-url" href="{url}"></a>' if url else ""
    return (
        f'<!doctype html><meta charset="utf-8"><title>A page</title><article class="h-entry">{at}'
        f'<a class="p-author h-card" href="/">{author}</a>{inside}'
        f'<div class="e-content">{text}</div><time class="dt-published" '
        'datetime="2026-11-26T15:00:00+01:00">today</time></article>'
    )


def reply(to: str = POST, text: str = "Agreed.") -> str:
    return entry(f'<a class="u-in-reply-to" href="{to}">a post</a>', text=text)


async def test_a_reply_becomes_a_file_with_the_names_of_jf2(
    bridge: Hearing, bob: Elsewhere
) -> None:
    source = bob.page("/reply", reply())
    answer = await bridge.send(source, POST)
    assert answer.headers["Location"].startswith(f"{bridge.url}webmention/")
    assert (await bridge.settled(answer))["state"] == "shown"
    ((path, said),) = [each for each in bridge.files().items() if each[1]["wm-source"] == source]
    folder, _, name = path.rpartition("/")
    assert folder == "2026/hello"
    assert name.startswith("reply-")
    assert len(name) == len("reply-123456789abc.json")
    received, checked = said.pop("wm-received"), said.pop("wm-checked")
    assert received <= checked
    assert received.endswith("Z")
    assert said == {
        "type": "entry",
        "url": source,
        "published": "2026-11-26T15:00:00+01:00",
        "author": {"type": "card", "name": "Bob", "url": bob.base},
        "content": {"text": "Agreed."},
        "in-reply-to": POST,
        "wm-property": "in-reply-to",
        "wm-source": source,
        "wm-target": POST,
        "wm-via": "webmention",
        "wm-children": [],
    }
    text = git(bridge.bare, "show", f"main:content/mentions/{path}")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
    assert bridge.commits()[0] == "Mentions: a reply"
    assert "Micropub-Action: mentions" in git(bridge.bare, "log", "-1", "--format=%B", "main")


@pytest.mark.parametrize(
    ("markup", "kind", "name"),
    [
        ("like-of", "like-of", "like"),
        ("repost-of", "repost-of", "repost"),
        ("bookmark-of", "bookmark-of", "bookmark"),
        ("in-reply-to", "in-reply-to", "reply"),
        ("url", "mention-of", "mention"),
    ],
)
async def test_every_kind(
    bridge: Hearing, bob: Elsewhere, markup: str, kind: str, name: str
) -> None:
    link = f'<a class="u-{markup}" href="{OTHER}">x</a>'
    source = bob.page(f"/kind/{markup}", entry(link, url=f"{{base}}kind/{markup}"))
    assert await bridge.told(source, OTHER) == "shown"
    (path,) = [path for path, said in bridge.files().items() if said["wm-source"] == source]
    said = bridge.files()[path]
    assert said["wm-property"] == kind
    assert said[kind] == OTHER
    assert path.startswith(f"2026/other/{name}-")
    assert ("content" in said) == (kind not in {"like-of", "repost-of"})


async def test_an_rsvp_has_its_answer(bridge: Hearing, bob: Elsewhere) -> None:
    inside = (
        f'<data class="p-rsvp" value="yes">I come</data> <a class="u-in-reply-to" href="{POST}">'
    )
    source = bob.page("/rsvp", entry(inside))
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    assert (said["wm-property"], said["rsvp"], said["in-reply-to"]) == ("rsvp", "yes", POST)


async def test_a_like_of_something_else_that_links_here_is_a_mention(
    bridge: Hearing, bob: Elsewhere
) -> None:
    inside = '<a class="u-like-of" href="https://x.example/">x</a>'
    source = bob.page("/aside", entry(inside, text=f'As <a href="{POST}">she</a> says.'))
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    assert said["wm-property"] == "mention-of"


REFUSED = [
    ("source is target", POST, POST),
    ("a fragment more", f"{POST}#x", POST),
    ("no web address", "mailto:a@example.org", POST),
    ("gibberish", "jwoijgoisdjlskjegisvjowuehjtkx", POST),
    ("gibberish as target", "{bob}reply", "owiejduvyeiwljjjcjmvbpsouehgd"),
    ("both", "sjuhvhwieuhtiwudcjvhuh", "owiejduvyeiwljjjcjmvbpsouehgd"),
    ("no source", None, POST),
    ("no target", "{bob}reply", None),
    ("another site", "{bob}reply", "https://other.example/"),
    ("another site at the same path", "{bob}reply", "https://other.example/2026/hello/"),
    ("no such page", "{bob}reply", f"{SITE}/no-such-page"),
    ("a draft", "{bob}reply", f"{SITE}/drafts/draft.html"),
    ("the site itself", OTHER, POST),
    ("the bridge itself", "{bridge}x", POST),
    ("a private network", "http://10.0.0.1/x", POST),
    ("the cloud's metadata", "http://169.254.169.254/latest", POST),
    ("a mapped address", "http://[::ffff:10.0.0.1]/", POST),
    ("a user name", "https://a:b@bob.example/", POST),
    ("markup in a fragment", 'https://bob.example/#"><script>', POST),
    ("text that is turned round", "https://bob.example/\u202egnp.exe", POST),
    ("too long", f"https://bob.example/{'a' * 2000}", POST),
]


@pytest.mark.parametrize(("source", "target"), [each[1:] for each in REFUSED], ids=[
    each[0] for each in REFUSED
])  # fmt: skip
async def test_rejections_have_a_message(
    bridge: Hearing, bob: Elsewhere, source: str | None, target: str | None
) -> None:
    before = bridge.files()
    if source is not None:
        source = source.replace("{bob}", bob.base).replace("{bridge}", bridge.url)
    said = await (await bridge.send(source, target, 400)).json()
    assert said["error"] == "invalid_request"
    assert len(said["error_description"]) > 20
    assert bridge.files() == before


async def test_a_post_with_another_query_is_still_that_post(
    bridge: Hearing, bob: Elsewhere
) -> None:
    """An update of its mention, too, is one of the same post."""
    before = bridge.files()
    for number, query in enumerate(("?utm_source=x", "?ref=bob&s=09", "?x#y")):
        target = f"{POST}{query}"
        source = bob.page(f"/query/{number}", reply(target))
        assert await bridge.told(source, target) == "shown"
        (new,) = [each for each in bridge.files().values() if each["wm-source"] == source]
        assert (new["wm-property"], new["wm-target"]) == ("in-reply-to", target)
        bob.page(f"/query/{number}", reply(POST, "Changed."))
        assert await bridge.told(source, POST) == "shown"
    added = {path: each for path, each in bridge.files().items() if path not in before}
    assert [each["content"]["text"] for each in added.values()] == ["Changed."] * 3
    assert {path.rpartition("/")[0] for path in added} == {"2026/hello"}
    for number, target in enumerate((f"{SITE}/?x", f"{SITE}/pages/about.html?x")):
        source = bob.page(f"/query/home/{number}", reply(target))
        assert await bridge.told(source, target) == "shown"


async def test_a_target_that_a_source_does_not_link_to_removes_no_mention_of_another(
    bridge: Hearing, bob: Elsewhere
) -> None:
    source = bob.page("/query/kept", reply(f"{POST}?a"))
    assert await bridge.told(source, f"{POST}?a") == "shown"
    for target in (POST, f"{POST}?b"):
        assert await bridge.told(source, target) == "no-link"
    assert [each["wm-target"] for each in bridge.files().values() if each["wm-source"] == source]
    bob.page("/query/kept", "Nothing")
    assert await bridge.told(source, f"{POST}?a#x") == "no-link"
    assert await bridge.told(source, f"{POST}?a") == "no-link"
    assert not [each for each in bridge.files().values() if each["wm-source"] == source]


async def test_drafts_are_unknown_targets(bridge: Hearing, bob: Elsewhere) -> None:
    answers = [
        await (await bridge.send(bob.base, target, 400)).json()
        for target in (
            *(f"{SITE}/drafts/draft.html", f"{SITE}/drafts/draft.html?x"),
            *(f"{SITE}/nothing/", f"{SITE}/nothing/?x"),
        )
    ]
    assert all(each == answers[0] for each in answers)


async def test_only_forms_are_read_and_private_mentions_are_refused(
    bridge: Hearing, bob: Elsewhere
) -> None:
    form = {"source": f"{bob.base}reply", "target": POST}
    async with bridge.http.post(f"{bridge.url}webmention", json=form) as answer:
        assert answer.status == 400
        assert "application/x-www-form-urlencoded" in (await answer.json())["error_description"]
    async with bridge.http.post(f"{bridge.url}webmention", data=form | {"code": "x"}) as answer:
        assert answer.status == 400
        assert "Private" in (await answer.json())["error_description"]
    twice = f"source={bob.base}&source={bob.base}&target={POST}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with bridge.http.post(f"{bridge.url}webmention", data=twice, headers=headers) as answer:
        assert answer.status == 400


async def test_the_home_page_and_pages_can_be_mentioned(bridge: Hearing, bob: Elsewhere) -> None:
    for number, target in enumerate((f"{SITE}/", f"{SITE}/pages/about.html")):
        source = bob.page(f"/home/{number}", f'<a href="{target}">her</a>')
        assert await bridge.told(source, target) == "shown"
    folders = {path.rpartition("/")[0] for path in bridge.files()}
    assert {"_home", "pages/about"} <= folders


async def test_the_link_is_searched_for_by_media_type(bridge: Hearing, bob: Elsewhere) -> None:
    for number, (body, kind, state) in enumerate(
        (
            (f"See {POST} there", "text/plain", "shown"),
            (json.dumps({"a": [{"b": POST}]}), "application/json", "shown"),
            (f"<p>{POST} <!-- <a href='{POST}'>", "text/html", "no-link"),
            (f'<a href="{POST}">x</a>', "application/pdf", "no-link"),
        )
    ):
        bob.pages[f"/match/{number}"] = partial(web.Response, text=body, content_type=kind)
        assert await bridge.told(f"{bob.base}match/{number}", POST) == state


async def test_a_webmention_sent_again_is_an_update(bridge: Hearing, bob: Elsewhere) -> None:
    source = bob.page("/twice", reply(text="First."))
    assert await bridge.told(source) == "shown"
    before = {path for path, said in bridge.files().items() if said["wm-source"] == source}
    bob.page("/twice", reply(text="Second."))
    assert await bridge.told(source) == "shown"
    after = {path: said for path, said in bridge.files().items() if said["wm-source"] == source}
    assert set(after) == before
    (said,) = after.values()
    assert said["content"] == {"text": "Second."}
    commits = len(bridge.commits())
    assert await bridge.told(source) == "shown"
    assert len(bridge.commits()) == commits, "what has not changed is not committed again"


async def test_a_source_has_one_webmention_however_it_is_spelled(
    bridge: Hearing, bob: Elsewhere
) -> None:
    source = bob.page("/spelled", reply())
    places = set[str]()
    for url in (source.replace("http:", "HTTP:") + "?", source.replace("/sp", "/%73%70"), source):
        answer = await bridge.send(url, POST)
        places.add(answer.headers["Location"])
    assert len(places) == 1
    assert (await bridge.settled(answer))["source"] == source
    await bridge.send(f"{source}#", POST, 429)


@pytest.mark.parametrize("then", ["goes", "is edited"])
async def test_a_mention_follows_its_source_also_where_its_file_has_another_spelling_of_it(
    bridge: Hearing, bob: Elsewhere, then: str
) -> None:
    """As earlier versions, and other services, have written the files of mentions."""
    name = f"/earlier-{len(then)}"
    source = bob.page(name, reply())
    assert await bridge.told(source) == "shown"
    ((path, said),) = [each for each in bridge.files().items() if each[1]["wm-source"] == source]
    said["wm-source"] = source.replace("/e", "/%65")
    data = json.dumps(said).encode()
    await asyncio.to_thread(
        commit, bridge.receiver.files._store, {f"content/mentions/{path}": data}
    )
    if then == "is edited":
        bob.page(name, reply(text="Edited."))
        assert await bridge.told(source) == "shown"
        said = bridge.files()[path]
        assert (said["content"], said["wm-source"]) == ({"text": "Edited."}, source)
    else:
        bob.pages[name] = lambda: web.Response(status=410)
        assert await bridge.told(source) == "gone"
        assert path not in bridge.files()


async def test_a_reply_that_becomes_a_like_is_one_file(bridge: Hearing, bob: Elsewhere) -> None:
    source = bob.page("/becomes", reply())
    assert await bridge.told(source) == "shown"
    bob.page("/becomes", entry(f'<a class="u-like-of" href="{POST}">x</a>'))
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    assert said["wm-property"] == "like-of"


@pytest.mark.parametrize("how", ["410", "no link", "tombstone"])
async def test_a_mention_is_removed_when_its_source_is_gone(
    bridge: Hearing, bob: Elsewhere, how: str
) -> None:
    path = f"/gone/{how.replace(' ', '-')}"
    source = bob.page(path, reply())
    assert await bridge.told(source) == "shown"
    dead = '<meta http-equiv="Status" content="410 Gone"><p>Deleted'
    bob.pages[path] = {
        "410": lambda: web.Response(status=410),
        "no link": lambda: web.Response(text="<p>Nothing", content_type="text/html"),
        "tombstone": lambda: web.Response(text=dead, content_type="text/html"),
    }[how]
    assert await bridge.told(source) == ("no-link" if how == "no link" else "gone")
    assert source not in {said["wm-source"] for said in bridge.files().values()}
    bob.page(path, reply())
    assert await bridge.told(source) == "shown", "what comes back is shown again"


@pytest.mark.parametrize("status", [404, 403, 500, 503])
async def test_a_mention_is_kept_when_its_source_is_missing_once(
    bridge: Hearing, bob: Elsewhere, status: int
) -> None:
    source = bob.page(f"/once/{status}", reply())
    assert await bridge.told(source) == "shown"
    bob.pages[f"/once/{status}"] = lambda: web.Response(status=status)
    await bridge.send(source, POST)
    await bridge.receiver.idle()
    assert source in {said["wm-source"] for said in bridge.files().values()}


async def test_a_source_that_redirects_keeps_its_own_address(
    bridge: Hearing, bob: Elsewhere
) -> None:
    bob.page("/new", reply())
    bob.pages["/old"] = lambda: web.Response(status=301, headers={"Location": "/new"})
    source = f"{bob.base}old"
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    assert said["url"] == source
    bob.pages["/loop"] = lambda: web.Response(status=302, headers={"Location": "/loop"})
    await bridge.send(f"{bob.base}loop", POST)
    await bridge.receiver.idle()
    assert bridge.record(f"{bob.base}loop").tries == 1


async def test_a_browser_gets_a_form_and_pages(bridge: Hearing, bob: Elsewhere) -> None:
    asks = {"Accept": "text/html,application/xhtml+xml"}
    async with bridge.http.get(f"{bridge.url}webmention?target={POST}", headers=asks) as form:
        assert form.status == 200
        text = await form.text()
        assert 'name="source"' in text
        assert f'value="{POST}"' in text
    async with bridge.http.get(f"{bridge.url}webmention?target=javascript:alert(1)") as form:
        assert "javascript:" not in await form.text()
    source = bob.page("/person", reply())
    answer = await bridge.send(source, POST, 201, **asks)
    assert answer.content_type == "text/html"
    assert source in await answer.text()
    refused = await bridge.send("x", POST, 400, **asks)
    assert refused.content_type == "text/html"
    async with bridge.http.get(answer.headers["Location"], headers=asks) as state:
        assert state.status == 200
        assert state.content_type == "text/html"
    async with bridge.http.get(f"{bridge.url}webmention/{'0' * 24}") as unknown:
        assert unknown.status == 404


XSS = (
    '<script>alert(1)</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">y</a>'
    "&lt;script&gt;alert(2)&lt;/script&gt;\u202eevil"
)


async def test_no_html_of_others_is_in_a_file(bridge: Hearing, bob: Elsewhere) -> None:
    page = (
        f'<article class="h-entry"><a class="u-in-reply-to" href="{POST}"></a>'
        f'<p class="p-name">{XSS}</p><div class="p-author h-card"><span class="p-name">{XSS}</span>'
        '<a class="u-url" href="javascript:alert(1)"></a>'
        '<img class="u-photo" src="javascript:alert(1)"></div>'
        f'<div class="e-content">{XSS}</div>'
        f'<div class="u-comment h-cite"><a class="u-url" href="javascript:x">{XSS}</a></div>'
        "</article>"
    )
    source = bob.page("/xss", page)
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    text = json.dumps(said)
    assert "javascript:" not in text
    assert "onerror" not in text
    assert "\\u202e" not in text
    assert "<script>alert(1)" not in text
    assert said["author"].keys() == {"type", "name"}


async def test_an_unverified_author_is_shown_with_the_host(bridge: Hearing, bob: Elsewhere) -> None:
    page = reply().replace('href="/">Bob', 'href="https://famous.example/">Famous')
    source = bob.page("/impostor", page)
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    host = bob.base.split("/")[2]
    assert said["author"] == {"type": "card", "name": f"Famous on {host}", "url": bob.base}


async def test_long_texts_are_cut_between_characters(bridge: Hearing, bob: Elsewhere) -> None:
    source = bob.page("/long", reply(text="<p>e\u0301a</p>" * 400))
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    text = said["content"]["text"]
    assert text.endswith("…")
    assert len(text.replace("\u0301", "")) <= 500
    assert text.startswith("e\u0301a\ne\u0301a")


async def test_responses_to_the_response_are_under_it(bridge: Hearing, bob: Elsewhere) -> None:
    comment = (
        '<div class="u-comment h-cite"><a class="u-url" href="https://eve.example/1">'
        '<span class="p-author h-card">Eve</span></a><p class="p-content">And I.</p></div>'
    )
    source = bob.page("/thread", reply().replace("</article>", f"{comment}</article>"))
    assert await bridge.told(source) == "shown"
    (said,) = [each for each in bridge.files().values() if each["wm-source"] == source]
    (child,) = said["wm-children"]
    assert child["url"] == "https://eve.example/1"
    assert child["content"] == {"text": "And I."}
    assert child["author"]["name"] == "Eve"


async def test_floods_get_429_with_retry_after(tmp_path: Path) -> None:
    async with hearing(tmp_path) as running, elsewhere() as site:
        answers = []
        for number in range(40):
            form = {"source": f"{site.base}{number}", "target": POST}
            async with running.http.post(f"{running.url}webmention", data=form) as answer:
                answers.append(answer.status)
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) > 0
                    assert (await answer.json())["error_description"]
        assert answers == [201] * 30 + [429] * 10
