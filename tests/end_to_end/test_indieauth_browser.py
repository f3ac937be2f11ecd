"""The owner in a real browser: setting up, signing in, giving consent, by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from browser_kit import launched, window
from indieauth_kit import (
    PASSWORD,
    Browser,
    Running,
    asking,
    browser,
    client_site,
    exchange,
    listening,
    running,
)
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, Route, expect
from soak_kit import SOAK, in_soak

from bridge.indieauth.login.password import owner_reset
from bridge.indieauth.oauth.app_tokens import list_tokens
from bridge.settings import IndieAuth

# One browser for all tests; each test has its own context.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with launched() as browser:
        yield browser


@asynccontextmanager
async def tab(chromium: Chromium, **options: object) -> AsyncIterator[Page]:
    """A page in a browser of its own. Errors in its console fail the test."""
    context = await window(chromium, **options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    yield page
    await context.close()
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="module")
async def up(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, IndieAuth(name="Maren Holt"), host="localhost") as made:
        yield made


async def give_authenticator(page: Page) -> None:
    """A virtual authenticator with user verification, as phones and laptops have."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    await devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


async def sign_in(page: Page) -> None:
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_first_set_up_with_a_password(tmp_path: Path, chromium: Chromium) -> None:
    async with (
        running(tmp_path, password=None, host="localhost") as up,
        tab(chromium) as page,
    ):
        await page.goto(up.base + owner_reset(up.db))
        await page.get_by_label("New password").fill(PASSWORD)
        await page.get_by_label("Repeat the password").fill(PASSWORD)
        await page.get_by_role("button", name="Set this password").click()
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await sign_in(page)
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()


async def test_first_set_up_and_every_day_with_a_passkey(
    tmp_path: Path, chromium: Chromium
) -> None:
    async with (
        running(tmp_path, password=None, host="localhost") as up,
        client_site({"/back": "Back at the app"}) as app,
        tab(chromium) as page,
    ):
        await give_authenticator(page)
        await page.goto(up.base + owner_reset(up.db))
        await page.get_by_role("button", name="Make a passkey").click()
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()

        await page.goto(up.base + asking(app))
        await expect(page.get_by_label("Password")).to_have_count(0)
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()
        (row,) = up.db.all("SELECT * FROM passkeys")
        assert row["last_used"] is not None


async def speak_german(route: Route) -> None:
    await route.continue_(headers={**route.request.headers, "accept-language": "de"})


@pytest.mark.soak
async def test_a_passkey_beside_the_password_and_its_removal(
    up: Running, chromium: Chromium
) -> None:
    async with tab(chromium) as page:
        await give_authenticator(page)
        await page.goto(f"{up.base}/auth/sessions")
        await sign_in(page)
        await page.route("**/auth/passkeys", speak_german)
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_role("button", name="Remove")).to_have_count(1)
        await expect(page.locator("strong", has_text="Chrome auf Linux")).to_have_count(1)
        await page.unroute("**/auth/passkeys")
        # The same device has no second passkey.
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_role("alert")).to_contain_text("already")
        await page.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("button", name="Remove")).to_have_count(0)


@pytest.mark.soak
async def test_a_passkey_that_was_removed_opens_nothing(up: Running, chromium: Chromium) -> None:
    async with tab(chromium) as page:
        await give_authenticator(page)
        await page.goto(f"{up.base}/auth/sessions")
        await sign_in(page)
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_role("button", name="Remove")).to_have_count(1)
        await page.get_by_role("button", name="Sign out").click()
        with up.db.transaction() as connection:
            connection.execute("UPDATE passkeys SET credential = x'00'")
        await page.goto(f"{up.base}/auth/sign-in")
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await expect(page.get_by_role("alert")).to_contain_text("not known")
        await page.goto(f"{up.base}/tokens")
        await expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


async def test_a_full_sign_in_to_an_app_on_another_origin(up: Running, chromium: Chromium) -> None:
    """The pages' security policy allows the redirect to the app, and the app's code can be
    redeemed.
    """
    async with (
        client_site({"/back": "Back at the app"}) as app,
        tab(chromium) as page,
        browser(up.base) as program,
    ):
        await page.goto(up.base + asking(app, state="a&b #é"))
        await sign_in(page)
        await expect(page.get_by_role("heading")).to_contain_text("Quillpen")
        await page.get_by_label("Change posts").uncheck()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()
        assert await page.evaluate("new URLSearchParams(location.search).get('state')") == "a&b #é"
        assert await page.evaluate("document.referrer") == ""
        code = await page.evaluate("new URLSearchParams(location.search).get('code')")
        given = json.loads((await exchange(program, app, code)).text)
        assert given["scope"] == "create profile"
        assert await verified(program, given["access_token"])

        # The app is listed on the owner's page now, and can be disconnected there.
        await page.goto(f"{up.base}/tokens")
        await page.get_by_role("button", name="Disconnect Quillpen").click()
        assert not await verified(program, given["access_token"])


async def verified(program: Browser, token: str) -> bool:
    reply = await program.get("/token", headers={"Authorization": f"Bearer {token}"})
    return reply.status == 200


@pytest.mark.soak
async def test_a_sign_in_to_an_app_on_this_device(up: Running, chromium: Chromium) -> None:
    """A custom scheme: the browser passes the URL to the app that has registered it."""
    home = '<head><link rel="redirect_uri" href="com.example.quillpen://signed-in"></head>'
    async with client_site({"/": home}) as app, tab(chromium) as page:
        await page.goto(up.base + asking(app, redirect_uri="com.example.quillpen://signed-in"))
        await sign_in(page)
        async with page.expect_response("**/auth/consent") as waiting:
            await page.get_by_role("button", name="Allow").click()
        answer = await waiting.value
        location = await answer.header_value("location")
        assert location is not None
        assert location.startswith("com.example.quillpen://signed-in?code=")


@pytest.mark.soak
async def test_denial_redirects_to_the_app(up: Running, chromium: Chromium) -> None:
    async with client_site({"/back": "Back at the app"}) as app, tab(chromium) as page:
        await page.goto(up.base + asking(app))
        await sign_in(page)
        await page.get_by_role("button", name="Deny").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()
        assert "error=access_denied" in page.url


@pytest.mark.soak
async def test_making_and_revoking_a_token(up: Running, chromium: Chromium) -> None:
    async with tab(chromium) as page, browser(up.base) as program:
        await page.goto(f"{up.base}/tokens")
        await sign_in(page)
        await page.get_by_label("What is it for?").fill("iA Writer")
        await page.get_by_label("Delete posts").uncheck()
        await page.get_by_label("How long is it valid?").select_option("A year")
        await page.get_by_role("button", name="Create a token").click()
        secret = await page.locator("#secret").inner_text()
        assert await verified(program, secret)
        assert "delete" not in list_tokens(up.db)[0].scopes
        await page.reload()
        await expect(page.locator("#secret")).to_have_count(0)
        await page.get_by_role("button", name="Revoke iA Writer").click()
        assert not await verified(program, secret)


@pytest.mark.soak
async def test_everything_but_passkeys_works_without_script(
    up: Running, chromium: Chromium
) -> None:
    async with (
        client_site({"/back": "Back at the app"}) as app,
        tab(chromium, java_script_enabled=False) as page,
    ):
        await page.goto(up.base + asking(app))
        await expect(page.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
        await sign_in(page)
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()


async def test_the_keyboard_alone_is_enough(up: Running, chromium: Chromium) -> None:
    async with client_site({"/back": "Back at the app"}) as app, tab(chromium) as page:
        await page.goto(up.base + asking(app))
        await expect(page.get_by_label("Password")).to_be_focused()
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading")).to_contain_text("Quillpen")
        await expect(page.get_by_role("button", name="Allow")).to_be_visible()
        seen = []
        for _ in range(20):
            await page.keyboard.press("Tab")
            name = await page.evaluate("document.activeElement.value || ''")
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            seen.append(name)
            if name == "allow":
                break
        assert {"create", "update", "profile", "allow"} <= set(seen)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Back at the app")).to_be_visible()


# --- unintended clicks -------------------------------------------------------------------------


async def nothing_was_sent(page: Page, question: str, up: Running) -> None:
    """Wait long enough for a click's request to have arrived, and check that there was none."""
    await page.wait_for_timeout(500)
    assert page.url == question
    assert codes(up) == 0


def codes(up: Running) -> int:
    return len(up.db.all("SELECT * FROM codes"))


@asynccontextmanager
async def first_moment(page: Page) -> AsyncIterator[None]:
    """Make the time for which buttons are disabled last this long, however slow the machine is."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Animation.enable")
    await devtools.send("Animation.setPlaybackRate", {"playbackRate": 0})
    yield
    await devtools.send("Animation.setPlaybackRate", {"playbackRate": 1})


@asynccontextmanager
async def at_the_question(
    up: Running, chromium: Chromium, *, script: bool = True
) -> AsyncIterator[tuple[Page, str, tuple[float, float]]]:
    """A signed-in owner's page, the consent screen's URL, and where its button will be."""
    async with (
        client_site({"/back": "Back at the app"}) as app,
        tab(chromium, java_script_enabled=script, viewport={"width": 900, "height": 1200}) as page,
    ):
        await page.goto(up.base + "/auth/sessions")
        await sign_in(page)
        question = up.base + asking(app)
        await page.goto(question)
        box = await page.get_by_role("button", name="Allow").bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        yield page, question, middle


#: Whether the buttons of a page take clicks.
CLICKS = """() => [...document.querySelectorAll('main button')]
  .map((each) => getComputedStyle(each).pointerEvents)"""


@pytest.mark.parametrize("script", [in_soak(True), False])
async def test_a_button_that_has_just_appeared_takes_no_click_and_no_key(
    up: Running, chromium: Chromium, script: bool
) -> None:
    """As with the second click of a double click whose first one led here."""
    async with at_the_question(up, chromium, script=script) as (page, question, (x, y)):
        async with first_moment(page):
            for path in ("/tokens", "/auth/sessions"):
                await page.goto(up.base + path)
                assert set(await page.evaluate(CLICKS)) == {"none"}, path
            await page.goto(question)
            # The browser cannot focus the disabled button, so Enter has no effect.
            await page.evaluate("document.querySelector('[value=allow]').focus()")
            assert await page.evaluate("document.activeElement === document.body")
            await page.keyboard.press("Enter")
            await page.keyboard.press("Space")
            await page.mouse.dblclick(x, y)
            await page.mouse.click(x, y)
            await nothing_was_sent(page, question, up)
        # Enter in a tick box allows nothing, either.
        await page.get_by_label("Change posts").focus()
        await page.keyboard.press("Enter")
        await nothing_was_sent(page, question, up)
        # Later it is an ordinary button.
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()
        assert codes(up) == 1


async def test_a_window_that_comes_to_the_front_wins_no_click(
    up: Running, chromium: Chromium
) -> None:
    """As when a popup closes under the pointer, whose opener was led to the consent screen
    behind it.
    """
    async with at_the_question(up, chromium) as (page, question, (x, y)):
        await expect(page.get_by_role("button", name="Allow")).to_be_visible()
        async with first_moment(page):
            # Headless Chromium sends no focus events by itself.
            await page.evaluate("dispatchEvent(new Event('focus'))")
            await page.mouse.click(x, y)
            await nothing_was_sent(page, question, up)
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()


def sign_in_is_old(up: Running) -> None:
    with up.db.transaction() as connection:
        connection.execute("UPDATE sessions SET created = created - 301, proven = NULL")


async def test_a_page_elsewhere_gets_strong_scopes_only_with_the_password(
    up: Running, chromium: Chromium
) -> None:
    """A real browser states by itself that the request comes from another site."""
    async with client_site({"/back": "Back at the app"}) as app, tab(chromium) as page:
        await page.goto(up.base + "/auth/sessions")
        await sign_in(page)
        sign_in_is_old(up)
        link = f'<a href="{escape(up.base + asking(app))}">Sign in</a>'
        async with client_site({"/": link}) as elsewhere:
            await page.goto(elsewhere)
            await page.get_by_role("link").click()
            await page.get_by_role("button", name="Allow").click()
            await expect(page.get_by_role("heading")).to_have_text("Confirm that it is you")
            assert codes(up) == 0
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Go on").click()
            await expect(page.get_by_text("Back at the app")).to_be_visible()
        assert codes(up) == 1


async def test_a_passkey_proves_it_too(up: Running, chromium: Chromium) -> None:
    async with client_site({"/back": "Back at the app"}) as app, tab(chromium) as page:
        await give_authenticator(page)
        await page.goto(f"{up.base}/auth/sessions")
        await sign_in(page)
        await page.get_by_role("button", name="Add a passkey").click()
        await expect(page.get_by_role("button", name="Remove")).to_have_count(1)
        sign_in_is_old(up)
        await page.reload()
        await page.get_by_role("link", name="Add a passkey").click()
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page.get_by_role("button", name="Add a passkey")).to_be_visible()
        if not SOAK:
            return

        sign_in_is_old(up)
        await page.goto(app)
        await page.evaluate("url => location.assign(url)", up.base + asking(app))
        await page.get_by_role("button", name="Allow").click()
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page.get_by_text("Back at the app")).to_be_visible()


@pytest.mark.parametrize("scheme", [in_soak("light"), "dark"])
async def test_pages_fit_a_small_phone_and_name_every_field(
    up: Running, chromium: Chromium, scheme: str
) -> None:
    async with (
        client_site({"/" + "long" * 40: ""}) as app,
        tab(chromium, viewport={"width": 320, "height": 640}, color_scheme=scheme) as page,
    ):
        long_id = f"{app}/{'long' * 40}"
        await page.goto(f"{up.base}/auth/sign-in")
        await looks_right(page)
        await page.goto(up.base + owner_reset(up.db))
        await looks_right(page)
        await page.goto(f"{up.base}/tokens")
        await looks_right(page)
        await sign_in(page)
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
        sign_in_is_old(up)
        for path in (
            "/tokens",
            "/auth/sessions",
            "/auth/confirm",
            asking(app),
            asking(app, client_id=long_id, redirect_uri="https://evil.example/"),
            asking(app, client_id=long_id),
        ):
            await page.goto(up.base + path)
            await looks_right(page)


async def looks_right(page: Page) -> None:
    """No horizontal overflow, a name for every control, one main heading, a language."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320, page.url
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.get_by_role("heading", level=1).count() == 1
    unnamed = await page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]), select, button')]
          .filter((e) => !e.getAttribute('aria-hidden'))
          .filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.innerText.trim()))
          .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert await too_faint(page) == []


async def too_faint(page: Page) -> list[str]:
    """Texts below the contrast of WCAG 1.4.3 (4.5 to 1)."""
    found: list[str] = await page.evaluate(
        """() => {
          const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (e) => {
            for (; e; e = e.parentElement) {
              const c = parse(getComputedStyle(e).backgroundColor);
              if (c.length === 3 || c[3] === 1) return c;
            }
            return [255, 255, 255];
          };
          const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          const faint = [];
          while (texts.nextNode()) {
            const e = texts.currentNode.parentElement;
            if (!texts.currentNode.data.trim() || !e.getClientRects().length) continue;
            const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${e.innerText}`);
          }
          return faint;
        }"""
    )
    return found


@pytest.mark.soak
async def test_the_pages_cannot_be_framed(up: Running, chromium: Chromium) -> None:
    context = await window(chromium)
    page = await context.new_page()

    async def evil(_: web.Request) -> web.Response:
        return web.Response(
            text=f'<iframe src="{up.base}/auth/sign-in"></iframe>', content_type="text/html"
        )

    app = web.Application()
    app.router.add_get("/", evil)
    async with listening(app) as base:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(base)
        await page.wait_for_load_state("networkidle")
        assert any(re.search("frame-ancestors|X-Frame-Options", text) for text in complaints)
        assert await page.frames[-1].locator("#password").count() == 0
    await context.close()


async def test_a_script_of_the_same_origin_gets_no_hold_of_the_pages(
    up: Running, chromium: Chromium
) -> None:
    """On a shared host name the site's own scripts could otherwise open the pages and read them."""
    async with tab(chromium) as page:
        await page.goto(f"{up.base}/tokens")
        await sign_in(page)
        await expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
        await page.goto(f"{up.base}/.well-known/oauth-authorization-server")
        async with page.context.expect_page() as opened:
            await page.evaluate("window.hold = window.open('/tokens')")
        await expect((await opened.value).get_by_text("Connected apps")).to_be_visible()
        assert await page.evaluate("window.hold.closed")
