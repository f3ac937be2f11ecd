"""The desk without JavaScript: forms as a browser sends them, with a real site and repo."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from bridge_kit import picture
from bs4 import BeautifulSoup
from demo_kit import PATIENCE, Demo, demo_in, start_demo, wait_until
from git_kit import git, push
from indieauth_kit import Browser, Page, browser, client_site
from soak_kit import in_soak

from bridge.desk.compose.fields import KINDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://example.org/a-page"
#: The input for each post type; all other fields stay empty.
TYPED: dict[str, dict[str, str]] = {
    "note": {"content": "A note from the desk"},
    "article": {"name": "An article from the desk", "content": "With *Markdown* in it."},
    "reply": {"in-reply-to": URL, "content": "A reply from the desk"},
    "like": {"like-of": URL},
    "repost": {"repost-of": URL},
    "bookmark": {"bookmark-of": URL, "name": "A bookmark from the desk"},
    "rsvp": {"in-reply-to": URL, "rsvp": "yes"},
    "photo": {"photo[]": f"{URL}.jpg", "content": "A photo from the desk"},
    "video": {"video[]": f"{URL}.mp4", "content": "A video from the desk"},
    "audio": {"audio[]": f"{URL}.mp3", "content": "Sound from the desk"},
    "checkin": {"checkin[name]": "Café", "checkin[latitude]": "48.85",
                "checkin[longitude]": "2.35"},
    "event": {"name": "An event from the desk", "start": "2026-12-02T19:00"},
    "review": {"item": "A chair", "rating": "4"},
    "read": {"read-of": "A book"},
    "watch": {"watch-of": "A film"},
    "listen": {"listen-of": "A record"},
    "play": {"play-of": "A game"},
    "jam": {"jam-of": URL},
    "eat": {"ate": "Bread"},
    "drink": {"drank": "Tea"},
    "recipe": {"name": "Bread", "ingredient": "Flour\r\nWater"},
}  # fmt: skip
#: The others have the fields of one of these.
SOME = {"note", "article", "photo", "rsvp", "checkin", "event", "review", "read", "recipe"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo for this file only, so that no other test writes to its log."""
    with demo_in(
        tmp_path_factory.mktemp("desk") / "demo",
        # Nor do its tests look at pages: the next post need not wait for those of the last.
        BRIDGE_REBUILD__WAIT_SECONDS="0",
        BRIDGE_WEBMENTION__SEND="false",
        BRIDGE_PUBLISH__REMOTE="",
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(there: Demo) -> AsyncIterator[Browser]:
    async with browser(there.site.rstrip("/")) as client:
        page = await client.sign_in("/auth/sign-in?then=/desk/", there.password)
        assert page.status == 200
        yield client


async def source(there: Demo, url: str) -> dict[str, Any]:
    """The post as ``q=source`` returns it."""
    parameters = {"q": "source", "url": url}
    async with (
        aiohttp.ClientSession() as http,
        http.get(there.micropub, params=parameters, headers=there.headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return dict((await answer.json())["properties"])


async def app(there: Demo, **asked: Any) -> None:
    """A request of an app in the meantime."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(there.micropub, json=asked, headers=there.headers) as answer,
    ):
        assert answer.status < 300, await answer.text()


async def write(owner: Browser, there: Demo, kind: str = "note", **typed: Any) -> str:
    """Create a post; returns its URL."""
    before = there.commits()
    page = await owner.get(f"/desk/new?kind={kind}")
    done = await owner.submit(page, "/desk/new", **typed)
    assert done.status == 303, said(done)
    assert there.commits() == before + 1
    return there.git("log", "-1", "--format=%(trailers:key=Post-URL,valueonly)").strip()


async def form_of(owner: Browser, url: str) -> Page:
    page = await owner.get(f"/desk/edit?url={quote(url, safe='')}")
    assert page.status == 200, said(page)
    return page


async def by_hand(
    owner: Browser, there: Demo, folder: Path, name: str, text: str, search: str
) -> str:
    """Commit a file of the content folder with git; returns the post's URL once it is listed."""
    git(folder, "clone", "--quiet", str(there.repo), "laptop")
    laptop = folder / "laptop"
    (laptop / "content" / name).write_text(text, encoding="utf-8")
    git(laptop, "add", "--all")
    git(laptop, "commit", "--quiet", "--message", "By hand")
    push(laptop)
    async with asyncio.timeout(PATIENCE):
        while True:
            listed = await owner.get(f"/desk/?search={quote(search)}")
            if found := re.findall(r'href="/desk/edit\?url=([^"]+)"', listed.text):
                return unescape(found[0])
            await asyncio.sleep(0.1)


def said(page: Page) -> str:
    """The text of a page, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def file_of(there: Demo, url: str) -> str:
    """The text of a post's file, as of the last commit that changed it."""
    commit = there.git("log", "-1", "--format=%H", f"--grep=Post-URL: {url}$")
    path = there.git("show", "--name-only", "--format=", commit).splitlines()[0]
    return there.git("show", f"HEAD:{path}")


@pytest.mark.parametrize("kind", [kind if kind in SOME else in_soak(kind) for kind in KINDS])
async def test_every_post_type_can_be_posted_without_javascript(
    owner: Browser, there: Demo, kind: str
) -> None:
    url = await write(owner, there, kind, **TYPED[kind])
    post = await source(there, url)
    page = await form_of(owner, url)
    for name, text in TYPED[kind].items():
        assert post[name.partition("[")[0]]
        assert text.splitlines()[0] in unescape(page.text)
    assert there.git("log", "-1", "--format=%(trailers:key=Micropub-Client,valueonly)") == (
        there.site
    )


async def test_the_first_post_is_live_at_the_url_that_the_form_redirects_to(
    owner: Browser, there: Demo
) -> None:
    page = await owner.get("/desk/new")
    done = await owner.submit(page, "/desk/new", content="First words, at once")
    assert done.status == 303
    if done.location == "/desk/":
        assert "Its page is being built." in (await owner.get("/desk/")).text
    else:
        assert "First words, at once" in (await owner.get(done.location)).text
        told = said(await owner.get("/desk/"))
        assert re.search(r"Live in [0-9]+[.][0-9] seconds: First words, at once", told)


async def test_the_url_of_a_post_is_shown_before_it_is_created(owner: Browser, there: Demo) -> None:
    before = there.commits()
    page = await owner.get("/desk/new?kind=article")
    typed = {"name": "Told before", "content": "Words"}
    csrf = ("csrf", dict(page.form("/desk/new"))["csrf"])

    async def told(**changes: str) -> str:
        fields = [csrf, ("kind", "article"), *(typed | changes).items()]
        return str(json.loads((await owner.post("/desk/address", fields)).text)["url"])

    url = await told()
    assert url.startswith(there.site)
    assert "told-before" in url
    looked = await owner.submit(page, "/desk/new", do="look", **typed)
    assert f"Its address: {url}" in said(looked)
    assert there.commits() == before
    assert await write(owner, there, "article", **typed) == url
    assert "told-before-2" in await told()
    assert "another-end" in await told(**{"mp-slug": "Another end"})
    # Input that makes no post has no URL yet.
    assert await told(start="tomorrow", kind="event") == ""
    assert (await owner.post("/desk/address", [("kind", "note"), ("content", "x")])).status == 403


async def test_tags_in_use_are_available_to_the_desks_scripts_only(
    owner: Browser, there: Demo
) -> None:
    await write(owner, there, content="With a tag", category="harbour")
    page = await owner.get("/desk/new")
    told = await owner.post("/desk/tags", {"csrf": dict(page.form("/desk/new"))["csrf"]})
    assert "harbour" in json.loads(told.text)["categories"]
    assert (await owner.post("/desk/tags", {})).status == 403


async def test_places_of_earlier_posts_are_suggested(owner: Browser, there: Demo) -> None:
    typed = {"checkin[name]": "Old harbour", "checkin[latitude]": "54.5"}
    await write(owner, there, "checkin", **typed, **{"checkin[longitude]": "9.5"})
    csrf = dict((await owner.get("/desk/new")).form("/desk/new"))["csrf"]
    near = {"csrf": csrf, "lat": "54.501", "lon": "9.5"}
    found = json.loads((await owner.post("/desk/places", near)).text)
    assert found["places"] == [{"name": "Old harbour", "latitude": 54.5, "longitude": 9.5}]
    everywhere = json.loads((await owner.post("/desk/places", {"csrf": csrf})).text)
    assert "Old harbour" in {each["name"] for each in everywhere["places"]}
    assert (await owner.post("/desk/places", {"lat": "1", "lon": "1"})).status == 403


async def test_a_post_in_another_language_says_so(owner: Browser, there: Demo) -> None:
    url = await write(owner, there, content="Guten Tag, Welt", lang="de")
    assert "\nLang: de\n" in file_of(there, url)
    page = await form_of(owner, url)
    assert dict(page.form("/desk/edit"))["lang"] == "de"
    done = await owner.submit(page, "/desk/edit", lang="")
    assert done.status == 303, said(done)
    assert "Lang:" not in file_of(there, url)


async def test_a_form_sent_twice_makes_one_post(owner: Browser, there: Demo) -> None:
    page = await owner.get("/desk/new")
    first = await owner.submit(page, "/desk/new", content="Tapped twice")
    before = there.commits()
    again = await owner.submit(page, "/desk/new", content="Tapped twice")
    assert (first.status, again.status) == (303, 303)
    assert there.commits() == before
    assert again.location.startswith(there.site)
    # After going back in the browser, other input is another post.
    other = await owner.submit(page, "/desk/new", content="Tapped twice, with other words")
    assert other.status == 303
    assert there.commits() == before + 1


async def test_an_error_is_shown_at_its_field_and_input_is_kept(
    owner: Browser, there: Demo
) -> None:
    before = there.commits()
    page = await owner.get("/desk/new?kind=reply")
    text = "Mist until noon <b>&amp;\r\n\r\n  then sun"
    refused = await owner.submit(
        page, "/desk/new", content=text, category="a, b", **{"in-reply-to": "javascript:alert(1)"}
    )
    assert refused.status == 400
    assert 'id="in-reply-to-problem"' in refused.text
    assert "not the address of a page" in said(refused)
    assert text.replace("\r\n", "\n") in unescape(refused.text)
    again = dict(refused.form("/desk/new"))
    assert (again["category"], again["in-reply-to"]) == ("a, b", "javascript:alert(1)")
    assert again["once"] == dict(page.form("/desk/new"))["once"]
    assert there.commits() == before
    empty = await owner.submit(await owner.get("/desk/new"), "/desk/new", content=" \r\n ")
    assert empty.status == 400
    assert "Write something first." in said(empty)


async def test_changing_the_post_type_keeps_the_input(owner: Browser, there: Demo) -> None:
    page = await owner.get("/desk/new?kind=bookmark")
    fields = {**dict(page.form("/desk/new")), "do": "kind"}
    fields |= {"bookmark-of": URL, "content": "Kept", "name": "Kept, too"}
    reply = await owner.post("/desk/new?kind=reply", data=fields)
    assert reply.status == 200
    assert dict(reply.form("/desk/new"))["in-reply-to"] == URL
    assert "Kept" in reply.text


async def test_a_form_filled_in_by_a_url_publishes_nothing(owner: Browser, there: Demo) -> None:
    before = there.commits()
    hostile = '"><script>alert(1)</script><textarea>'
    page = await owner.get(
        f"/desk/new?kind=reply&url=javascript:alert(1)&text={quote(hostile)}&title={quote(hostile)}"
        f"&tags={quote(hostile)}&once=mine&post-status=published"
    )
    assert page.status == 200
    assert "<script>" not in page.text
    assert "javascript:" not in page.text
    assert "was left out" in said(page)
    assert dict(page.form("/desk/new"))["once"] != "mine"
    good = await owner.get(f"/desk/new?kind=like&url={quote(URL)}")
    assert dict(good.form("/desk/new"))["like-of"] == URL
    assert there.commits() == before


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}],
    ids=["fetch metadata", "origin", "no value of ours"],
)
async def test_a_form_from_another_site_is_refused(
    owner: Browser, there: Demo, headers: dict[str, str]
) -> None:
    before = there.commits()
    fields = dict((await owner.get("/desk/new")).form("/desk/new")) | {"content": "Not mine"}
    if not headers:
        del fields["csrf"]
    refused = await owner.post("/desk/new", data=fields, headers=headers)
    assert refused.status == 403
    assert there.commits() == before


async def test_another_site_cannot_fill_in_a_form_of_the_owner(there: Demo) -> None:
    """The form arrives without the session cookie: the response does not ask for a sign-in."""
    async with browser(there.site.rstrip("/")) as without_cookie:
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "null"}
        for path in ("/desk/new", "/desk/edit", "/desk/preview"):
            refused = await without_cookie.post(path, data={"content": "Not mine"}, headers=headers)
            assert refused.status == 403
            assert "Not mine" not in refused.text
            assert "Set-Cookie" not in refused.headers


async def test_the_share_endpoint_does_not_upload_files_for_scripts(
    owner: Browser, there: Demo
) -> None:
    for dest in ("empty", "iframe"):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("files", picture("plum"), filename="planted.jpg")
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": dest}
        assert (await owner.post("/desk/share", data=form, headers=headers)).status == 403
    assert "planted" not in (await owner.get("/desk/files")).text


async def test_an_edit_does_not_move_urls_between_properties(owner: Browser, there: Demo) -> None:
    url = await write(owner, there, "reply", **TYPED["reply"])
    await app(there, action="update", url=url, add={"bookmark-of": [f"{URL}-2"]})
    done = await owner.submit(
        await form_of(owner, url), "/desk/edit", **{"in-reply-to": "", "content": "Still here"}
    )
    assert done.status == 303, said(done)
    post = await source(there, url)
    assert "in-reply-to" not in post
    assert post["bookmark-of"][0] == f"{URL}-2"


async def test_without_a_session_nothing_can_be_seen_or_changed(there: Demo) -> None:
    before = there.commits()
    async with browser(there.site.rstrip("/")) as stranger:
        for path in ("/desk/", "/desk/new", "/desk/edit?url=x", "/desk/?show=bin"):
            asked = await stranger.get(path)
            assert asked.status == 303
            assert asked.location.startswith("/auth/sign-in?then=")
        for path in ("/desk/new", "/desk/edit", "/desk/delete", "/desk/restore"):
            sent = await stranger.post(path, data={"content": "x", "url": there.site})
            assert sent.status in {401, 403}
        # No more than a long text is read, so strangers cannot use up the memory for forms.
        files = aiohttp.FormData({"content": "x", "kind": "note"})
        files.add_field("photo", bytes(200_000), filename="a.png")
        sent = await stranger.post("/desk/new", data=files)
        assert sent.status == 401
        assert "press the button again" in sent.text
    assert there.commits() == before


async def test_nothing_is_lost_if_the_session_ends_while_writing(there: Demo) -> None:
    async with browser(there.site.rstrip("/")) as client:
        await client.sign_in("/auth/sign-in?then=/desk/", there.password)
        page = await client.get("/desk/new?kind=article")
        await client.submit(await client.get("/desk/"), "/auth/sign-out")
        typed = {"name": "A title", "content": "Many\r\nwords\r\n", "category": "a"}
        # As long as a book: strangers may not send as much.
        long_text = {"summary": "word " * 30_000}
        files = aiohttp.FormData({**dict(page.form("/desk/new")), **typed, **long_text})
        files.add_field("photo", bytes(200_000), filename="a.png")
        asked = await client.post("/desk/new", data=files)
        assert asked.status == 401
        assert "Your files cannot come along" in said(asked)
        assert "Nothing is lost" in said(asked)
        assert "Many\r\nwords\r\n" in unescape(asked.text)
        assert long_text["summary"] in asked.text
        kept = {**dict(asked.form("/desk/new")), "content": typed["content"], "summary": ""}
        wrong = await client.post("/desk/new", data={**kept, "password": "not it"})
        assert wrong.status == 403
        assert "Many\r\nwords\r\n" in unescape(wrong.text)
        before = there.commits()
        back = await client.post("/desk/new", data={**kept, "password": there.password})
        assert back.status == 200
        assert "Many\nwords\n" in unescape(back.text)
        assert there.commits() == before
        done = await client.submit(back, "/desk/new", content=typed["content"])
        assert done.status == 303
        assert there.commits() == before + 1
        assert "Title: A title" in there.git("show", "HEAD")


@pytest.mark.soak
async def test_nothing_is_lost_if_the_session_ends_before_a_deletion(
    owner: Browser, there: Demo
) -> None:
    url = await write(owner, there, content="About to go")
    async with browser(there.site.rstrip("/")) as client:
        await client.sign_in("/auth/sign-in?then=/desk/", there.password)
        page = await form_of(client, url)
        await client.submit(await client.get("/desk/"), "/auth/sign-out")
        await app(there, action="delete", url=url)
        asked = await client.submit(page, "/desk/edit", content="Many\r\nwords")
        kept = {**dict(asked.form("/desk/edit")), "content": "Many\r\nwords"}
        back = await client.post("/desk/edit", data={**kept, "password": there.password})
        assert back.status == 404
        assert "Many\r\nwords" in unescape(back.text)
        assert there.password not in back.text
        assert (await client.get("/desk/")).status == 200


async def test_photos_come_with_the_form_and_are_described_and_ordered(
    owner: Browser, there: Demo
) -> None:
    page = await owner.get("/desk/new?kind=photo")
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in page.form("/desk/new"):
        form.add_field(name, value)
    form.add_field("do", "add")
    form.add_field("content", "Two photos")
    for number, colour in enumerate(("navy", "tomato")):
        form.add_field("photo[]", picture(colour), filename=f"{colour}-{number}.jpg",
                       content_type="image/jpeg")  # fmt: skip
    before = there.commits()
    added = await owner.post("/desk/new", data=form)
    assert added.status == 200, said(added)
    assert "Two photos" in added.text
    there_now = [value for name, value in added.form("/desk/new") if name == "photo[]" and value]
    assert len(there_now) == 2
    assert list(re.findall(r'name="(mp-photo-alt\[\d\])"', added.text)) == [
        "mp-photo-alt[0]",
        "mp-photo-alt[1]",
    ]
    alts = {"mp-photo-alt[0]": "Dark blue", "mp-photo-alt[1]": "Red"}
    turned = await owner.submit(added, "/desk/new", do="up:photo:1", content="Two photos", **alts)
    assert turned.status == 200
    moved = [value for name, value in turned.form("/desk/new") if name == "photo[]" and value]
    assert moved == there_now[::-1]
    assert there.commits() == before
    alts = {"mp-photo-alt[0]": "Red", "mp-photo-alt[1]": "Dark blue"}
    done = await owner.submit(turned, "/desk/new", content="Two photos", **alts)
    assert done.status == 303, said(done)
    # The photos are in the commit of the post.
    assert there.commits() == before + 1
    url = there.git("log", "-1", "--format=%(trailers:key=Post-URL,valueonly)").strip()
    photos = (await source(there, url))["photo"]
    assert [each["alt"] for each in photos] == ["Red", "Dark blue"]


async def test_an_unsupported_file_is_reported_and_the_text_is_kept(
    owner: Browser, there: Demo
) -> None:
    page = await owner.get("/desk/new?kind=photo")
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in page.form("/desk/new"):
        form.add_field(name, value)
    form.add_field("content", "Words beside a program")
    form.add_field("photo[]", b"MZ\x90\x00" * 50, filename="x.exe", content_type="image/jpeg")
    refused = await owner.post("/desk/new", data=form)
    assert refused.status == 415
    assert "x.exe" in said(refused)
    assert "Words beside a program" in refused.text


async def test_a_draft_is_saved_listed_and_published(owner: Browser, there: Demo) -> None:
    page = await owner.get("/desk/new")
    saved = await owner.submit(
        page, "/desk/new", content="Not yet ready", **{"post-status": "draft"}
    )
    assert saved.status == 303
    assert saved.location.startswith("/desk/edit?url=")
    edit = await owner.get(saved.location)
    assert "Draft saved." in edit.text
    assert "/desk/look?url=" in edit.text
    assert "Not yet ready" in (await owner.get("/desk/?show=drafts")).text
    published = await owner.submit(
        edit, "/desk/edit", content="Ready now", **{"post-status": "published"}
    )
    assert published.status == 303, said(published)
    assert "Published." in (await owner.get(published.location)).text
    assert "Not yet ready" not in (await owner.get("/desk/?show=drafts")).text


async def test_a_post_with_a_future_date_is_listed_as_scheduled(
    owner: Browser, there: Demo
) -> None:
    page = await owner.get("/desk/new")
    done = await owner.submit(
        page, "/desk/new", content="In years to come", published="2099-01-02T10:30"
    )
    assert (done.status, done.location) == (303, "/desk/?show=scheduled")
    listed = await owner.get(done.location)
    assert "In years to come" in listed.text
    assert "2 January 2099, 10:30" in said(listed)


async def test_a_note_that_became_markdown_by_hand_is_listed_by_its_title(
    owner: Browser, there: Demo, tmp_path: Path
) -> None:
    text = (
        "Title: What was bought\nDate: 2026-01-02 03:04:05\n"
        'Mf2: {"type":["h-entry"],"properties":{},"title":"synthetic","content":"text"}\n\n'
        "## What was *bought*\n\n- a plum\n- a **pear**\n"
    )
    await by_hand(owner, there, tmp_path, "list-by-hand.md", text, "a plum")
    listed = await owner.get("/desk/?search=plum")
    assert ">What was bought</a>" in listed.text
    assert "*" not in said(listed)


async def test_an_edit_changes_only_edited_fields(
    owner: Browser, there: Demo, tmp_path: Path
) -> None:
    text = (
        "title: Written by hand\nx-own:   kept as it is\nDATE: 2026-01-02 03:04:05\n"
        "Tags: b, a\n\n\nFirst words.\n\nMore of them.\n\n\n"
    )
    url = await by_hand(owner, there, tmp_path, "by-hand-at-the-desk.md", text, "written by hand")
    page = await owner.get(f"/desk/edit?url={url}")
    changed = text.split("\n\n\n")[1].replace("First", "Other").replace("\n", "\r\n")
    done = await owner.submit(page, "/desk/edit", content=changed)
    assert done.status == 303, said(done)
    shown = there.git("show", "--format=", "-U0", "HEAD").splitlines()
    lines = [line for line in shown if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert [line for line in lines if not line.startswith("+Modified: ")] == [
        "-First words.",
        "+Other words.",
    ]
    nothing = await owner.submit(await owner.get(done.location), "/desk/edit", content=changed)
    assert "Nothing was changed." in (await owner.get(nothing.location)).text


async def test_a_concurrent_change_is_not_overwritten(owner: Browser, there: Demo) -> None:
    url = await write(owner, there, content="One text", category="a")
    page = await form_of(owner, url)
    change = {"content": ["From an app"], "category": ["b"]}
    await app(there, action="update", url=url, replace=change)
    before = file_of(there, url)
    conflict = await owner.submit(page, "/desk/edit", content="From the desk")
    assert conflict.status == 409
    assert "From an app" in said(conflict)
    assert "From the desk" in unescape(conflict.text)
    assert file_of(there, url) == before
    # The form has what the app changed.
    assert dict(conflict.form("/desk/edit"))["category"] == "b"
    mine = await owner.submit(conflict, "/desk/edit", content="From the desk")
    assert mine.status == 303, said(mine)
    post = await source(there, url)
    assert (post["content"], post["category"]) == (["From the desk"], ["b"])


@pytest.mark.parametrize("was", ["", "x", "0" * 40])
async def test_a_form_without_a_version_overwrites_nothing(
    owner: Browser, there: Demo, was: str
) -> None:
    url = await write(owner, there, content=f"Unseen {was}")
    conflict = await owner.submit(await form_of(owner, url), "/desk/edit", content="Mine", was=was)
    assert conflict.status == 409
    assert (await source(there, url))["content"] == [f"Unseen {was}"]


async def test_a_deleted_post_can_be_restored(owner: Browser, there: Demo) -> None:
    old = "2020-02-03T04:05"
    url = await write(owner, there, content="Deleted by mistake", published=old)
    years = {datetime.now(UTC).year}
    gone = await owner.submit(await form_of(owner, url), "/desk/delete")
    assert (gone.status, gone.location) == (303, "/desk/")
    told = await owner.get("/desk/")
    assert "Deleted." in told.text
    assert ("url", url) in told.form("/desk/restore")
    bin_ = await owner.get("/desk/?show=bin")
    years.add(datetime.now(UTC).year)
    # The bin shows when it was deleted, not when it was written.
    shown = re.search(r"Deleted by mistake.*? deleted \d+ [A-Z][a-z]+ (\d+)", said(bin_))
    assert shown is not None
    assert int(shown[1]) in years
    assert "2020" not in said(bin_)
    back = await owner.submit(told, "/desk/restore")
    assert back.status == 303
    assert (await source(there, url))["content"] == ["Deleted by mistake"]
    assert "Deleted by mistake" not in (await owner.get("/desk/?show=bin")).text
    again = await owner.submit(await form_of(owner, url), "/desk/delete")
    assert again.status == 303
    binned = await owner.get("/desk/?show=bin")
    forms = [unescape(found) for found in re.findall(r'name="url" value="([^"]+)"', binned.text)]
    assert url in forms


async def test_posts_can_be_searched_by_words_and_type_with_pagination(
    owner: Browser, there: Demo
) -> None:
    url = await write(owner, there, content="A kingfisher over the mill pond", category="birds")
    found = await owner.get("/desk/?search=KINGFISHER")
    assert quote(url, safe="/") in found.text
    assert "mill pond" not in (await owner.get("/desk/?search=kingfisher&post-type=like")).text
    none = await owner.get("/desk/?search=nothing-is-called-that")
    assert "No posts match." in none.text
    # An app's own object.
    liked = {"url": "https://songs.example/1", "name": "Heron Song"}
    await app(there, type=["h-entry"], properties={"like-of": [liked]})
    assert "Heron Song" in (await owner.get("/desk/?search=songs.example")).text
    for number in range(7):
        await app(there, type=["h-entry"], properties={"content": [f"One of many: {number}"]})
    first = await owner.get("/desk/")
    older = unescape(re.findall(r'rel="next" href="([^"]+)"', first.text)[0])
    second = await owner.get(older)
    newer = unescape(re.findall(r'rel="prev" href="([^"]+)"', second.text)[0])

    def rows(page: Page) -> list[str]:
        return re.findall(r'class="line"><a href="([^"]+)"', page.text)

    assert not set(rows(first)) & set(rows(second))
    assert rows(await owner.get(newer)) == rows(first)
    assert (await owner.get("/desk/?after=nonsense")).status == 400


async def test_a_missing_post_is_reported(owner: Browser) -> None:
    for url in ("https://example.org/", "", "javascript:x"):
        missing = await owner.get(f"/desk/edit?url={quote(url)}")
        assert missing.status == 404
        assert "/desk/" in missing.text


async def test_the_page_of_copies_says_how_to_have_some(owner: Browser) -> None:
    page = await owner.get("/desk/syndication")
    assert page.status == 200
    # Targets without a type are copied to by other services, and have this page, too.
    assert "<code>[[syndication.targets]]</code> with a <code>type</code>" in page.text


async def test_pages_of_the_desk_cannot_be_framed_cached_or_read_by_scripts(owner: Browser) -> None:
    for path in ("/desk/", "/desk/new", "/desk/?show=bin"):
        page = await owner.get(path)
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        for place in ("iframe", "empty"):
            read = await owner.get(path, headers={"Sec-Fetch-Dest": place})
            assert read.status == 403


async def test_the_commit_has_only_a_hash_of_the_forms_id(owner: Browser, there: Demo) -> None:
    page = await owner.get("/desk/new")
    once = dict(page.form("/desk/new"))["once"]
    await owner.submit(page, "/desk/new", content="A secret name")
    wait_until(lambda: "A secret name" in there.git("show", "HEAD"))
    message = there.git("log", "-1", "--format=%B")
    assert "Micropub-Once: " in message
    assert once not in message


async def test_a_preview_shows_the_text_and_writes_nothing(owner: Browser, there: Demo) -> None:
    before = there.commits()
    page = await owner.get("/desk/new?kind=article")
    fields = {
        **dict(page.form("/desk/new")),
        "name": "To be seen",
        "content": 'With *stress*, <script>alert(1)</script> and <img src="x" onerror="alert(1)">'
        " ![pasted](data:image/png;base64,QUFB)",
    }
    shown = await owner.post("/desk/preview", data=fields, headers={"Sec-Fetch-Dest": "iframe"})
    assert shown.status == 200
    assert 'src="data:image/png;base64,QUFB"' in shown.text
    assert "<em>stress</em>" in shown.text
    assert "<script" not in shown.text
    assert "onerror" not in shown.text
    policy = shown.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    empty = await owner.post("/desk/preview", data=dict(page.form("/desk/new")))
    assert "Nothing to show yet." in empty.text
    foreign = await owner.post(
        "/desk/preview", data=fields, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert foreign.status in {200, 403}
    assert "stress" not in foreign.text
    assert there.commits() == before


async def test_a_draft_can_be_previewed_in_the_theme_and_published(
    owner: Browser, there: Demo
) -> None:
    page = await owner.get("/desk/new")
    fields = dict(page.form("/desk/new")) | {
        "content": "As my theme has it",
        "post-status": "draft",
    }
    saved = await owner.post("/desk/new?look=theme", data=fields)
    assert saved.status == 303
    assert saved.location.startswith("/desk/look?url=")
    look = await owner.get(saved.location)
    edit = unescape(re.findall(r'href="(/desk/edit[^"]*)"', look.text)[0])
    assert "As my theme has it" in (await owner.get(edit)).text
    framed = re.findall(r'<iframe[^>]* src="([^"]+)"', look.text)[0]
    deadline = 0
    while "As my theme has it" not in (built := await owner.get(framed)).text:
        deadline += 1
        assert deadline < 600
        await asyncio.sleep(0.1)
    assert built.headers["Content-Security-Policy"] == "sandbox; frame-ancestors 'self'"
    # A sandboxed page requests its style and fonts without the session cookie and origin.
    sheet = next((there.output / "theme").rglob("*.css")).relative_to(there.output)
    async with aiohttp.ClientSession(headers={"Origin": "null"}) as sandbox:
        async with sandbox.get(f"{there.site}preview/{sheet}") as answer:
            assert (answer.status, answer.content_type) == (200, "text/css")
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        for path in (framed, "/preview/index.html"):
            async with sandbox.get(there.site.rstrip("/") + path, allow_redirects=False) as answer:
                assert answer.status == 303
                assert "Access-Control-Allow-Origin" not in answer.headers
    done = await owner.submit(look, "/desk/publish")
    assert (done.status, done.location) == (303, "/desk/")
    url = dict(look.form("/desk/publish"))["url"]
    assert (await owner.get(saved.location)).status == 404
    assert "post-status" not in (post := await source(there, url)) or post["post-status"] == [
        "published"
    ]


async def test_the_page_that_is_replied_to_is_looked_up_while_writing(owner: Browser) -> None:
    pages = {
        "/": '<article class="h-entry"><h1 class="p-name">Sourdough, again</h1>'
        '<a class="p-author h-card" href="/">Ann Writer</a><p class="e-content">Rye.</p></article>'
    }
    async with client_site(pages) as elsewhere:
        page = await owner.get("/desk/new?kind=reply")
        typed = {"do": "look", "content": "Mine", "in-reply-to": f"{elsewhere}/"}
        csrf = dict(page.form("/desk/new"))["csrf"]
        # The desk's script requests the card only; without the CSRF token it is refused.
        forged = await owner.post("/desk/context", data={"url": f"{elsewhere}/"})
        assert forged.status == 403
        looked = await owner.submit(page, "/desk/new", **typed)
        for _ in range(60):
            # The form waits only for a moment; a slower card is shown the next time.
            if "Sourdough" in looked.text:
                break
            looked = await owner.submit(page, "/desk/new", **typed)
        card = await owner.post("/desk/context", data={"csrf": csrf, "url": f"{elsewhere}/"})
        assert json.loads(card.text)["name"] == "Sourdough, again"
        none = await owner.post("/desk/context", data={"csrf": csrf, "url": "javascript:x"})
        assert json.loads(none.text) == {}
    assert looked.status == 200
    assert "Sourdough, again" in said(looked)
    assert "Ann Writer" in said(looked)
    assert "Mine" in looked.text
    gone = await owner.submit(page, "/desk/new", do="look", **{"in-reply-to": f"{elsewhere}/other"})
    assert "cannot be read just now" in said(gone)


async def add_file(owner: Browser, colour: str, **headers: str) -> Page:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("csrf", dict((await owner.get("/desk/files")).form("/desk/files"))["csrf"])
    form.add_field("file[]", picture(colour), filename=f"{colour}.jpg", content_type="image/jpeg")
    return await owner.post("/desk/files", data=form, headers=headers)


async def test_files_can_be_added_described_and_used_and_deleted_unless_used(
    owner: Browser, there: Demo
) -> None:
    done = await add_file(owner, "olive")
    assert (done.status, done.location) == (303, "/desk/files")
    page = await owner.get("/desk/files")
    assert "1 file added." in page.text
    url = re.findall(r'href="(http[^"]*/olive[^"]*)"', page.text)[0]
    csrf = dict(page.form("/desk/files"))["csrf"]
    described = {"csrf": csrf, "url": url, "alt": "Olive [green]"}
    assert (await owner.post("/desk/files/change", data=described)).status == 303
    page = await owner.get("/desk/files")
    assert f"![Olive (green)]({url})" in page.text
    written = await owner.get(f"/desk/new?kind=photo&photo={quote(url, safe='')}")
    assert ("photo[]", url) in written.form("/desk/new")
    assert "Olive [green]" in written.text
    # A query makes it no other file.
    post = await write(owner, there, "photo", **{"photo[]": f"{url}?large", "content": "Olive"})
    assert "In use in 1 post" in said(await owner.get("/desk/files"))
    gone = {"csrf": csrf, "url": url, "do": "delete"}
    before = there.commits()
    await owner.post("/desk/files/change", data=gone)
    assert "is in use, and stays" in said(await owner.get("/desk/files"))
    assert there.commits() == before
    await owner.submit(await form_of(owner, post), "/desk/delete")
    await owner.post("/desk/files/change", data=gone)
    page = await owner.get("/desk/files")
    assert "Deleted." in page.text
    assert "olive" not in page.text


async def test_scripts_get_the_urls_of_uploads(owner: Browser) -> None:
    answer = await add_file(owner, "teal", Accept="application/json")
    assert answer.status == 201
    assert json.loads(answer.text)["problems"] == []
    assert "/media/" in json.loads(answer.text)["urls"][0]
    form = {"csrf": "0" * 64}
    assert (await owner.post("/desk/files", data=form)).status in {303, 403}


async def test_an_earlier_version_can_be_viewed_and_restored(owner: Browser, there: Demo) -> None:
    url = await write(owner, there, content="The first version", category="early")
    page = await form_of(owner, url)
    await owner.submit(page, "/desk/edit", content="The second version", category="")
    history = await owner.get(f"/desk/history?url={quote(url, safe='')}")
    assert said(history).count("on the desk") == 2
    links = [unescape(each) for each in re.findall(r'href="(/desk/history\?[^"]+)"', history.text)]
    seen = await owner.get(links[-1])
    assert "The first version" in seen.text
    back = unescape(re.findall(r'href="(/desk/edit\?[^"]+from=[^"]+)"', seen.text)[0])
    page = await owner.get(back)
    assert "The first version" in page.text
    assert (await source(there, url))["content"] == ["The second version"]
    done = await owner.submit(page, "/desk/edit", content="The first version")
    assert done.status == 303, said(done)
    post = await source(there, url)
    assert (post["content"], post["category"]) == (["The first version"], ["early"])
    for at in ("x", "0" * 40):
        missing = await owner.get(f"/desk/history?url={quote(url, safe='')}&at={at}")
        assert "The post had no such version." in missing.text


async def test_a_form_resent_after_a_kill_between_commit_and_response_makes_one_post(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    alone = {"BRIDGE_REBUILD__MODE": "none", "BRIDGE_PUBLISH__REMOTE": ""}
    demo, program = start_demo(folder, **alone)
    async with browser(demo.site.rstrip("/")) as client:
        await client.sign_in("/auth/sign-in?then=/desk/", demo.password)
        page = await client.get("/desk/new?kind=article")
        typed = {"name": "Power cut", "content": "Written once"}
        before = demo.commits()
        sending = asyncio.create_task(client.submit(page, "/desk/new", **typed))
        while demo.commits() == before:
            await asyncio.sleep(0)
        program.send_signal(signal.SIGKILL)
        program.wait(PATIENCE)
        with contextlib.suppress(aiohttp.ClientError):
            await sending
        (folder / "demo.json").unlink()
        demo, program = start_demo(folder, **alone)
        again = await client.submit(page, "/desk/new", **typed)
        if again.status == 401:
            kept = {**dict(again.form("/desk/new")), "content": typed["content"]}
            page = await client.post("/desk/new", data={**kept, "password": demo.password})
            again = await client.submit(page, "/desk/new", **typed)
        assert again.status == 303, said(again)
        assert again.location == demo.git(
            "log", "-1", "--format=%(trailers:key=Post-URL,valueonly)"
        )
        assert demo.commits() == before + 1
    program.send_signal(signal.SIGINT)
    assert program.wait(PATIENCE) == 0


async def test_shared_content_is_filled_into_the_form_and_not_published(
    owner: Browser, there: Demo
) -> None:
    before = there.commits()
    shared = await owner.post("/desk/share", data={"title": "A page", "text": f" {URL} "})
    assert dict(shared.form("/desk/new"))["bookmark-of"] == URL
    assert dict(shared.form("/desk/new"))["kind"] == "bookmark"
    words = await owner.post("/desk/share", data={"text": "Only words <b>"})
    assert "Only words &lt;b&gt;" in words.text
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("text", "With a picture")
    form.add_field("files", picture("plum"), filename="plum.jpg", content_type="image/jpeg")
    photo = await owner.post("/desk/share", data=form)
    assert dict(photo.form("/desk/new"))["kind"] == "photo"
    assert "plum" in photo.text
    assert "With a picture" in photo.text
    hostile = await owner.post("/desk/share", data={"url": "javascript:alert(1)", "text": "x"})
    assert "javascript:" not in hostile.text
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await owner.post("/desk/share", data={"text": "x"}, headers=foreign)).status == 403
    begun = await owner.get(f"/desk/share?url={quote(URL)}")
    assert begun.location == f"/desk/new?url={quote(URL)}"
    assert there.commits() == before


async def test_input_is_kept_if_the_post_was_deleted_meanwhile(owner: Browser, there: Demo) -> None:
    url = await write(owner, there, content="Deleted by an app")
    page = await form_of(owner, url)
    await app(there, action="delete", url=url)
    text = "Many new\r\nwords"
    kept = await owner.submit(page, "/desk/edit", content=text)
    assert kept.status == 404
    (shown,) = BeautifulSoup(kept.text, "html.parser").select("textarea")
    assert shown.text.strip().split() == text.split()
    assert kept.text.count(f'<label for="{shown["id"]}">Text</label>') == 1
    before = there.commits()
    fields = dict(kept.form("/desk/edit")) | {"content": text}
    done = await owner.post("/desk/new", data=fields)
    assert done.status == 303, said(done)
    assert there.commits() == before + 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "by-hand-in-rst.rst",
            "In reST\n#######\n\n:date: 2026-01-03 10:00\n:x-own: kept\n\nFirst *words*.\n",
            "First *words*.",
        ),
        (
            "by-hand-in-html.html",
            "<html>\n<head>\n<title>In HTML</title>\n"
            '<meta name="date" content="2026-01-04 10:00">\n</head>\n'
            "<body>\n<p>First <em>words</em>.</p>\n</body>\n</html>\n",
            "<p>First <em>words</em>.</p>",
        ),
    ],
)
async def test_a_post_in_another_format_keeps_it(
    owner: Browser, there: Demo, tmp_path: Path, name: str, text: str, words: str
) -> None:
    titles = {"rst": "In reST", "html": "In HTML"}
    title = titles[name.rpartition(".")[2]]
    url = await by_hand(owner, there, tmp_path, name, text, title)
    page = await owner.get(f"/desk/edit?url={url}")
    assert words in unescape(page.text)
    field = "content[html]" if "content[html]" in page.text else "content"
    changed = words.replace("First", "Other")
    done = await owner.submit(page, "/desk/edit", **{field: changed})
    assert done.status == 303, said(done)
    stored = there.git("show", f"HEAD:content/{name}")
    assert changed in stored
    assert stored.replace("Other", "First").startswith(text[:40])


async def test_the_browser_stores_nothing_on_a_shared_host_name(
    owner: Browser,
) -> None:
    page = await owner.get("/desk/new")
    assert page.status == 200
    assert "drafts.js" not in page.text
    for path in ("once", "manifest.webmanifest", "sw.js", "offline", "outbox"):
        assert (await owner.get(f"/desk/{path}")).status == 404, path
