"""What all pages of the desk share: access control, and messages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import jinja2
import pytest
from aiohttp import web
from indieauth_kit import Browser, Page, Running, browser, running

from bridge.desk.owner import Owner, owner_form, owner_page
from bridge.http.form import Form
from bridge.indieauth.login.sessions import end_session, list_sessions
from bridge.pages import language
from bridge.pages.navigation import Notice, Section, add_section
from bridge.rebuild import BuildStatus
from bridge.site.messages import SiteReport
from bridge.store.sync.remote import RemoteStatus

UNDO = Notice("Deleted.", "Undo", "/desk/thing", {"url": 'https://me.example/"a"'})


async def show(owner: Owner) -> web.StreamResponse:
    return owner.page("error.html", title="Things", text="All of them", link=None, advice=None)


async def quote(owner: Owner) -> web.StreamResponse:
    """How aiohttp represents bytes that are not UTF-8."""
    return owner.page("error.html", title="Things", text="a\udcff", link=None, advice=None)


async def broken(owner: Owner) -> web.StreamResponse:
    """The status of a site whose settings and whose last build are broken."""
    return owner.page(
        "status.html",
        headline="The site’s settings cannot be used",
        build=BuildStatus(state="failed", reason="It failed"),
        remote=RemoteStatus(),
        site=SiteReport(problem="A typo"),
        building="failed",
        pushing="",
        version="1",
        outbox=None,
        received=None,
        copies=None,
        scheduled=(),
    )


async def change(owner: Owner, form: Form) -> web.StreamResponse:
    return owner.back("/desk/thing", UNDO if form.get("url") is None else Notice("Restored."))


def extend(app: web.Application) -> None:
    add_section(app, Section("later", "/desk/later", "Later", 40))
    add_section(app, Section("things", "/desk/thing", "Things", 10))
    app.router.add_get("/desk/thing", owner_page(show))
    app.router.add_post("/desk/thing", owner_form(change))
    app.router.add_post("/desk/change", owner_form(change))
    app.router.add_get("/desk/quoted", owner_page(quote))
    app.router.add_get("/desk/broken", owner_page(broken))


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, extend=extend) as made:
        yield made


@pytest.fixture
async def owner(up: Running) -> AsyncIterator[Browser]:
    async with browser(up.base) as client:
        await client.sign_in()
        yield client


async def test_without_a_session_the_sign_in_page_is_shown_first(up: Running) -> None:
    async with browser(up.base) as client:
        asked = await client.get("/desk/thing?text=a%26b")
        assert asked.status == 303
        assert asked.location == "/auth/sign-in?then=%2Fdesk%2Fthing%3Ftext%3Da%2526b"
        there = await client.sign_in(asked.location)
        assert there.status == 200
        assert "All of them" in there.text


async def test_enabled_sections_are_in_the_navigation_in_order(
    owner: Browser,
) -> None:
    page = await owner.get("/desk/thing")
    places = [page.text.index(f'href="{path}"') for path in ("/desk/thing", "/desk/later")]
    assert places == sorted(places)
    assert 'href="/tokens"' in page.text
    assert 'href="/desk/files"' not in page.text


async def test_a_page_may_quote_invalid_utf8(owner: Browser) -> None:
    page = await owner.get("/desk/quoted")
    assert (page.status, "a?" in page.text) == (200, True)


async def test_a_notice_for_the_next_page_is_shown_once(owner: Browser) -> None:
    done = await owner.submit(await _notice(owner), "/desk/thing")
    assert (done.status, done.location) == (303, "/desk/thing")
    assert "Restored." in (await owner.get("/desk/thing")).text
    assert "Restored." not in (await owner.get("/desk/thing")).text


async def _notice(owner: Browser) -> Page:
    page = await owner.get("/tokens")
    csrf = dict(page.form("/tokens"))["csrf"]
    await owner.post("/desk/thing", data={"csrf": csrf})
    told = await owner.get("/desk/thing")
    assert "Deleted." in told.text
    assert ("url", 'https://me.example/"a"') in told.form("/desk/thing")
    return told


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ],
    ids=str,
)
async def test_a_form_from_another_site_is_refused(owner: Browser, headers: dict[str, str]) -> None:
    csrf = dict((await owner.get("/tokens")).form("/tokens"))["csrf"]
    refused = await owner.post("/desk/thing", data={"csrf": csrf}, headers=headers)
    assert refused.status == 403
    assert "Deleted." not in (await owner.get("/desk/thing")).text


@pytest.mark.parametrize(
    ("site", "waits"),
    [
        ("cross-site", True),
        ("same-site", True),
        ("", True),
        ("same-origin", False),
        ("none", False),
    ],
)
async def test_buttons_are_disabled_for_a_moment_after_a_link_from_another_site(
    owner: Browser, site: str, waits: bool
) -> None:
    """A double click that starts on another site could press the button of a form which that
    site filled in.
    """
    page = await owner.get("/desk/thing", headers={"Sec-Fetch-Site": site} if site else {})
    assert ('<main id="main" tabindex="-1" class="guarded">' in page.text) is waits
    assert ('src="/auth/static/arming.js"' in page.text) is waits


async def test_a_form_without_a_csrf_token_is_refused(owner: Browser) -> None:
    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        assert (await owner.post("/desk/thing", data=data)).status == 403


def test_translations_are_escaped() -> None:
    templates = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.i18n"])
    language.install(templates)
    shown = templates.from_string("{{ _(kind) }} {{ _('at %(host)s', host=kind) }}")
    assert shown.render(kind="<b>100 %s") == "&lt;b&gt;100 %s at &lt;b&gt;100 %s"


async def test_an_expired_session_is_reported(up: Running, owner: Browser) -> None:
    csrf = dict((await owner.get("/tokens")).form("/tokens"))["csrf"]
    for session in list_sessions(up.db):
        end_session(up.db, session.id)
    asked = await owner.post("/desk/thing", data={"csrf": csrf})
    assert asked.status == 401
    assert "You were signed out" in asked.text
    assert dict(asked.form("/auth/sign-in"))["then"] == "/desk/thing"
    # No one is led to an address that has no page.
    only = await owner.post("/desk/change", data={"csrf": csrf})
    assert dict(only.form("/auth/sign-in"))["then"] == "/desk/"


async def test_pages_cannot_be_framed_or_cached(owner: Browser) -> None:
    page = await owner.get("/desk/thing")
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    framed = await owner.get("/desk/thing", headers={"Sec-Fetch-Dest": "iframe"})
    assert framed.status == 403


@pytest.mark.parametrize(
    ("wanted", "spoken", "heading", "button"),
    [
        ("de-AT, en;q=0.5", "de", "Konto", "Abmelden"),
        ("fr", "fr", "Compte", "Se déconnecter"),
        ("es", "es", "Cuenta", "Cerrar sesión"),
        ("pt", "en", "Account", "Sign out"),
    ],
)
async def test_pages_are_in_the_readers_language(
    owner: Browser, wanted: str, spoken: str, heading: str, button: str
) -> None:
    page = await owner.get("/auth/sessions", headers={"Accept-Language": wanted})
    assert f'<html lang="{spoken}">' in page.text
    assert f"<h1>{heading}</h1>" in page.text
    assert button in page.text
    assert page.headers["Vary"] == "Accept-Language"


async def test_parts_of_the_status_have_different_headings(owner: Browser) -> None:
    page = await owner.get("/desk/broken")
    headings = re.findall(r"<h2[^>]*>([^<]+)<", page.text)
    assert headings == ["Why", "The last build failed"]
    # Whether its code is confined is known of a site that could be loaded.
    assert "Landlock" not in page.text
