"""What a browser displays of a marked-up post: all text for people, and no data for machines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser_kit import launched
from playwright.async_api import Browser
from plugin_site import SITE, THEMES, build, note, post
from soak_kit import in_soak

BODY = "Some words."
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
#: The texts that are wider than the screen.
TOO_WIDE = """() => {
    const range = document.createRange(), found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        range.selectNodeContents(texts.currentNode);
        if (range.getBoundingClientRect().right > innerWidth) found.push(range.toString());
    }
    return found;
}"""
POSTS = {
    "audio": post("audio", note({"audio": [f"{SITE}/a.mp3"]}), BODY),
    "video": post("video", note({"video": [f"{SITE}/a.mp4"]}), BODY),
    "photo": post("photo", note({"photo": [{"value": f"{SITE}/a.jpg", "alt": "The sea"}]}), BODY),
    "like": post("like", note({"like-of": ["https://example.org/post"]}), tags="river;"),
    "word": post("word", {"properties": {}}, BODY, title=LONG, tags=f"{LONG};"),
}


pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest.mark.parametrize("theme", [name if name == "reflex" else in_soak(name) for name in THEMES])
async def test_a_browser_shows_only_text_for_people(
    tmp_path: Path, chromium: Browser, theme: str
) -> None:
    built = build(tmp_path, POSTS, **THEMES[theme])
    async with await chromium.new_context(viewport={"width": 400, "height": 800}) as context:
        page = await context.new_page()
        await page.route("**/*", lambda route: route.abort())
        for slug, shown in {
            "audio": "audio.u-audio",
            "video": "video.u-video",
            "photo": "img.u-photo[alt='The sea']",
            "like": "a.u-like-of",
        }.items():
            await page.set_content(built.text(f"{slug}.html"), wait_until="domcontentloaded")
            element = page.locator(shown).first
            # A missing image has its final layout once the browser knows that it is missing.
            await page.wait_for_function(
                "element => element.getBoundingClientRect().height > 10",
                arg=await element.element_handle(),
            )
            box = await element.bounding_box()
            assert box is not None, slug
            assert box["height"] > 10, slug
            assert box["x"] + box["width"] <= 400, slug
            for data in await page.locator("data").all():
                assert (await data.bounding_box() or {"width": 0})["width"] == 0, slug
        # The sample site's theme has a style for long words, which is not loaded.
        pages = (
            () if theme == "sample" else ("word.html", "index.html", "archives.html", "tags.html")
        )
        for path in pages:
            await page.set_content(built.text(path), wait_until="domcontentloaded")
            assert path != "word.html" or LONG in await page.inner_text("body")
            assert await page.evaluate(TOO_WIDE) == [], path
