"""Drafts of posts saved in the browser, if the desk has its own host name."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from bridge_kit import picture
from browser_kit import is_fit, launched, tab, until, window
from demo_kit import PATIENCE
from desk_kit import OwnHost, bridge_in
from git_kit import git
from indieauth_kit import PASSWORD
from PIL import Image
from playwright.async_api import Browser, Page, Route, expect
from soak_kit import SOAK, in_soak

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PHONE = {"width": 390, "height": 800}
#: An authenticator as in a phone or laptop, which verifies its user.
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
Cookies = list[dict[str, object]]
#: The module that the pages use, whose URL has the version of all static files.
OUTBOX = "document.querySelector('[href$=\"/pages.css\"]').href.replace('pages.css', 'outbox.js')"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnHost]:
    async with bridge_in(tmp_path_factory.mktemp("apart"), "127.0.0.1") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cookies(chromium: Browser, apart: OwnHost) -> Cookies:
    context = await window(chromium)
    page = await context.new_page()
    await page.goto(apart.desk)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Posts")).to_be_visible()
    kept = [dict(each) for each in await context.cookies()]
    await context.close()
    return kept


@pytest.mark.parametrize(
    "look",
    [
        pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="phone, dark"),
        in_soak({"locale": "de-DE"}, id="German"),
    ],
)
async def test_without_any_post_the_desk_says_how_to_begin(
    chromium: Browser, apart: OwnHost, cookies: Cookies, look: dict[str, Any]
) -> None:
    empty = {
        "": ("Nothing here yet.", "Hier ist noch nichts."),
        "?show=drafts": ("No drafts.", "Keine Entwürfe."),
        "?show=scheduled": ("Nothing is waiting", "Nichts wartet"),
        "?show=bin": ("The bin is empty", "Der Papierkorb ist"),
        "files": ("No files yet.", "Noch keine Dateien."),
        "outbox": ("Nothing is waiting", "wartet nichts"),
        "new": ("Write", "Schreiben"),
    }
    async with tab(chromium, cookies, **look, service_workers="block") as page:
        for path, words in empty.items() if SOAK else [*empty.items()][3:]:
            await page.goto(apart.desk + path)
            await expect(page.locator("main")).to_contain_text(words["locale" in look])
            await is_fit(page, contrast=SOAK or path == "outbox")


async def kept_until(page: Page, count: int, part: str = "", store: str = "drafts") -> None:
    """Wait until this many drafts are saved, one of which contains ``part``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found: list[object] = await page.evaluate(
                f"async (store) => (await import({OUTBOX})).all(store)", store
            )
            if len(found) == count and part in str(found):
                return
            await asyncio.sleep(0.05)


@pytest.mark.soak
async def test_pages_for_other_things_load_the_outbox_only_while_a_post_is_waiting(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    script = "script[src$='/outbox.js']"
    item = {
        "once": "0" * 32,
        "kind": "note",
        "fields": [["content", "Sent from Files"]],
        "files": [],
    }
    async with tab(chromium, cookies) as page:
        for path in ("files", "mentions"):
            await page.goto(f"{apart.desk}{path}")
            await expect(page.locator(script)).to_have_count(0)
        await page.goto(apart.desk)
        await expect(page.locator(script)).to_have_count(1)
        await page.evaluate(f"async (item) => (await import({OUTBOX})).queue(item)", item)
        await page.goto(f"{apart.desk}files")
        await kept_until(page, 0, store="outbox")
        await until(page, "!document.cookie.includes('desk-outbox')")
        await page.goto(f"{apart.desk}files")
        await expect(page.locator(script)).to_have_count(0)
        await page.goto(apart.desk)
        await expect(page.locator("main")).to_contain_text("Sent from Files")


async def test_saved_input_is_offered_and_removed_after_publishing(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies, service_workers="block") as page:
        await page.goto(f"{apart.desk}new")
        await page.get_by_label("Text").fill("Mist until noon\nand sun")
        await page.get_by_label("Tags", exact=True).fill("weather")
        await kept_until(page, 1, "weather")
        await page.goto(f"{apart.desk}new")
        await expect(page.locator("#drafts li")).to_contain_text("You wrote 5 words here, ")
        await expect(page.locator("#drafts li")).to_contain_text("“Mist until noon")
        await expect(page.get_by_label("Text")).to_have_value("")
        await is_fit(page, axe=True)
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


@pytest.mark.soak
async def test_saved_input_is_kept_until_the_server_confirms(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies, service_workers="block") as page:
        await page.goto(f"{apart.desk}new?kind=event")
        await page.get_by_label("Title").fill("A fair")
        await page.get_by_label("Text").fill("With a begin that is missing")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_role("alert")).to_contain_text("Say when it begins.")
        # The text is in the form again, so it is not offered as well.
        await expect(page.locator("#drafts")).to_be_hidden()
        await kept_until(page, 1, "missing")
        # Another post type: there is a link to the form in which it was entered.
        await page.goto(f"{apart.desk}new")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**/desk/new?kind=event*")
        await expect(page.get_by_label("Title")).to_have_value("A fair")
        # A form that is not empty is not overwritten.
        await page.goto(f"{apart.desk}new?kind=event")
        await page.get_by_label("Text").fill("Other words")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#drafts pre")).to_contain_text("a begin that is missing")
        await expect(page.get_by_label("Text")).to_have_value("Other words")
        await page.get_by_role("button", name="Discard").click()
        await page.get_by_label("Text").fill("")
        await page.get_by_label("Title").fill("")
        await kept_until(page, 0)


async def test_input_after_sending_is_kept(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies, service_workers="block") as page:
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
        # Input in an edit is saved for that post only, with the post's version.
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


@pytest.mark.soak
async def test_a_file_that_could_not_be_uploaded_is_saved_with_the_text(
    chromium: Browser, apart: OwnHost, cookies: Cookies, tmp_path: Path
) -> None:
    file = tmp_path / "lake.jpg"
    file.write_bytes(picture("navy"))
    async with tab(chromium, cookies, service_workers="block") as page:
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


async def test_saved_input_is_not_offered_without_a_session(apart: OwnHost) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{apart.desk}once?once=x") as answer:
        assert answer.status == 401
        assert await answer.json() == {"error": "unauthorized"}


async def test_the_desk_can_be_installed_and_shared_to(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(apart.desk)
        devtools = await page.context.new_cdp_session(page)
        found = await devtools.send("Page.getAppManifest")
        assert found["errors"] == []
        told = json.loads(found["data"])
        assert told["share_target"]["action"] == "/desk/share"
        sizes = set()
        for each in told["icons"]:
            answer = await page.request.get(f"{apart.desk}{each['src'].removeprefix('/desk/')}")
            assert answer.headers["content-type"] == each["type"] == "image/png"
            drawn = Image.open(BytesIO(await answer.body()))
            assert f"{drawn.width}x{drawn.height}" == each["sizes"]
            # Phones cut their own shape out of the icon, so it must not have rounded corners.
            assert (drawn.getchannel("A").getpixel((0, 0)) != 0) == (each["purpose"] == "maskable")
            sizes.add((drawn.width, each["purpose"]))
        assert sizes == {(192, "any"), (512, "any"), (512, "maskable")}
        missing = await devtools.send("Page.getInstallabilityErrors")
        ids = {each["errorId"] for each in missing["installabilityErrors"]}
        # Playwright's contexts are private windows, which store nothing.
        assert ids <= {"in-incognito"}


async def test_the_offline_cache_has_no_private_pages(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(apart.desk)
        await page.evaluate("navigator.serviceWorker.ready")
        paths = await page.evaluate(
            """async () => {
              const found = [];
              for (const name of await caches.keys()) {
                for (const each of await (await caches.open(name)).keys()) found.push(each.url);
              }
              return found.map((url) => new URL(url).pathname);
            }"""
        )
        assert "/desk/offline" in paths
        assert all(path == "/desk/offline" or path.startswith("/auth/static/") for path in paths)
        csrf = await page.locator("input[name=csrf]").first.input_value()
    async with aiohttp.ClientSession() as http, http.get(f"{apart.desk}offline") as answer:
        text = await answer.text()
    assert answer.status == 200
    assert "csrf" not in text
    assert csrf not in text
    assert "example.com" not in text


async def test_three_offline_posts_are_sent_in_order_and_once(
    chromium: Browser, apart: OwnHost, cookies: Cookies, tmp_path: Path
) -> None:
    file = tmp_path / "lake.jpg"
    file.write_bytes(picture("teal"))
    async with tab(chromium, cookies, viewport=PHONE) as page:
        await page.goto(apart.desk)
        await page.evaluate("navigator.serviceWorker.ready")
        await until(page, "navigator.serviceWorker.controller !== null")
        before = apart.commits()
        await page.context.set_offline(True)
        await page.goto(f"{apart.desk}new")
        await expect(page.get_by_role("heading", name="You are offline")).to_be_visible()
        await is_fit(page, axe=True)
        for number in ("one", "two", "three"):
            await page.get_by_label("Text").fill(f"Offline {number}")
            await page.get_by_label("Photos").set_input_files(file if number == "two" else [])
            await page.get_by_role("button", name="Post when online").click()
            await expect(page.locator("#outbox li").last).to_contain_text(f"Offline {number}")
        await expect(page.locator("#outbox li")).to_have_count(3)
        await is_fit(page)
        assert apart.commits() == before
        await page.context.set_offline(False)
        await page.wait_for_url("**/desk/outbox")
        await kept_until(page, 0, store="outbox")
        await expect(page.get_by_text("Nothing is waiting in this browser.")).to_be_visible()
        await is_fit(page)
    log = git(apart.bare, "log", "--format=%s", "--grep=Micropub-Once", f"-{3}", "main")
    assert apart.commits() >= before + 3
    subjects = [line for line in log.splitlines() if "Offline" in line]
    assert len(subjects) == 3, log
    assert [line.rpartition(" ")[2].strip('”"') for line in subjects] == ["three", "two", "one"]


async def test_after_a_lost_response_a_post_is_sent_once_and_refusals_show_the_reason(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    put = f"async (item) => (await import({OUTBOX})).queue(item)"
    item = {"once": "lost", "kind": "note", "fields": [["content", "Sent twice"]], "files": []}
    async with tab(chromium, cookies, service_workers="block") as page:
        await page.goto(f"{apart.desk}outbox")
        before = apart.commits()

        async def lose(route: Route) -> None:
            await route.fetch()
            await route.fulfill(status=413, body="")

        await page.route("**/desk/outbox", lose)
        await page.evaluate(put, item)
        await page.evaluate(f"async () => (await import({OUTBOX})).flush()")
        await expect(page.locator("#outbox li")).to_contain_text("It was not posted.")
        assert apart.commits() == before + 1
        await page.unroute("**/desk/outbox", lose)
        await page.reload()
        await kept_until(page, 0, store="outbox")
        assert apart.commits() == before + 1
        await page.evaluate(put, {**item, "once": "wrong", "kind": "event"})
        await page.reload()
        await expect(page.locator("#outbox li")).to_contain_text("Say when it begins.")
        await is_fit(page, contrast=True)
        await page.get_by_role("button", name="Edit").click()
        await expect(page.get_by_label("Text")).to_have_value("Sent twice")
        await page.get_by_label("Text").fill("")
        await kept_until(page, 0)
        assert apart.commits() == before + 1


async def test_failed_posts_are_retried_automatically_and_by_hand(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    put = f"async (item) => (await import({OUTBOX})).queue(item)"
    item = {"once": "later", "kind": "note", "fields": [["content", "Sent later"]], "files": []}
    async with tab(chromium, cookies, expected="status of 503", service_workers="block") as page:
        # The page's time stands still: no pause ends by itself, however slow the machine is.
        earlier = datetime.now(UTC) - timedelta(hours=2)
        await page.clock.install(time=earlier)
        await page.goto(f"{apart.desk}outbox")
        await page.clock.pause_at(earlier + timedelta(hours=1))
        await page.evaluate(f"async () => (await import({OUTBOX})).flush()")
        await page.evaluate("() => { window.n = 0; addEventListener('flushed', () => window.n++) }")
        before, asked = apart.commits(), asyncio.Queue[None]()

        async def fail(route: Route) -> None:
            if route.request.method != "POST":
                await route.continue_()
                return
            await route.fulfill(status=503, content_type="text/html", body="")
            await asked.put(None)

        async def tried(times: int) -> None:
            async with asyncio.timeout(PATIENCE):
                await asked.get()
            # The next pause begins before this event.
            await until(page, f"window.n === {times}")
            await expect(page.locator("#outbox li")).to_contain_text("It could not be posted.")

        await page.route("**/desk/outbox", fail)
        await page.evaluate(put, item)
        await page.evaluate(f"async () => (await import({OUTBOX})).flush()")
        await tried(1)
        for times, seconds in enumerate((5, 30, 120), 2):
            await page.clock.fast_forward((seconds - 1) * 1000)
            assert asked.empty()
            await page.clock.fast_forward(2000)
            await tried(times)
        await page.clock.fast_forward(3600_000)
        assert asked.empty()
        await page.unroute("**/desk/outbox", fail)
        assert apart.commits() == before
        await page.get_by_role("button", name="Send now").click()
        await kept_until(page, 0, store="outbox")
        assert apart.commits() == before + 1


@pytest.mark.soak
@pytest.mark.parametrize("button", ["Post when online", "Publish"])
async def test_a_form_open_when_the_network_is_lost_is_sent_later(
    chromium: Browser, apart: OwnHost, cookies: Cookies, button: str
) -> None:
    async with tab(chromium, cookies) as page:
        await page.goto(f"{apart.desk}new")
        await page.evaluate("navigator.serviceWorker.ready")
        await until(page, "navigator.serviceWorker.controller !== null")
        before = apart.commits()
        await page.get_by_label("Text").fill("In a tunnel")
        await page.context.set_offline(True)
        await page.get_by_role("button", name="Save draft").click()
        await expect(page.get_by_text("This could not be sent. Try again.")).to_be_visible()
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(page.locator("#outbox li")).to_contain_text("In a tunnel")
        await page.context.set_offline(False)
        # The offline page links to one that has a session, and sends the post.
        await expect(page.get_by_role("heading", name="Outbox")).to_be_visible()
        await kept_until(page, 0, store="outbox")
        assert apart.commits() == before + 1


@pytest.mark.soak
async def test_the_bookmarklet_opens_a_form_with_the_selected_text(
    chromium: Browser, apart: OwnHost, cookies: Cookies
) -> None:
    async with tab(chromium, cookies, service_workers="block") as page:
        await page.goto(apart.desk)
        link = page.get_by_role("link", name="Post this", include_hidden=True)
        script = (await link.get_attribute("href") or "").removeprefix("javascript:")
        await page.route(
            "https://elsewhere.example/",
            lambda route: route.fulfill(
                body="<title>A page</title><p>Its words</p>", content_type="text/html"
            ),
        )
        await page.goto("https://elsewhere.example/")
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('p'))")
        async with page.context.expect_page() as opened:
            await page.evaluate(script)
        form = await opened.value
        await expect(form.get_by_label("Text")).to_have_value("Its words")
        await expect(form.locator("[name=bookmark-of]")).to_have_value("https://elsewhere.example/")


@pytest.mark.soak
async def test_an_expired_session_is_renewed_with_a_passkey_while_writing(
    chromium: Browser, tmp_path: Path
) -> None:
    async with bridge_in(tmp_path, "localhost", by_passkey=True) as up, tab(chromium, []) as page:
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        await page.goto(up.set_up)
        await page.get_by_role("button", name="Make a passkey").click()
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
        await page.goto(f"{up.desk}new")
        await page.get_by_label("Text").fill("Written for an hour\nand not lost")
        await page.get_by_label("Tags", exact=True).fill("patience")
        await page.context.clear_cookies()
        before = up.commits()
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("heading", name="Sign in again")).to_be_visible()
        await expect(page.get_by_label("Password")).to_have_count(0)
        await is_fit(page)
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await expect(page.get_by_role("alert")).to_contain_text("You are signed in again")
        text = page.get_by_label("Text")
        await expect(text).to_have_value("Written for an hour\nand not lost")
        await expect(page.get_by_label("Tags", exact=True)).to_have_value("patience")
        assert up.commits() == before
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Draft saved.")
        assert up.commits() == before + 1
