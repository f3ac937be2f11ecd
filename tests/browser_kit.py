"""The owner's browser: tabs that fail on console messages, and checks of accessibility."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)
from soak_kit import SOAK

#: Chromium's own pages in each window, which tests do not see: each tab would have two of them, in
#: a process that takes longer to start than the tab.
_UNSEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
#: A process for the next tab, started in advance.
_SPARE = "SpareRendererForSitePerProcess"
#: Playwright disables these features; there can be only one list, so this one includes
#: Playwright's.
_OFF = (
    *("AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose"),
    *("HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter"),
    *("NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch"),
    "ThirdPartyStoragePartitioning",
)
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--in-process-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    f"--disable-features={','.join((*_OFF, *_UNSEEN, _SPARE))}",
    # Pages of one site in a context share a process: to start one costs more than most pages.
    "--renderer-process-limit=1",
]
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

#: Milliseconds; large, since machines may be busy.
_PATIENCE = 180_000
_BETWEEN_LOOKS = 50
expect.set_options(timeout=_PATIENCE)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=_ARGUMENTS
        )
        yield browser
        await browser.close()


async def window(chromium: Browser, **options: object) -> BrowserContext:
    """A context, in which nothing fails only because the machine is busy. ``options`` are
    Playwright's.
    """
    context: BrowserContext = await chromium.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(_PATIENCE)
    return context


@asynccontextmanager
async def tab(
    chromium: Browser,
    cookies: list[dict[str, object]],
    *,
    expected: str = "status of 4",
    **options: object,
) -> AsyncIterator[Page]:
    """A tab of the owner's. Only ``expected`` messages may appear in its console: browsers
    log responses such as 400 or 409 for refused forms there. ``options`` are Playwright's for a
    context: ``page.route`` sees no request of a page that a service worker controls, so a test of
    such requests blocks it.
    """
    context = await window(chromium, **options)
    await context.add_cookies(cookies)  # type: ignore[arg-type]
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def complain(message: ConsoleMessage) -> None:
        complaints.append(f"{page.url}: {message.text} ({message.location['url']})")

    page.on("console", complain)
    yield page
    await context.close()
    allowed = (expected, "Service Worker registration blocked by Playwright")
    unexpected = [each for each in complaints if not any(words in each for words in allowed)]
    assert unexpected == [], unexpected


async def until(page: Page, script: str) -> None:
    """Wait until ``script`` is true in a page. It is polled from outside: Playwright's
    ``wait_for_function`` evaluates text in the page, which a policy without ``unsafe-eval``
    forbids after the first attempt.
    """
    for _ in range(_PATIENCE // _BETWEEN_LOOKS):
        if await page.evaluate(script):
            return
        await asyncio.sleep(_BETWEEN_LOOKS / 1000)
    raise AssertionError(f"{page.url}: {script}")


async def is_fit(
    page: Page,
    looks: Sequence[Mapping[str, Any]] = ({},),
    *,
    axe: bool = SOAK,
    contrast: bool = SOAK,
) -> None:
    """Check that a page has no horizontal overflow, in each of the given looks. A look is a
    ``viewport`` and arguments of Playwright's ``emulate_media``; the last one stays.

    With ``axe`` it has no findings of axe, either, which takes longer than to load the page: it is
    asked for where a page has parts that others do not have, and with ``contrast`` where it has
    colours of its own. `make soak` asks for both everywhere.
    """
    if axe := axe or contrast:
        await page.evaluate(AXE)
    for look in looks:
        media = dict(look)
        if viewport := media.pop("viewport", None):
            await page.set_viewport_size(viewport)
        if media:
            await page.emulate_media(**media)
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, (page.url, look)
        if not axe:
            continue
        # The other results of axe (such as passed checks) would take half of its time.
        found = await page.evaluate(
            """async (enabled) => {
              const rules = { 'color-contrast': { enabled } };
              const said = await axe.run(document, { resultTypes: ['violations'], rules });
              return said.violations.map((each) =>
                each.id + ': ' + each.nodes.map((node) => node.html).join(' | '));
            }""",
            contrast,
        )
        assert found == [], (page.url, look)
