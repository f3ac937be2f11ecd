"""What a browser keeps for a desk that has a host name of its own: drafts of posts."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from bridge_kit import picture
from browser_kit import ARGUMENTS, is_fit, tab
from demo_kit import PATIENCE
from git_kit import git
from indieauth_kit import PASSWORD, hashed, listening
from playwright.async_api import Browser, Page, async_playwright, expect
from site_kit import CONF, lay_out

from bridge.app import make_app
from bridge.indieauth.database import Database
from bridge.indieauth.login.password import store_password
from bridge.settings import IndieAuth, Publish, Rebuild, Settings, Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

Cookies = list[dict[str, object]]


@dataclass(frozen=True)
class Apart:
    """A bridge on a host name of its own; ``desk`` is its address."""

    desk: str
    bare: Path

    def commits(self) -> int:
        return int(git(self.bare, "rev-list", "--count", "main"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apart]:
    folder = tmp_path_factory.mktemp("apart")
    clone, bare = lay_out(folder / "clone", {}, CONF), folder / "site.git"
    git(clone, "init", "-q", "-b", "main")
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "The site")
    git(folder, "clone", "-q", "--bare", str(clone), str(bare))
    git(bare, "remote", "remove", "origin")
    settings = Settings(
        site=Site(me="https://example.com/", repo=bare, state=folder / "state"),
        publish=Publish(author="Ada <ada@example.com>", remote=""),
        indieauth=IndieAuth(enabled=True, database=folder / "indieauth.sqlite"),
        rebuild=Rebuild(mode="none"),
    )
    database = Database(settings.indieauth.database)
    with database.transaction() as connection:
        store_password(connection, hashed(PASSWORD))
    database.close()
    bound = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with listening(await make_app(settings, public_url=base), bound):
        yield Apart(f"{base}/desk/", bare)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=ARGUMENTS
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cookies(chromium: Browser, apart: Apart) -> Cookies:
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(apart.desk)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Posts")).to_be_visible()
    kept = [dict(each) for each in await context.cookies()]
    await context.close()
    return kept


async def kept_until(page: Page, count: int, part: str = "", store: str = "drafts") -> None:
    """Wait until that many drafts are kept, one of which has ``part`` in it."""
    found: list[object] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) != count or part not in str(found):
            await asyncio.sleep(0.05)
            found = await page.evaluate(
                "async (store) => (await import('/auth/static/kept.js')).all(store)", store
            )


async def test_what_was_typed_is_offered_again_and_goes_once_it_is_published(
    chromium: Browser, apart: Apart, cookies: Cookies
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(f"{apart.desk}new")
        await page.get_by_label("Text").fill("Mist until noon\nand sun")
        await page.get_by_label("Tags", exact=True).fill("weather")
        await kept_until(page, 1, "weather")
        await page.goto(f"{apart.desk}new")
        await expect(page.locator("#drafts li")).to_contain_text("You wrote 5 words here, ")
        await expect(page.locator("#drafts li")).to_contain_text("“Mist until noon")
        await expect(page.get_by_label("Text")).to_have_value("")
        await is_fit(page)
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_label("Text")).to_have_value("Mist until noon\nand sun")
        await expect(page.get_by_label("Tags", exact=True)).to_have_value("weather")
        await expect(page.locator("#drafts")).to_be_hidden()
        before = apart.commits()
        await page.route("https://example.com/**", lambda route: route.fulfill(body="The post"))
        await page.get_by_role("button", name="Publish").click()
        await page.wait_for_url(re.compile("^(?!.*/desk/new)"))
        assert apart.commits() == before + 1
        await page.goto(f"{apart.desk}new")
        await kept_until(page, 0)
        await expect(page.locator("#drafts")).to_be_hidden()


async def test_nothing_goes_that_the_server_has_not_said_is_done(
    chromium: Browser, apart: Apart, cookies: Cookies
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(f"{apart.desk}new?kind=event")
        await page.get_by_label("Title").fill("A fair")
        await page.get_by_label("Text").fill("With a begin that is missing")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_role("alert")).to_contain_text("Say when it begins.")
        # The text stands in the form again, so that it is not offered beside it.
        await expect(page.locator("#drafts")).to_be_hidden()
        await kept_until(page, 1, "missing")
        # Another kind: leads to the form that it was typed in.
        await page.goto(f"{apart.desk}new")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**/desk/new?kind=event*")
        await expect(page.get_by_label("Title")).to_have_value("A fair")
        # A form in which something stands is not overwritten.
        await page.goto(f"{apart.desk}new?kind=event")
        await page.get_by_label("Text").fill("Other words")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#drafts pre")).to_contain_text("a begin that is missing")
        await expect(page.get_by_label("Text")).to_have_value("Other words")
        await page.get_by_role("button", name="Discard").click()
        await page.get_by_label("Text").fill("")
        await page.get_by_label("Title").fill("")
        await kept_until(page, 0)


async def test_what_was_typed_after_it_was_sent_stays(
    chromium: Browser, apart: Apart, cookies: Cookies
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(f"{apart.desk}new")
        await page.get_by_label("Text").fill("As it was sent")
        once = await page.locator("#compose [name=once]").input_value()
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Draft saved.")
        await kept_until(page, 0)
        done = await page.evaluate(
            "async (once) => (await fetch(`/desk/once?once=${once}&once=x`)).json()", once
        )
        assert done == {"done": [once]}
        # A change of a post is kept for that post alone, and knows what the post was.
        await page.get_by_label("Text").fill("Changed, and the browser ended")
        await kept_until(page, 1, "browser ended")
        address = page.url
        await page.goto(f"{apart.desk}new")
        await expect(page.locator("#drafts")).to_be_hidden()
        await page.goto(address)
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_label("Text")).to_have_value("Changed, and the browser ended")
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Draft saved.")
        await kept_until(page, 0)


async def test_a_file_that_could_not_be_sent_is_kept_with_the_text(
    chromium: Browser, apart: Apart, cookies: Cookies, tmp_path: Path
) -> None:
    file = tmp_path / "lake.jpg"
    file.write_bytes(picture("navy"))
    async with tab(chromium, cookies) as page:
        await page.goto(f"{apart.desk}new")
        refused = lambda route: route.fulfill(status=413, body="")  # noqa: E731
        await page.route("**/desk/files", refused)
        await page.get_by_label("Text").fill("With a lake")
        await page.locator("input[type=file]").first.set_input_files(file)
        await expect(page.locator("[data-said]")).to_contain_text("lake.jpg: ")
        await kept_until(page, 1, "With a lake")
        await page.unroute("**/desk/files", refused)
        await page.goto(f"{apart.desk}new")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".attached li")).to_have_count(1)
        await page.get_by_label("Text").fill("")
        await page.get_by_role("button", name="Remove (1)").click()
        await kept_until(page, 0)


async def test_a_browser_that_is_not_signed_in_is_told_of_no_form(apart: Apart) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{apart.desk}once?once=x") as answer:
        assert answer.status == 401
        assert await answer.json() == {"error": "unauthorized"}
