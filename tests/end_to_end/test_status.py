"""``/status``: the state of build and remote, as JSON and as a page for the owner."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bs4 import BeautifulSoup
from crowd_kit import Repos
from demo_kit import PATIENCE, Demo, demo_in
from serving_kit import serving
from soak_kit import SOAK

from bridge import __version__


@pytest.fixture
def broken_demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo for a single test, which breaks things in it."""
    with demo_in(tmp_path / "demo", BRIDGE_WEBMENTION__SEND="false") as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """A client with cookies that accepts HTML."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Accept": "text/html"}) as session:
        yield session


async def facts(http: aiohttp.ClientSession, demo: Demo) -> dict[str, Any]:
    headers = {**demo.headers, "Accept": "application/json"}
    async with http.get(f"{demo.site}status", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        told: dict[str, Any] = await answer.json()
        return told


async def become(
    http: aiohttp.ClientSession, demo: Demo, true: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Wait for a state, and return the facts."""
    deadline = time.monotonic() + PATIENCE
    while not true(found := await facts(http, demo)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found


async def post(http: aiohttp.ClientSession, demo: Demo) -> None:
    """Create a note through the API."""
    note = {"h": "entry", "content": "Hello"}
    async with http.post(demo.micropub, data=note, headers=demo.headers) as answer:
        assert answer.status in (201, 202), await answer.text()


def commit(demo: Demo, path: str, text: str) -> None:
    """Commit something by hand."""
    file = demo.in_step() / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(text)
    demo.git("add", path, repo=demo.clone)
    demo.git("commit", "--quiet", "--message", f"Change {path}", repo=demo.clone)


async def page(browser: aiohttp.ClientSession, demo: Demo) -> str:
    """The text of the owner's page, after signing in."""
    async with browser.get(f"{demo.site}status") as answer:
        html = BeautifulSoup(await answer.text(), "html5lib")
        arrived = answer.url.path
    if arrived == "/auth/sign-in":
        form = html.select_one('form[action="/auth/sign-in"]')
        assert form is not None
        fields = {str(each["name"]): str(each.get("value", "")) for each in form.select("[name]")}
        fields["password"] = demo.password
        async with browser.post(f"{demo.site}auth/sign-in", data=fields) as answer:
            assert answer.url.path == "/status"
            html = BeautifulSoup(await answer.text(), "html5lib")
    assert html.main is not None
    return " ".join(html.main.get_text(" ").split())


async def test_json_status_with_a_token(demo: Demo, http: aiohttp.ClientSession) -> None:
    states = ("idle", "ok")
    found = await become(
        http, demo, lambda now: (now["rebuild"]["state"], now["remote"]["state"]) == states
    )
    assert found["version"] == __version__
    assert found["rebuild"]["reason"] is None
    assert found["rebuild"]["file"] is None
    assert found["rebuild"]["time"].endswith("+00:00")
    assert found["rebuild"]["left_out"] == []
    assert found["remote"]["behind"] == 0
    assert found["remote"]["error"] is None


async def test_no_json_status_without_a_token(demo: Demo, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{demo.site}status") as answer:
        assert answer.status == 401
        assert (await answer.json())["error"] == "unauthorized"


async def test_a_monitor_only_learns_that_the_bridge_responds(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{demo.site}healthz") as answer:
        assert await answer.json() == {"status": "ok"}


async def test_the_owner_signs_in_and_sees_that_everything_works(
    demo: Demo, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{demo.site}status", allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/auth/sign-in?then=/status"
    words = await page(browser, demo)
    assert words.startswith(
        ("Everything is live", "The site is being built", "Live, with warnings")
    )
    assert f"Bridge version {__version__}" in words
    async with browser.get(f"{demo.site}status") as answer:
        html = BeautifulSoup(await answer.text(), "html5lib")
    assert [each.get_text() for each in html.select("header .site")] == ["Maren Vidal"]


async def test_failures_are_shown_with_reason_and_file(
    broken_demo: Demo, http: aiohttp.ClientSession, browser: aiohttp.ClientSession
) -> None:
    demo = broken_demo
    commit(demo, "content/odd.md", "Title: Odd\nDate: some <b>day</b>\n\nText.\n")
    found = await become(http, demo, lambda now: now["rebuild"]["left_out"])
    assert found["rebuild"]["state"] == "idle"
    assert [each["file"] for each in found["rebuild"]["left_out"]] == ["content/odd.md"]
    words = await page(browser, demo)
    assert "Left out of the site" in words
    assert "content/odd.md" in words
    # It is no post for apps either, which is not said a second time.
    assert [each["file"] for each in found["site"]["unread"]] == ["content/odd.md"]
    assert "No posts for Pelican" not in words

    odd = "content/mentions/notes/like-0123456789ab.json"
    commit(demo, odd, "[]")
    commit(demo, "content/mentions/rules.json", "{")
    found = await become(
        http, demo, lambda now: now["webmention"]["rules"] and now["webmention"]["unread"]
    )
    reason = "it is not a JSON object"
    assert found["webmention"]["unread"] == [{"file": odd, "reason": reason}]
    words = await page(browser, demo)
    assert f"{odd} {reason}" in words
    assert "content/mentions/rules.json it is not JSON" in words
    assert "every new webmention waits for you" in words

    if SOAK:
        assert found["rebuild"]["slow"] is None
        commit(demo, "pelicanconf.py", 'DATE_FORMATS = {"en": ("C.UTF-8", "%d %m %Y")}\n')
        found = await become(http, demo, lambda now: now["rebuild"]["slow"])
        assert found["rebuild"]["slow"]["reason"] == "DATE_FORMATS names locales"
        assert "in LOCALE" in found["rebuild"]["slow"]["remedy"]
        words = await page(browser, demo)
        assert "Slower than it could be" in words
        assert "DATE_FORMATS names locales Name the site's locale in LOCALE" in words

    commit(demo, "pelicanconf.py", "import no_such_module\n")
    found = await become(http, demo, lambda now: now["rebuild"]["state"] == "failed")
    assert "no_such_module" in found["rebuild"]["reason"]
    assert found["rebuild"]["time"] is not None
    words = await page(browser, demo)
    # The first to load the site reports it first: its own process, or the build.
    assert words.startswith(("The site’s settings cannot be used", "The last build failed"))
    assert "no_such_module" in words
    assert (demo.output / "index.html").exists(), "the last good site stays"

    demo.git("revert", "--no-edit", "HEAD", repo=demo.clone)
    demo.in_step()
    moved = demo.clone.rename(demo.clone.with_suffix(".moved"))
    await post(http, demo)
    found = await become(http, demo, lambda now: now["remote"]["state"] == "failed")
    assert found["remote"]["behind"] >= 1
    assert found["remote"]["error"]
    words = await page(browser, demo)
    assert "The remote did not answer as it should" in words
    assert "to push" in words
    advice = f"Check the remote's path or URL: git -C {demo.repo} remote -v."
    assert found["remote"]["remedy"] == advice
    assert advice in words
    moved.rename(demo.clone)
    await become(http, demo, lambda now: now["remote"]["state"] == "ok")


async def test_what_waits_for_the_owner_is_shown_with_advice(
    demo: Demo, http: aiohttp.ClientSession, browser: aiohttp.ClientSession
) -> None:
    (demo.in_step() / "pelicanconf.py").write_text("# half done\n")
    await post(http, demo)
    states = ("idle", "waiting")
    found = await become(
        http, demo, lambda now: (now["rebuild"]["state"], now["remote"]["state"]) == states
    )
    assert found["remote"]["behind"] == 1
    assert found["remote"]["retry"] is not None
    words = await page(browser, demo)
    assert words.startswith("Live, but your clone is not up to date")
    assert "Posts wait for something of yours" in words
    assert f"pelicanconf.py in {demo.clone} has changes that are not committed" in words
    demo.git("checkout", "--quiet", "--", "pelicanconf.py", repo=demo.clone)
    await become(http, demo, lambda now: now["remote"]["state"] == "ok")
    demo.in_step()


async def test_a_conflicting_file_is_shown_until_one_version_is_deleted(
    demo: Demo, http: aiohttp.ClientSession, browser: aiohttp.ClientSession, tmp_path: Path
) -> None:
    demo.in_step()
    laptop = tmp_path / "laptop"
    demo.git("clone", "--quiet", str(demo.clone), str(laptop))
    (laptop / "content/both.md").write_text("Title: Elsewhere\nDate: 2026-11-21\n\nx\n")
    demo.git("add", "-A", repo=laptop)
    owner = ("-c", "user.name=Me", "-c", "user.email=me@example.com")
    demo.git(*owner, "commit", "--quiet", "-m", "Elsewhere", repo=laptop)
    here = tmp_path / "here"
    demo.git("clone", "--quiet", str(demo.repo), str(here))
    (here / "content/both.md").write_text("Title: Here\nDate: 2026-11-21\n\ny\n")
    demo.git("add", "-A", repo=here)
    demo.git(*owner, "commit", "--quiet", "-m", "Here", repo=here)
    # The bridge watches the clone, and would have taken the first before the second arrives.
    os.kill(demo.pid, signal.SIGSTOP)
    try:
        demo.git("push", "--quiet", repo=laptop)
        demo.git("push", "--quiet", repo=here)
    finally:
        os.kill(demo.pid, signal.SIGCONT)

    found = await become(http, demo, lambda now: now["remote"]["conflicts"])
    (conflict,) = found["remote"]["conflicts"]
    assert conflict["path"] == "content/both.md"
    assert "Title: Here" in demo.git("show", f"main:{conflict['kept']}")
    words = await page(browser, demo)
    assert "Changed here and elsewhere" in words
    assert f"content/both.md the bridge’s version: {conflict['kept']}" in words

    demo.git("rm", "--quiet", conflict["kept"], repo=demo.in_step())
    demo.git("commit", "--quiet", "-m", "Seen to", repo=demo.clone)
    await become(http, demo, lambda now: not now["remote"]["conflicts"])
    assert "Changed here and elsewhere" not in await page(browser, demo)


async def test_scheduled_posts_are_listed_with_their_date(
    demo: Demo, http: aiohttp.ClientSession, browser: aiohttp.ClientSession
) -> None:
    urls = []
    for slug, moment in (("later", "2096-05-06T07:08:09+00:00"), ("sooner", "2095-01-01")):
        note = {"h": "entry", "content": "Then", "published": moment, "mp-slug": slug}
        async with http.post(demo.micropub, data=note, headers=demo.headers) as answer:
            assert answer.status == 202
            urls.append(answer.headers["Location"])

    def listed(now: dict[str, Any]) -> list[dict[str, Any]]:
        return [each for each in now["scheduled"] if each["url"] in urls]

    waiting = listed(await become(http, demo, lambda now: len(listed(now)) == 2))
    assert [each["url"] for each in waiting] == urls[::-1]
    assert waiting[1]["time"] == "2096-05-06T07:08:09+00:00"
    assert waiting[1]["file"].endswith("later.md")
    words = await page(browser, demo)
    assert "Waiting for their time" in words
    assert f"{urls[0]} 6 May 2096, 09:08 CEST" in words


async def test_the_root_url_redirects_to_the_desk(
    tmp_path: Path, browser: aiohttp.ClientSession
) -> None:
    """With a host name of its own; if that is the site's, ``/`` is the site's home page."""
    with serving(Repos.begin(tmp_path, {})) as bridge:
        async with browser.get(bridge.url) as answer:
            assert answer.status == 200
            assert (answer.url.path, answer.url.query["then"]) == ("/auth/sign-in", "/desk/")
        for path, status in (("nothing/here", 404), ("auth/consent", 405), ("micropub", 401)):
            async with browser.get(f"{bridge.url}{path}") as answer:
                page = BeautifulSoup(await answer.text(), "html.parser")
                assert (answer.status, answer.content_type) == (status, "text/html")
                assert page.select("main h1")
                assert page.select("main a[href]")
        headers = {"Accept": "*/*"}
        async with browser.get(f"{bridge.url}nothing/here", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (404, "application/json")


async def test_the_preview_of_an_unbuilt_draft_says_so(
    demo: Demo, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{demo.site}auth/sign-in") as answer:
        page = BeautifulSoup(await answer.text(), "html.parser")
    form = {
        str(field["name"]): str(field.get("value", ""))
        for field in page.select('form[action="/auth/sign-in"] input[name]')
    }
    form["password"] = demo.password
    async with browser.post(f"{demo.site}auth/sign-in", data=form) as answer:
        assert answer.status == 200
    async with browser.get(f"{demo.site}preview/none.html") as answer:
        assert answer.status == 404
        assert "Not built yet" in await answer.text()
    german = {"Accept-Language": "de"}
    async with browser.get(f"{demo.site}preview/none.html", headers=german) as answer:
        assert "Noch nicht gebaut" in await answer.text()
