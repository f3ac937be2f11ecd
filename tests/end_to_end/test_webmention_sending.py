"""Sending webmentions over sockets: webmention.rocks' tests for senders, and deleted posts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from bridge_kit import Client
from demo_kit import Demo, demo_in
from indieauth_kit import browser
from webmention_kit import ROCKS, Elsewhere, elsewhere, expected_endpoint, serve_rocks


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_in(tmp_path_factory.mktemp("sending") / "demo") as running:
        yield running


@pytest.fixture
async def client(demo: Demo) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(demo, http)


@pytest.fixture
async def site() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as other:
        yield other


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def outbox(client: Client) -> dict[str, Any]:
    answer = await client.send(
        "GET", f"{client.bridge.site}status", headers={"Accept": "application/json"}
    )
    found: dict[str, Any] = answer.json["webmention"]
    return found


async def test_public_tests_of_discovery_from_a_post_to_the_endpoint(
    client: Client, site: Elsewhere
) -> None:
    tests = [test for test in ROCKS["discovery"] if test["number"] in (15, 23)]
    targets = [serve_rocks(site, test) for test in tests]
    url = await client.create(content="\n\n".join(targets))
    await until(lambda: len(site.posted) >= len(tests))
    assert sorted(site.mentions()) == sorted((url, target) for target in targets)
    assert {site.base + each.path.lstrip("/") for each in site.posted} == {
        expected_endpoint(site, test) for test in tests
    }


async def test_a_post_that_is_deleted_leaves_a_tombstone_and_comes_back(
    client: Client, demo: Demo, site: Elsewhere
) -> None:
    target = site.taker("/delete/1")
    url = await client.create(content=f"A [link]({target}) to be forgotten.", name="Short-lived")
    await until(lambda: site.mentions() == [(url, target)])

    answered = list[tuple[int, str]]()

    async def look() -> None:
        async with client.http.get(url) as page:
            answered.append((page.status, await page.text()))

    await client.act("delete", url)
    await until(lambda: site.mentions() == [(url, target)] * 2)
    await look()
    status, page = answered[-1]
    assert status == 410, page
    assert '<meta http-equiv="Status" content="410 Gone">' in page
    assert "forgotten" not in page
    assert "Short-lived" not in page
    (gone,) = [
        each for each in demo.git("show", "--name-only", "--format=", "main").splitlines()
        if "/gone/" in each
    ]  # fmt: skip
    said = json.loads(demo.git("show", f"main:{gone}"))
    assert said["url"] == url
    rule = f'gone "^/{url.removeprefix(demo.site)}$"'.replace("-", r"\-")
    await until(lambda: rule in (demo.output / ".htaccess").read_text())
    assert "forgotten" not in json.dumps(said)

    await client.act("undelete", url)
    await until(lambda: site.mentions() == [(url, target)] * 3)
    await look()
    assert answered[-1][0] == 200
    assert "forgotten" in answered[-1][1]
    assert gone not in demo.git("ls-tree", "-r", "--name-only", "main")
    await until(lambda: rule not in (demo.output / ".htaccess").read_text())


def serve_updates(site: Elsewhere, number: int) -> tuple[str, str, list[str]]:
    """The two pages of a public test of updates; each endpoint accepts a key once."""
    keys = set[str]()
    refused = list[str]()

    def page(path: str, link: str) -> Callable[[], web.Response]:
        def answer() -> web.Response:
            key = f"k{len(keys)}{number}"
            keys.add(key)
            body = f"<body><h1>{path}</h1>{link.replace('{key}', key)}</body>"
            return web.Response(text=body, content_type="text/html")

        return answer

    def takes(posted: Any) -> web.Response:
        key = posted.path.rpartition("key=")[2]
        if key not in keys or posted.content_type != "application/x-www-form-urlencoded":
            refused.append(posted.path)
            return web.Response(status=400)
        keys.discard(key)
        return web.Response(status=202)

    site.takes = takes
    pages = ROCKS["update"][number - 1]["pages"]
    for each in pages:
        site.pages[each["path"]] = page(each["path"], each["html_link"])
    one, two = (site.base + each["path"].lstrip("/") for each in pages)
    return one, two, refused


async def test_public_test_update_1_a_link_is_added(client: Client, site: Elsewhere) -> None:
    one, two, refused = serve_updates(site, 1)
    url = await client.create(content=f"Only {one}")
    await until(lambda: site.mentions() == [(url, one)])
    await client.act("update", url, replace={"content": [f"First {one} and then {two}"]})
    await until(lambda: len(site.posted) == 3)
    assert sorted(site.mentions()[1:]) == [(url, one), (url, two)]
    assert refused == [], "each endpoint is discovered anew"


async def test_public_test_update_2_a_link_is_removed(client: Client, site: Elsewhere) -> None:
    one, two, refused = serve_updates(site, 2)
    url = await client.create(content=f"First {one} and then {two}")
    await until(lambda: len(site.posted) == 2)
    await client.act("update", url, replace={"content": [f"Only {one}"]})
    await until(lambda: len(site.posted) == 4)
    assert sorted(site.mentions()[2:]) == [(url, one), (url, two)]
    assert refused == []

    # Receivers of removed links have been notified, and get no further webmentions.
    await client.act("update", url, replace={"content": [f"Still only {one}"]})
    await until(lambda: len(site.posted) == 5)
    assert site.mentions()[4] == (url, one)


async def test_drafts_send_nothing_until_they_are_published(
    client: Client, site: Elsewhere
) -> None:
    target, marker = site.taker("/draft"), site.taker("/marker")
    draft = await client.create(content=f"Not yet: {target}", post_status="draft")
    await client.create(content=f"Later than that: {marker}")
    await until(lambda: site.posted)
    assert site.targets() == ["/marker"]
    assert all("draft" not in path for _, path in site.asked), "not even looked at"
    answer = await client.act("update", draft, replace={"post-status": ["published"]})
    url = answer.headers.get("Location", draft)
    await until(lambda: len(site.posted) == 2)
    assert site.mentions()[1] == (url, target)


async def test_a_commit_by_hand_sends_webmentions_like_an_apps(
    client: Client, demo: Demo, site: Elsewhere
) -> None:
    target, other = site.taker("/by-hand"), site.taker("/other")
    clone = demo.in_step()
    file = clone / "content" / "by-hand.md"
    head = "Title: By hand\nDate: 2026-01-02 10:00\nSlug: by-hand\nCategory: articles\n\n"

    def commit(text: str | None) -> None:
        demo.in_step()
        file.unlink() if text is None else file.write_text(head + text)
        demo.git("add", "--all", repo=clone)
        demo.git("commit", "-q", "-m", "by hand", repo=clone)

    commit(f"See [this]({target}).")
    await until(lambda: site.posted)
    source = site.posted[0].form["source"]
    assert site.mentions() == [(source, target)]
    commit(f"See [that]({other}).")
    await until(lambda: len(site.posted) == 3)
    assert sorted(site.mentions()[1:]) == [(source, target), (source, other)]

    commit(None)
    await until(lambda: len(site.posted) == 4)
    assert site.mentions()[3] == (source, other)
    async with client.http.get(source) as page:
        assert page.status == 410
    assert "Micropub-Action: gone" in demo.git("log", "-1", "--format=%B", "main")


async def test_status_tells_what_was_sent_and_what_failed_and_why(
    client: Client, site: Elsewhere
) -> None:
    good, bad = site.taker("/good"), site.page(
        "/bad", "", Link=f"<{site.base}refuses>; rel=webmention"
    )  # fmt: skip
    plain = site.page("/plain", "<p>takes none</p>")
    site.takes = lambda posted: web.Response(status=403 if posted.path == "/refuses" else 202)
    url = await client.create(content=f"{good} {bad} {plain}")
    await until(lambda: len(site.posted) == 2)
    found = await outbox(client)
    while not found["failed"] or found["waiting"]:
        found = await outbox(client)
    assert (found["sent"][0]["source"], found["sent"][0]["target"]) == (url, good)
    assert found["failed"][0]["target"] == bad
    assert found["failed"][0]["status"] == 403
    assert "403" in found["failed"][0]["reason"]
    assert plain not in json.dumps(found), "a page that takes none is not a failure"
    assert found["held"] == found["not_live"] == []


async def test_a_post_can_be_sent_again_by_hand(
    client: Client, demo: Demo, site: Elsewhere
) -> None:
    target = site.taker("/again")
    plain = site.page("/plain", "<p>takes none</p>")
    url = await client.create(content=f"{target} {plain}")
    await until(lambda: site.mentions() == [(url, target)])
    printed = await asyncio.to_thread(demo.command, "webmention", url)
    assert site.mentions() == [(url, target)] * 2
    assert f"sent      {target}" in printed
    assert f"skipped   {plain}: it does not accept webmentions" in printed


async def test_many_posts_changed_by_hand_are_held_for_the_owner(
    demo: Demo, client: Client, site: Elsewhere
) -> None:
    target = site.taker("/many")
    clone = demo.in_step()
    for number in range(21):
        (clone / "content" / f"many-{number}.md").write_text(
            f"Title: Many {number}\nDate: 2026-01-02 10:00\nSlug: many-{number}\n"
            f"Category: articles\n\n[x]({target})\n"
        )
    demo.git("add", "--all", repo=clone)
    demo.git("commit", "-q", "-m", "an import", repo=clone)
    while len((await outbox(client))["held"]) < 21:
        await asyncio.sleep(0.1)
    assert site.asked == []

    async with browser(demo.site.rstrip("/")) as person:
        people = {"Accept": "text/html"}
        await person.sign_in("/auth/sign-in?then=/status", demo.password)
        page = await person.get("/status", headers=people)
        assert "Webmentions that wait for your decision" in page.text
        assert "21 posts were changed at once by hand" in page.text
        refused = await person.post("/status/webmentions", data={"do": "send"})
        assert refused.status == 403
        done = await person.submit(page, "/status/webmentions", do="discard")
        assert done.status == 303
        told = await person.get("/status", headers=people)
        assert "The webmentions of 21 posts are not sent." in told.text
    assert (await outbox(client))["held"] == []
    assert site.asked == []
