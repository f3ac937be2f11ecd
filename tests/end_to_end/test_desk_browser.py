"""The desk in Chromium: without JavaScript, on a phone, with a dark colour scheme, for screen
readers.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from bridge_kit import picture
from browser_kit import is_fit, launched, tab, window
from demo_kit import Demo, demo_in
from playwright.async_api import Browser, expect
from soak_kit import SOAK, rounds

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PHONE = {"width": 390, "height": 800}
PAGES = (
    *("/desk/", "/desk/new?kind=photo", "/desk/mentions", "/desk/files", "/status", "/tokens"),
    *("/auth/sessions", "/micropub", "/webmention", "/desk/syndication", "/auth?client_id=x"),
)
#: Only `make soak` checks these: the others have the same parts, or other tests check them with
#: something in them.
ALSO = (
    *("/desk/?search=nothing-is-like-that", "/desk/?show=drafts", "/desk/?show=bin", "/desk/new"),
    *(
        f"/desk/new?kind={kind}"
        for kind in ("review", "event", "checkin", "rsvp", "reply&url=javascript:x")
    ),
)
#: Looks of a page. What does not depend on them is the same in all. All pages have one style sheet:
#: outside of `make soak` each is looked at in one, and those with the most parts in all.
SMALL: dict[str, Any] = {
    "viewport": {"width": 320, "height": 700},
    "color_scheme": "dark",
    "forced_colors": "none",
}
LOOKS: list[dict[str, Any]] = [
    *([{"viewport": PHONE, "color_scheme": "light"}] if SOAK else []),
    {
        "viewport": {"width": 1200, "height": 800},
        "color_scheme": "light",
        "forced_colors": "active",
    },
    SMALL,
]
#: Pages of the sample site; `make soak` checks all, in each look.
SITE = ("/", "/articles/", "/archives/", "/tags/", "/about/", "/notes/", "/photos/")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    targets = [
        {"uid": "https://social.example/@me", "name": "Mastodon", "type": "mastodon"},
        {"uid": "https://bsky.app/profile/me.example", "name": "Bluesky", "type": "bluesky"},
    ]
    with demo_in(
        tmp_path_factory.mktemp("browser") / "demo",
        BRIDGE_WEBMENTION__SEND="false",
        BRIDGE_PUBLISH__REMOTE="",
        BRIDGE_SYNDICATION__TARGETS=json.dumps(targets),
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def signed_in(chromium: Browser, there: Demo) -> list[dict[str, object]]:
    """The cookies of an owner signed in with the link that the demo prints."""
    context = await window(chromium)
    page = await context.new_page()
    await page.goto(there.desk)
    await page.get_by_label("Password").fill(there.password)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Posts")).to_be_visible()
    cookies = [dict(each) for each in await context.cookies()]
    await context.close()
    return cookies


async def test_a_note_is_posted_and_edited_without_javascript(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in, java_script_enabled=False) as page:
        await page.goto(there.desk)
        await page.get_by_role("link", name="Write", exact=True).click()
        await page.get_by_label("Text").fill("The first note\nof two lines")
        await page.get_by_label("Tags").fill("first, note")
        await page.get_by_role("button", name="Publish").click()
        await page.goto(there.desk)
        row = page.get_by_role("listitem").filter(has_text="The first note of two lines")
        await expect(row).to_contain_text("first · note")
        await row.get_by_role("link", name=re.compile("^Edit")).click()
        await expect(page.get_by_label("Text")).to_have_value("The first note\nof two lines")
        await page.get_by_label("Text").fill("The first note, changed")
        await page.get_by_role("button", name="Update").click()
        await expect(page.get_by_role("status")).to_contain_text("Saved.")
        await page.get_by_role("button", name="Delete this post").click()
        await page.get_by_role("button", name="Undo").click()
        await expect(page.get_by_role("status")).to_contain_text("The post is restored.")
        back = page.get_by_role("link", name="The first note, changed", exact=True)
        await expect(back).to_be_visible()


async def test_going_back_after_publishing_shows_an_empty_form_and_an_error_keeps_the_text(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in, viewport=PHONE) as page:
        await page.goto(f"{there.desk}new?kind=article")
        await page.get_by_label("Text").fill("Words of an article without a title")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_role("alert")).to_contain_text("Give it a title.")
        await page.go_back()
        await expect(page.get_by_label("Text")).to_have_value("Words of an article without a title")

        await page.goto(f"{there.desk}new?kind=article")
        await page.get_by_label("Title").fill("Word" * 100)
        await page.get_by_label("Text").fill("Published once")
        await page.get_by_role("button", name="Publish").click()
        await page.wait_for_url(re.compile("^(?!.*/desk/new)"))
        await page.go_back()
        await expect(page.get_by_role("status")).to_contain_text("WordWord")
        await expect(page.get_by_label("Text")).to_have_value("")
        await is_fit(page)


@pytest.mark.soak
async def test_photos_are_added_described_and_ordered_without_javascript(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]], tmp_path: Path
) -> None:
    chosen = []
    for colour in ("navy", "tomato"):
        file = tmp_path / f"{colour}.jpg"
        file.write_bytes(picture(colour))
        chosen.append(file)
    async with tab(chromium, signed_in, java_script_enabled=False, viewport=PHONE) as page:
        await page.goto(f"{there.desk}new?kind=photo")
        await page.get_by_label("Text").fill("Two colours")
        await page.locator("input[type=file]").set_input_files(chosen)
        await page.get_by_role("button", name="Add these").click()
        await page.get_by_label("What does it show? (1)").fill("Blue")
        await page.get_by_label("What does it show? (2)").fill("Red")
        await page.get_by_role("button", name="Move up (2)").click()
        await expect(page.get_by_label("What does it show? (1)")).to_have_value("Red")
        await expect(page.get_by_label("Text")).to_have_value("Two colours")
        await page.get_by_role("button", name="Publish").click()
        await page.wait_for_load_state()
    shown = there.git("show", "HEAD")
    assert shown.index('"alt":"Red"') < shown.index('"alt":"Blue"')


async def test_enter_in_a_text_field_publishes_nothing(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    before = there.commits()
    async with tab(chromium, signed_in, java_script_enabled=False) as page:
        await page.goto(f"{there.desk}new?kind=article")
        await page.get_by_label("Text").fill("Not yet ready to go")
        await page.get_by_label("Title").fill("Too early")
        await page.get_by_label("Title").press("Enter")
        await expect(page.get_by_label("Text")).to_have_value("Not yet ready to go")
        await expect(page.get_by_label("Title")).to_have_value("Too early")
    assert there.commits() == before


@pytest.mark.soak
async def test_the_preview_opens_beside_the_form(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in, java_script_enabled=False) as page:
        await page.goto(f"{there.desk}new?kind=article")
        await page.get_by_label("Title").fill("As it will be")
        await page.get_by_label("Text").fill("Some *stress*")
        async with page.context.expect_page() as opened:
            await page.get_by_role("button", name="Preview").click()
        preview = await opened.value
        await expect(preview.get_by_role("heading", name="As it will be")).to_be_visible()
        await expect(preview.locator("em")).to_have_text("stress")
        await expect(page.get_by_label("Text")).to_have_value("Some *stress*")


async def test_every_page_fits_and_is_accessible(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]], tmp_path: Path
) -> None:
    # No colour transition is running while axe checks.
    async with tab(chromium, signed_in, reduced_motion="reduce") as page:
        for number, path in enumerate((*PAGES, *ALSO) if SOAK else PAGES):
            await page.goto(there.site.rstrip("/") + path)
            looks = LOOKS if SOAK else [LOOKS[number % len(LOOKS)]]
            # Forced colours are the system's.
            await is_fit(page, looks, axe=True, contrast=SOAK or looks == [SMALL])
        for path in SITE if SOAK else SITE[:1]:
            await page.goto(there.site.rstrip("/") + path)
            await is_fit(page, LOOKS if SOAK else [SMALL], contrast=True)
        red = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert int(re.findall(r"\d+", red)[0]) < 60, "it follows the colour scheme"
        # A form with mistakes, photos, long words; then the post's own page, and a conflict.
        await page.goto(f"{there.desk}new?kind=event")
        await page.get_by_label("Title").fill(LONG)
        await page.get_by_label("Text").fill(f"{LONG} {LONG}")
        chosen = [tmp_path / f"{number}.jpg" for number in range(rounds(2, 10))]
        for number, file in enumerate(chosen):
            file.write_bytes(picture(f"#{number}0a0{number}0"))
        await page.locator("input[type=file]").set_input_files(chosen)
        await expect(page.locator(".attached li")).to_have_count(len(chosen))
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_role("alert")).to_contain_text("Say when it begins.")
        await expect(page.locator(".attached li")).to_have_count(len(chosen))
        await is_fit(page, LOOKS if SOAK else [SMALL], contrast=True)
        await page.get_by_label("Begins").fill("2026-12-02T19:00")
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Draft saved.")
        await is_fit(page, LOOKS if SOAK else [SMALL])
        stale = await page.context.new_page()
        await stale.goto(page.url)
        await page.get_by_label("Text").fill("Other words")
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await stale.get_by_label("Text").fill("Mine")
        await stale.get_by_role("button", name="Save draft", exact=True).click()
        await expect(stale.get_by_role("heading", name="Both texts")).to_be_visible()
        await is_fit(stale, LOOKS if SOAK else [SMALL], contrast=True)
        await stale.get_by_role("link", name="Take the other").click()
        await expect(stale.get_by_label("Text")).to_have_value("Other words")
        await stale.get_by_role("link", name="History").click()
        await stale.get_by_role("link", name="View").first.click()
        await expect(stale.get_by_role("heading", name="The file then")).to_be_visible()
        await is_fit(stale, LOOKS if SOAK else [SMALL], axe=True)
        await stale.get_by_role("link", name="Use it in the form").click()
        await expect(stale.get_by_label("Text")).to_have_value("Other words")
        await is_fit(stale, LOOKS if SOAK else [SMALL])
        await stale.goto(f"{there.desk}?show=drafts")
        await is_fit(stale, LOOKS if SOAK else [SMALL])
        await stale.get_by_role("link", name="Edit").first.click()
        await stale.get_by_role("link", name="See how it will look").click()
        await expect(stale.get_by_role("button", name="Publish")).to_be_visible()
        await is_fit(stale, LOOKS if SOAK else [SMALL], axe=True)
        await stale.go_back()
        await stale.get_by_role("button", name="Delete this post").click()


#: What is cut off, overflows, or is too small to be pressed (WCAG 1.4.4, 1.4.10, 2.5.8).
LOST = """(large) => {
  const found = [];
  if (large) document.documentElement.style.fontSize = '212.5%';
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`${wide} px too wide`);
  for (const each of document.querySelectorAll('button, select, textarea, input, summary, nav a')) {
    const { width, height } = each.getBoundingClientRect();
    if (!each.checkVisibility() || each.closest('.visually-hidden, .skip') || !width) continue;
    if (['checkbox', 'radio'].includes(each.type) && each.closest('label')) continue;
    const least = each.closest('.bar') ? 44 : 24;
    const start = each.outerHTML.slice(0, 80);
    if (height < least || width < 24) found.push(`${start}: ${width} x ${height}`);
    const cut = each.clientWidth && each.scrollWidth > each.clientWidth + 1;
    if (cut && each.matches('button, summary, nav a')) found.push(`cut off: ${start}`);
  }
  return found;
}"""


@pytest.mark.soak
async def test_text_can_be_enlarged_and_buttons_are_large_enough(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    pages = (
        *("/desk/", "/desk/new?kind=event", "/desk/new?kind=photo", "/desk/files"),
        *("/tokens", "/auth/sessions", "/status"),
    )
    for width, large, some in ((320, False, 0), (640, True, 1)):
        view = {"width": width, "height": 700}
        async with tab(chromium, signed_in, viewport=view, locale="de-DE") as page:
            for path in pages if SOAK else pages[some:4:2]:
                await page.goto(there.site.rstrip("/") + path)
                await page.evaluate(
                    "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
                )
                assert await page.evaluate(LOST, large) == [], (path, width)


@pytest.mark.soak
async def test_the_desk_cannot_be_framed_by_another_site(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    context = await window(chromium)
    await context.add_cookies(signed_in)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.set_content(f'<iframe src="{there.desk}new"></iframe>')
    await page.wait_for_load_state("networkidle")
    assert await page.frames[-1].locator("textarea").count() == 0
    await context.close()


async def test_with_javascript_photos_are_uploaded_moved_and_published_by_a_key(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]], tmp_path: Path
) -> None:
    chosen = []
    for colour in ("gold", "indigo"):
        file = tmp_path / f"{colour}.jpg"
        file.write_bytes(picture(colour))
        chosen.append(file)
    wrong = tmp_path / "wrong.jpg"
    wrong.write_bytes(b"no picture at all")
    async with tab(chromium, signed_in) as page:
        await page.goto(f"{there.desk}new")
        await page.get_by_label("Text").fill("Sent by keys")
        await page.locator("input[type=file]").set_input_files(chosen)
        await expect(page.locator(".attached li")).to_have_count(2)
        await expect(page.locator("[data-said]")).to_contain_text("2/2")
        await page.get_by_label("What does it show? (1)").fill("Gold")
        await page.get_by_label("What does it show? (2)").fill("Indigo")
        await page.get_by_role("button", name="Move up (2)").click()
        await expect(page.get_by_label("What does it show? (1)")).to_have_value("Indigo")
        await page.locator("input[type=file]").set_input_files(wrong)
        await expect(page.locator("[data-said]")).to_contain_text("wrong.jpg: ")
        # Dropped as from a file manager, then removed.
        await page.evaluate(
            """async () => {
              const data = new DataTransfer();
              const answer = await fetch(document.querySelector('.attached img').src);
              data.items.add(new File([await answer.blob()], 'x.jpg', { type: 'image/jpeg' }));
              document.querySelector('#compose').dispatchEvent(
                new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
            }"""
        )
        await expect(page.locator(".attached li")).to_have_count(3)
        await page.get_by_role("button", name="Remove (3)").click()
        await page.get_by_role("button", name="lake", exact=True).click()
        await expect(page.get_by_label("Tags", exact=True)).to_have_value("lake")
        await is_fit(page, axe=True)
        await page.get_by_label("Text").press("Control+Enter")
        await page.wait_for_url(re.compile("^(?!.*/desk/new)"))
    shown = there.git("show", "HEAD")
    assert "Sent by keys" in shown
    assert "Tags: lake" in shown
    assert shown.index('"alt":"Indigo"') < shown.index('"alt":"Gold"')


@pytest.mark.soak
async def test_characters_are_counted_near_the_limit_of_a_copy(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in) as page:
        await page.goto(f"{there.desk}new?kind=article")
        text, told = page.get_by_label("Text", exact=True), page.locator("[data-room]")
        # Two code points are one character, and a link counts as 23.
        await text.fill("👍🏽" * 470 + f" https://example.org/{'x' * 200}")
        await expect(told).to_be_hidden()
        await page.locator(".more > summary").click()
        await page.get_by_label("Mastodon").check()
        await expect(told).to_have_text("Mastodon: 494 of 500 characters")
        await text.press("End")
        await text.press_sequentially(" seven words")
        await expect(told).to_contain_text("506 of 500 characters. The copy there ends early")
        await is_fit(page)
        await page.get_by_label("Title").fill("With a title, that is what is copied")
        await expect(told).to_be_hidden()


@pytest.mark.soak
async def test_an_earlier_place_fills_in_its_coordinates_and_the_url_is_shown(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    card = {"type": ["h-card"], "properties": {"name": ["Pier 3"], "latitude": ["54.5"],
                                               "longitude": ["-9.25"]}}  # fmt: skip
    asked = {"type": ["h-entry"], "properties": {"content": ["There"], "location": [card]}}
    async with (
        aiohttp.ClientSession(headers=there.headers) as http,
        http.post(there.micropub, json=asked) as answer,
    ):
        assert answer.status in {201, 202}
    async with tab(chromium, signed_in, viewport=PHONE) as page:
        await page.goto(f"{there.desk}new?kind=checkin")
        where = page.locator("[data-place=checkin]")
        await where.get_by_label("Name").focus()
        await expect(where.locator("datalist option[value='Pier 3']")).to_have_count(1)
        await where.get_by_label("Name").fill("Pier 3")
        await expect(where.get_by_label("Latitude")).to_have_value("54.5")
        await expect(where.get_by_label("Longitude")).to_have_value("-9.25")
        map_of = where.get_by_role("link", name="See it on a map")
        assert "mlat=54.5&mlon=-9.25" in str(await map_of.get_attribute("href"))
        await page.locator(".more > summary").click()
        await page.get_by_label("Last part of its address").fill("at-the-pier")
        await page.get_by_label("Category").focus()
        await expect(page.locator("[data-address]")).to_contain_text("at-the-pier")
        await is_fit(page)


@pytest.mark.soak
async def test_the_toolbar_writes_markdown_and_can_be_undone(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in) as page:
        await page.goto(f"{there.desk}new")
        text = page.get_by_label("Text", exact=True)
        await text.fill("grey lake")
        await text.press("Control+a")
        await text.press("Control+b")
        await expect(text).to_have_value("**grey lake**")
        await text.press("Control+b")
        await expect(text).to_have_value("grey lake")
        await page.get_by_role("button", name="Italic").click()
        await expect(text).to_have_value("_grey lake_")
        await text.press("Control+z")
        await expect(text).to_have_value("grey lake")
        await text.press("Control+k")
        await expect(text).to_have_value("[grey lake](url)")
        # One tab stop; arrow keys move between buttons.
        await text.fill("one")
        await page.locator("markdown-toolbar").focus()
        await page.keyboard.press("End")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("Enter")
        await expect(text).to_have_value("1. one")
        await page.goto(f"{there.desk}new")
        await expect(text).to_have_value("")
        # Backwards, too.
        await text.focus()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Bold")).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("button", name="Italic")).to_be_focused()
    async with tab(chromium, signed_in, java_script_enabled=False) as page:
        await page.goto(f"{there.desk}new")
        await expect(page.locator("markdown-toolbar")).to_be_hidden()


@pytest.mark.soak
async def test_tags_are_suggested_while_typing(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    asked = {"h": "entry", "content": "Of a town", "category[]": ["Paris, France", "Länder", LONG]}
    async with (
        aiohttp.ClientSession(headers=there.headers) as http,
        http.post(there.micropub, data=urlencode(asked, doseq=True), headers=FORM) as answer,
    ):
        assert answer.status in {201, 202}
    async with tab(chromium, signed_in) as page:
        await page.goto(f"{there.desk}new")
        tags = page.get_by_role("combobox", name="Tags", exact=True)
        shown = page.locator("#tag-list [role=option]")
        await tags.press_sequentially("new one, LÄN")
        await expect(shown).to_have_text(["Länder"])
        await is_fit(page, axe=True)
        sizes = [{"viewport": SMALL["viewport"]}, {"viewport": page.viewport_size}]
        await is_fit(page, sizes, axe=False, contrast=False)
        await tags.press("ArrowDown")
        await expect(tags).to_have_attribute("aria-activedescendant", "tag-0")
        await tags.press("Enter")
        await expect(tags).to_have_value("new one, Länder, ")
        await expect(page.get_by_role("listbox")).to_be_hidden()
        # Tags already added are not suggested; Escape closes the list and keeps the input.
        await tags.press_sequentially("län")
        await expect(shown).to_have_count(0)
        await tags.fill("")
        await tags.press_sequentially("fran")
        await expect(shown).to_have_text(["Paris, France"])
        await tags.press("Escape")
        await expect(page.get_by_role("listbox")).to_be_hidden()
        await expect(tags).to_have_value("fran")
        # With a comma in a tag the separators become semicolons.
        await tags.fill("")
        await tags.press_sequentially("sun, paris")
        await shown.first.click()
        await expect(tags).to_have_value("sun; Paris, France; ")
        await page.get_by_role("button", name="Länder", exact=True).click()
        await expect(tags).to_have_value("sun; Paris, France; Länder")
        # Suggestions for text of an input method appear when it is committed.
        await tags.fill("")
        await tags.focus()
        devtools = await page.context.new_cdp_session(page)
        await devtools.send(
            "Input.imeSetComposition", {"text": "lä", "selectionStart": 2, "selectionEnd": 2}
        )
        await expect(tags).to_have_value("lä")
        await expect(shown).to_have_count(0)
        await devtools.send("Input.insertText", {"text": "län"})
        await expect(shown).to_have_text(["Länder"])
        await tags.press("Tab")
        await expect(tags).to_have_value("län")
        await expect(page.get_by_role("listbox")).to_be_hidden()


async def test_with_javascript_the_preview_opens_below_the_form(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in) as page:
        await page.goto(f"{there.desk}new")
        text = page.get_by_label("Text", exact=True)
        await text.fill("Some *stress*")
        await text.press("Control+Shift+P")
        shown = page.frame_locator("iframe[name=preview]")
        await expect(shown.locator("em")).to_have_text("stress")
        await expect(text).to_have_value("Some *stress*")
        await is_fit(page)


@pytest.mark.soak
async def test_with_javascript_the_page_replied_to_is_shown_when_its_url_is_entered(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in, viewport=PHONE) as page:
        # Filled in by a link, as the bookmarklet does.
        await page.goto(f"{there.desk}new?kind=reply&url={there.site}a-page-that-is-not-there/")
        card = page.locator(".context")
        named = card.locator("strong")
        await expect(named).to_have_text(urlsplit(there.site).netloc)
        await is_fit(page)
        await page.get_by_label("In reply to").fill("no address")
        await page.get_by_label("Text", exact=True).focus()
        await expect(card).to_be_hidden()
        await page.get_by_label("In reply to").fill(f"{there.site}about/")
        await page.get_by_label("Text", exact=True).fill("An answer")
        await expect(card).to_be_visible()


@pytest.mark.soak
async def test_a_link_can_be_copied_and_two_shortcuts_can_be_turned_off(
    chromium: Browser, there: Demo, signed_in: list[dict[str, object]]
) -> None:
    async with tab(chromium, signed_in, permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.goto(there.desk)
        row = page.get_by_role("listitem").filter(has_text="A book that opens flat")
        await row.locator("summary").click()
        await row.get_by_role("button", name="Copy link").click()
        await expect(row.get_by_role("button", name="Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == await row.get_by_role("link", name="View").get_attribute("href")
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search")).to_be_focused()
        # Keys in a field are text.
        await page.keyboard.press("n")
        await expect(page.get_by_label("Search")).to_have_value("n")
        keys = page.get_by_label("Shortcuts on this page")
        await keys.uncheck()
        await page.reload()
        await expect(keys).not_to_be_checked()
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search")).not_to_be_focused()
        await keys.check()
        await keys.blur()
        await page.keyboard.press("n")
        await page.wait_for_url("**/desk/new")
        # For a future date the button has the date.
        await page.get_by_label("Text", exact=True).fill("Of the year after next")
        await page.locator(".more > summary").click()
        await page.get_by_label("Date").fill("2099-01-02T03:04")
        await expect(page.get_by_role("button", name="Schedule")).to_be_visible()
        await page.get_by_label("Date").fill("")
        await expect(page.get_by_role("button", name="Publish")).to_be_visible()
        await page.get_by_label("Text", exact=True).fill("A draft of mine")
        await page.get_by_role("button", name="Save draft", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Draft saved.")
        await expect(page.locator("main")).to_contain_text("last changed")
        await expect(page.locator("main")).to_contain_text("on the desk")
