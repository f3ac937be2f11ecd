"""Posts over time: name collisions, updates, deletions, drafts, scheduled posts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from demo_kit import PATIENCE, Demo, created, live
from soak_kit import in_soak

Json = dict[str, Any]


async def post(http: aiohttp.ClientSession, demo: Demo, properties: Json) -> str:
    """Create a post; returns its URL."""
    body = {"type": ["h-entry"], "properties": properties}
    async with http.post(demo.micropub, json=body, headers=demo.headers) as answer:
        return await created(answer)


async def act(http: aiohttp.ClientSession, demo: Demo, **body: object) -> tuple[int, Json]:
    """Update, delete or undelete; returns status and JSON."""
    async with http.post(demo.micropub, json=body, headers=demo.headers) as answer:
        return answer.status, json.loads(await answer.text() or "{}")


async def source(http: aiohttp.ClientSession, demo: Demo, url: str) -> Json:
    parameters = {"q": "source", "url": url}
    async with http.get(demo.micropub, params=parameters, headers=demo.headers) as answer:
        return {"status": answer.status, **await answer.json()}


async def become(http: aiohttp.ClientSession, url: str, true: Callable[[int, str], object]) -> str:
    """Wait until status and text of a page are as wanted; returns the text."""
    deadline = time.monotonic() + PATIENCE
    while True:
        async with http.get(url) as answer:
            status, page = answer.status, await answer.text()
        if true(status, page):
            return page
        assert time.monotonic() < deadline, f"{url}: {status}"
        await asyncio.sleep(0.1)


async def gone(http: aiohttp.ClientSession, url: str) -> None:
    await become(http, url, lambda status, _: status == 410)


def newest_file(demo: Demo) -> str:
    """The file that the last commit changed."""
    return demo.git("show", "--name-only", "--format=", "HEAD")


def commit_by_hand(demo: Demo, path: str, text: str) -> None:
    file = demo.in_step() / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    demo.git("add", path, repo=demo.clone)
    demo.git("commit", "--quiet", "--message", "By hand", repo=demo.clone)
    demo.in_step()


async def test_eight_concurrent_equal_titles_make_eight_posts(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    before = demo.commits()
    posts = [post(http, demo, {"name": ["Same"], "content": [str(n)]}) for n in range(8)]
    urls = await asyncio.gather(*posts)
    assert len(set(urls)) == 8
    assert demo.commits() == before + 8
    contents = {(await source(http, demo, url))["properties"]["content"][0] for url in urls}
    assert contents == {str(n) for n in range(8)}
    for url in urls:
        await live(http, url)
    demo.in_step()


async def test_an_update_that_moves_a_post_leaves_a_redirect(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    old = await post(http, demo, {"content": ["moving"], "mp-slug": ["here-first"]})
    assert old.endswith("/here-first/")
    status, body = await act(
        http, demo, action="update", url=old, replace={"mp-slug": ["then-there"]}
    )
    assert status == 201
    assert body["url"].endswith("/then-there/")
    await live(http, body["url"])
    page = await become(http, old, lambda _, page: 'http-equiv="refresh"' in page)
    assert f'url={body["url"]}"' in page
    assert (await source(http, demo, old))["properties"]["content"] == ["moving"]


async def test_an_undeleted_post_is_unchanged(demo: Demo, http: aiohttp.ClientSession) -> None:
    url = await post(http, demo, {"content": ["comes and goes"], "category": ["a", "b"]})
    path = newest_file(demo)
    before = (demo.in_step() / path).read_bytes()
    await live(http, url)
    assert (await act(http, demo, action="delete", url=url))[0] == 200
    assert not (demo.in_step() / path).exists()
    assert (await source(http, demo, url))["status"] == 400
    await gone(http, url)
    status, body = await act(http, demo, action="undelete", url=url)
    assert (status, body["url"]) == (200, url)
    assert (demo.in_step() / path).read_bytes() == before
    await live(http, url)


async def test_an_update_of_a_handwritten_post_changes_nothing_else(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    path = "content/notes/2020/01/by-hand.md"
    text = (
        "title:   By hand\nDate: 2020-01-02 03:04\nMood:  fine\ntags: one,two\nslug: by-hand\n"
        "Category: notes\n\nThe *body*,\nas it   is.\n"
    )
    commit_by_hand(demo, path, text)
    url = f"{demo.site}notes/2020/01/by-hand/"
    status, _ = await act(http, demo, action="update", url=url, add={"category": ["three"]})
    assert status == 200
    after = (demo.in_step() / path).read_text(encoding="utf-8")
    changed = re.sub(r"Modified: .*\n", "", after)
    assert changed.replace("tags: one,two,three", "tags: one,two") == text


async def test_an_update_of_a_file_that_the_owner_is_editing_is_live_and_waits(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    url = await post(http, demo, {"content": ["half edited"]})
    path = newest_file(demo)
    file = demo.in_step() / path
    committed = file.read_text(encoding="utf-8")
    file.write_text(committed + "\nmore, not done yet", encoding="utf-8")
    change = {"content": ["from an app"]}
    assert (await act(http, demo, action="update", url=url, replace=change))[0] == 200
    remote: Json = {"state": ""}
    while remote["state"] != "waiting":
        async with http.get(f"{demo.site}status", headers=demo.headers) as answer:
            remote = (await answer.json())["remote"]
        await asyncio.sleep(0.05)
    assert remote["behind"] == 1
    assert remote["error"].startswith(f"{path} in {demo.clone} has changes that are not committed")
    assert (await source(http, demo, url))["properties"]["content"] == ["from an app"]
    assert file.read_text(encoding="utf-8").endswith("not done yet")
    file.write_text(committed, encoding="utf-8")
    assert "from an app" in (demo.in_step() / path).read_text(encoding="utf-8")


async def test_a_published_draft_moves_to_its_url(demo: Demo, http: aiohttp.ClientSession) -> None:
    body = {
        "type": ["h-entry"],
        "properties": {"name": ["Not yet"], "content": ["…"], "post-status": ["draft"]},
    }
    async with http.post(demo.micropub, json=body, headers=demo.headers) as answer:
        created_as = json.loads(await answer.text())
    async with http.get(created_as["url"]) as answer:
        assert answer.status == 404, "a draft is not for those who guess its address"
    preview = created_as["preview"]
    async with http.get(preview, allow_redirects=False) as answer:
        assert answer.status == 303
        assert "/auth/sign-in" in answer.headers["Location"]
    status, moved = await act(
        http, demo, action="update", url=created_as["url"], replace={"post-status": ["published"]}
    )
    assert status == 201
    assert "/articles/" in moved["url"]
    assert (await shown(http, moved["url"]))[0] == 200
    back = {"post-status": ["draft"]}
    assert (await act(http, demo, action="update", url=moved["url"], replace=back))[0] == 201
    assert (await shown(http, moved["url"]))[0] == 404, "a draft again, and gone from its address"


async def test_a_post_is_restored_although_another_file_has_its_name(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    # They are alike, as versions of one post are.
    both = {"name": ["Twice"], "published": ["2026-01-01T10:00:00+01:00"]}
    shared = "\n\nBoth of them have all of these words."
    first = await post(http, demo, {**both, "content": [f"The first of the two{shared}"]})
    change = {"mp-slug": ["twice-before"]}
    status, moved = await act(http, demo, action="update", url=first, replace=change)
    assert status == 201
    assert (await act(http, demo, action="delete", url=moved["url"]))[0] == 200
    second = await post(http, demo, {**both, "content": [f"The second of the two{shared}"]})
    status, back = await act(http, demo, action="undelete", url=moved["url"])
    assert (status, back["url"]) == (200, moved["url"])
    for url, words in ((second, "The second"), (back["url"], "The first")):
        assert words in (await shown(http, url))[1]
    # Both are deleted: each is restored by its own URL.
    for url in (second, back["url"]):
        assert (await act(http, demo, action="delete", url=url))[0] == 200
    for url, words in ((second, "The second"), (back["url"], "The first")):
        assert (await act(http, demo, action="undelete", url=url))[0] == 200
        assert words in (await shown(http, url))[1]
    # If the first would still be found, the second does not silently take its place.
    assert (await act(http, demo, action="delete", url=second))[0] == 200
    status, refused = await act(http, demo, action="undelete", url=second)
    assert status == 409
    assert "Another post (content/" in refused["error_description"]


async def shown(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """The current page of a post."""
    async with http.get(url) as answer:
        return answer.status, await answer.text()


async def test_the_response_to_a_change_is_sent_when_it_is_live(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    url = await post(http, demo, {"content": ["As it was at first"], "mp-slug": ["live-changes"]})
    for words in ("As it is now", "As it is at last"):
        change = {"content": [words]}
        assert (await act(http, demo, action="update", url=url, replace=change))[0] == 200
        status, page = await shown(http, url)
        assert status == 200
        assert words in page
    status, moved = await act(http, demo, action="update", url=url, replace={"mp-slug": ["moved"]})
    assert status == 201
    status, page = await shown(http, moved["url"])
    assert status == 200
    assert "As it is at last" in page
    status, page = await shown(http, url)
    assert "As it is at last" not in page
    assert moved["url"] in page, "the old address leads to the new one"
    assert (await act(http, demo, action="delete", url=moved["url"]))[0] == 200
    assert (await shown(http, moved["url"]))[0] in (404, 410)
    status, _ = await act(http, demo, action="undelete", url=moved["url"])
    assert status == 200
    status, page = await shown(http, moved["url"])
    assert status == 200
    assert "As it is at last" in page


async def test_a_scheduled_post_appears_when_it_is_due(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=6)
    url = await post(http, demo, {"content": ["from the future"], "published": [due.isoformat()]})
    assert "/notes/" in url
    async with http.get(url) as answer:
        assert answer.status == 404 or datetime.now(UTC) >= due
    await live(http, url)
    assert datetime.now(UTC) >= due - timedelta(seconds=1)


async def test_private_posts_are_refused_and_never_published(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    before = demo.git("rev-parse", "HEAD")
    body = {
        "type": ["h-entry"],
        "properties": {"content": ["secret"], "visibility": ["private"]},
    }
    async with http.post(demo.micropub, json=body, headers=demo.headers) as answer:
        assert answer.status == 400
        assert "private" in (await answer.json())["error_description"]
    assert demo.git("rev-parse", "HEAD") == before


async def test_the_owners_own_commits_are_seen(demo: Demo, http: aiohttp.ClientSession) -> None:
    path, text = (
        "content/notes/2021/01/hello.md",
        ("Title: Hello\nDate: 2021-01-01 10:00\nSlug: hello\nCategory: notes\n\nBy hand\n"),
    )
    commit_by_hand(demo, path, text)
    url = f"{demo.site}notes/2021/01/hello/"
    assert (await source(http, demo, url))["properties"]["name"] == ["Hello"]
    taken = {"content": ["x"], "mp-slug": ["hello"], "published": ["2021-01-05T10:00:00+01:00"]}
    assert (await post(http, demo, taken)).endswith("/notes/2021/01/hello-2/")
    # What an app was told redirects.
    assert (await act(http, demo, action="update", url=url, replace={"summary": ["x"]}))[0] == 200
    demo.in_step()
    commit_by_hand(demo, path, text.replace("Slug: hello", "Slug: moved"))
    page = await become(http, url, lambda _, page: 'http-equiv="refresh"' in page)
    assert f'url={demo.site}notes/2021/01/moved/"' in page
    assert (await source(http, demo, url))["properties"]["name"] == ["Hello"]


@pytest.mark.parametrize(
    "slug",
    [
        "../../x",
        "x" * 900,
        *map(in_soak, ["/etc/passwd", "..", ".git/config", "a/../../b", "con\x00trol"]),
    ],
)
async def test_no_slug_leads_outside_the_content_folder(
    demo: Demo, http: aiohttp.ClientSession, slug: str
) -> None:
    url = await post(http, demo, {"content": ["x"], "mp-slug": [slug]})
    assert url.startswith(f"{demo.site}notes/")
    path = Path(newest_file(demo))
    assert path.parts[:2] == ("content", "notes")
    assert (demo.in_step() / path).is_file()
