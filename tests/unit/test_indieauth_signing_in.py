"""Signing in: password, mailed link, set-up link, and protection of the pages."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, urlencode, urlsplit

import argon2
import pytest
from indieauth_kit import (
    PASSWORD,
    Browser,
    Page,
    Running,
    browser,
    mailbox,
    rough_words,
    running,
)
from yarl import URL

from bridge.errors import TooManyRequests, Unavailable
from bridge.http.limits import Limiter
from bridge.indieauth.database import Database
from bridge.indieauth.login import password, sign_in
from bridge.indieauth.login.password import (
    check_password,
    has_password,
    is_set_up,
    owner_reset,
    set_password,
    start_over,
)
from bridge.indieauth.login.sessions import device
from bridge.indieauth.login.sign_in import local_path
from bridge.indieauth.oauth.app_tokens import create_token, list_tokens
from bridge.indieauth.server import IndieAuthServer
from bridge.indieauth.webauthn.passkeys import Proven, list_passkeys, store_passkey
from bridge.net.fetch import GuardedFetch
from bridge.settings import IndieAuth, Settings, SettingsError, Site


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def guest(up: Running) -> AsyncIterator[Browser]:
    async with browser(up.base) as made:
        yield made


def cookie(guest: Browser) -> str:
    return next(item.value for item in guest.session.cookie_jar if item.key == "indieauth")


def leads_on(page: Page) -> bool:
    """Whether a page with an error has a link to continue: it is no dead end."""
    main = page.text.partition("<main")[2].partition("</main>")[0]
    return 'href="/auth/sign-in"' in main


# --- password ----------------------------------------------------------------------------


async def test_the_password_opens_the_pages(guest: Browser) -> None:
    assert (await guest.get("/tokens")).status == 401
    page = await guest.sign_in("/tokens")
    assert page.status == 200
    assert "Sign out" in page.text


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), "\x00"])
async def test_another_password_does_not(guest: Browser, password: str) -> None:
    page = await guest.get("/auth/sign-in")
    refused = await guest.submit(page, "/auth/sign-in", password=password)
    assert refused.status == 403
    assert "That is not the password." in refused.text
    assert (await guest.get("/tokens")).status == 401


async def test_the_log_says_who_signed_in_and_who_did_not(
    guest: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(sign_in.log, level, lambda text, *values: told.append(text % values))
    page = await guest.get("/auth/sign-in")
    refused = await guest.submit(page, "/auth/sign-in", password="wrong words")
    assert "That is not the password." in refused.text
    await guest.sign_in()
    assert told == [
        "sign-in refused: not the password; sent from '127.0.0.1'",
        "signed in with password: Unknown browser",
    ]


@pytest.mark.parametrize("field", ["password", "csrf", "then"])
async def test_invalid_text_is_not_the_password_either(guest: Browser, field: str) -> None:
    page = await guest.get("/auth/sign-in")
    form = urlencode(dict(page.form("/auth/sign-in")) | {"password": PASSWORD, field: b"\xff"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await guest.post("/auth/sign-in", data=form, headers=headers)).status == 400
    assert (await guest.get("/tokens")).status == 401


async def test_an_invalid_script_call_is_refused(guest: Browser) -> None:
    await guest.get("/auth/sign-in")
    headers = {"Content-Type": "application/json"}
    for body in ('{"csrf": "\\ud800"}', '{"csrf": "\\udcff"}'):
        refused = await guest.post("/auth/sign-in/passkey/options", data=body, headers=headers)
        assert refused.status == 403


async def test_the_session_gets_a_new_cookie(guest: Browser) -> None:
    await guest.get("/auth/sign-in")
    before = cookie(guest)
    await guest.sign_in()
    assert cookie(guest) != before


async def test_a_cookie_that_someone_planted_is_worth_nothing(up: Running) -> None:
    """Session fixation: a cookie from before signing in is invalid afterwards."""
    async with browser(up.base) as owner, browser(up.base) as thief:
        await owner.get("/auth/sign-in")
        planted = cookie(owner)
        await owner.sign_in()
        thief.enter(planted)
        assert (await thief.get("/tokens")).status == 401


async def test_the_cookie_is_kept_from_scripts_and_other_sites(guest: Browser) -> None:
    page = await guest.get("/auth/sign-in")
    header = page.headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Path=/" in header
    assert "Domain" not in header


async def test_on_the_web_the_cookie_is_host_bound_and_secure(up: Running) -> None:
    """By the URL in the configuration, not by the request."""
    up.server.public = up.server.public.__class__(
        "https", "bridge.example", 443, port_given=False, path="/", query=""
    )
    async with browser(up.base) as guest:
        header = (await guest.get("/auth/sign-in")).headers["Set-Cookie"]
    assert header.startswith("__Host-indieauth=")
    assert "Secure" in header
    assert "Path=/" in header
    assert "Domain" not in header


async def test_signing_out_ends_the_session_on_the_server(guest: Browser) -> None:
    page = await guest.sign_in()
    secret = cookie(guest)
    await guest.submit(page, "/auth/sign-out")
    guest.enter(secret)
    assert (await guest.get("/tokens")).status == 401


async def test_forms_from_elsewhere_do_nothing(guest: Browser) -> None:
    page = await guest.get("/auth/sign-in")
    for changes, headers in (
        ({"csrf": "x"}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ):
        fields = dict(page.form("/auth/sign-in")) | {"password": PASSWORD} | changes
        refused = await guest.post("/auth/sign-in", data=fields, headers=headers)
        assert refused.status == 403
        assert leads_on(refused)
    assert (await guest.get("/tokens")).status == 401


async def test_another_sites_form_signs_the_owner_out_of_nothing(up: Running) -> None:
    """It is sent without the cookie, which must not be replaced by a new one."""
    async with browser(up.base) as without_cookie:
        for path in ("/auth/sign-out", "/auth/sign-in", "/tokens"):
            for site in ("cross-site", "same-site"):
                headers = {"Sec-Fetch-Site": site, "Origin": "null"}
                refused = await without_cookie.post(path, data={}, headers=headers)
                assert refused.status == 403
                assert "Set-Cookie" not in refused.headers
        assert "Set-Cookie" in (await without_cookie.get("/auth/sign-in")).headers


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "//evil.example/tokens",
        "/\\evil.example",
        "/\\/evil.example",
        "https://evil.example/",
        "evil.example",
        "javascript:alert(1)",
        "/\tevil",
        "/\n/evil.example",
        "/a\\b",
        "\\\\evil.example",
        "",
        None,
        "/é",
    ],
)
async def test_only_paths_of_our_own_are_returned_to(guest: Browser, path: str | None) -> None:
    assert local_path(path) == "/tokens"
    page = await guest.get("/auth/sign-in")
    done = await guest.submit(page, "/auth/sign-in", password=PASSWORD, then=path)
    assert done.location == "/tokens"


@pytest.mark.parametrize("path", ["/", "/tokens", "/auth?client_id=https%3A%2F%2Fa.b%2F&x=//y"])
def test_local_paths_are_returned_to(path: str) -> None:
    assert local_path(path) == path


# --- actions that need more than a session ------------------------------------------------------


def sign_in_is_old(up: Running) -> None:
    with up.db.transaction() as connection:
        connection.execute("UPDATE sessions SET created = created - 301")


async def creation_status(up: Running, guest: Browser, key: str = "") -> int:
    """The status of the script's request to add a passkey."""
    page = await guest.get(f"/auth/set-up?key={key}" if key else "/auth/sessions")
    csrf = dict(page.form("/auth/set-up" if key else "/auth/password"))["csrf"]
    call = json.dumps({"csrf": csrf, "key": key})
    options = await guest.post("/auth/passkeys/options", call)
    # It contains no credential.
    assert (await guest.post("/auth/passkeys", call)).status == 403
    return options.status


async def test_a_passkey_is_added_only_after_a_new_proof(up: Running, guest: Browser) -> None:
    page = await guest.sign_in("/auth/sessions")
    assert "Where you are signed in" in page.text
    assert await creation_status(up, guest) == 200
    sign_in_is_old(up)
    assert await creation_status(up, guest) == 403
    stale = await guest.get("/auth/sessions")
    assert 'data-passkey="create"' not in stale.text
    asked = await guest.get("/auth/confirm?then=/auth/sessions")
    assert (await guest.submit(asked, "/auth/confirm", proof="another pass phrase")).status == 403
    assert await creation_status(up, guest) == 403
    done = await guest.submit(asked, "/auth/confirm", proof=PASSWORD)
    assert done.location == "/auth/sessions"
    assert await creation_status(up, guest) == 200


async def test_a_set_up_link_is_proof_enough(up: Running, guest: Browser) -> None:
    await guest.sign_in("/auth/sessions")
    sign_in_is_old(up)
    key = parse_qs(urlsplit(owner_reset(up.db)).query)["key"][0]
    assert await creation_status(up, guest, key) == 200
    assert await creation_status(up, guest) == 403


async def test_a_passkey_is_offered_first_where_there_are_both(tmp_path: Path) -> None:
    button = re.compile(r'<button class="button wide( quiet)?"')
    async with running(tmp_path, host="localhost") as up, browser(up.base) as guest:
        up.server.site_name = lambda: "Ada & Co."
        assert button.findall((await guest.get("/auth/sign-in")).text) == [""]
        with up.db.transaction() as connection:
            store_passkey(connection, Proven(b"id", b"key", 0), "Phone")
        both = (await guest.get("/auth/sign-in")).text
        assert button.findall(both) == ["", " quiet"]
        assert both.index("data-passkey=") < both.index('id="password"')
        assert '<a class="site" href="https://me.example/">Ada &amp; Co.</a>' in both
        (icon,) = re.findall(r'rel="icon" href="([^"]+)"', both)
        assert (await guest.get(icon)).headers["Content-Type"].startswith("image/svg+xml")


async def test_a_password_is_set_beside_passkeys_only_after_a_new_proof(
    up: Running, guest: Browser
) -> None:
    await guest.sign_in("/auth/sessions")
    with up.db.transaction() as connection:
        connection.execute("UPDATE owner SET password = NULL")
        store_passkey(connection, Proven(b"id", b"key", 0), "Phone")
    fresh = await guest.get("/auth/sessions")
    sign_in_is_old(up)
    new = {"password": "four other words", "again": "four other words"}
    asked = await guest.submit(fresh, "/auth/password", **new)
    assert asked.status == 200
    assert "Confirm that it is you" in asked.text
    assert "four other words" not in asked.text
    assert not has_password(up.db)
    assert "/auth/password" not in (await guest.get("/auth/sessions")).text


async def test_a_passkey_is_removed_only_after_a_new_proof(up: Running, guest: Browser) -> None:
    page = await guest.sign_in("/auth/sessions")
    with up.db.transaction() as connection:
        store_passkey(connection, Proven(b"id", b"key", 0), "Phone")
    sign_in_is_old(up)
    page = await guest.get("/auth/sessions")
    asked = await guest.submit(page, "/auth/passkeys/remove", passkey=1)
    assert len(list_passkeys(up.db)) == 1
    done = await guest.submit(asked, "/auth/passkeys/remove", proof=PASSWORD)
    assert done.status == 303
    assert list_passkeys(up.db) == []


async def test_a_passkey_is_given_another_name(up: Running, guest: Browser) -> None:
    page = await guest.sign_in("/auth/sessions")
    with up.db.transaction() as connection:
        store_passkey(connection, Proven(b"id", b"key", 0), "Chrome on Linux")
    page = await guest.get("/auth/sessions")
    done = await guest.submit(page, "/auth/passkeys/rename", passkey=1, name="Laptop")
    assert done.status == 303
    assert [each.name for each in list_passkeys(up.db)] == ["Laptop"]
    refused = await guest.submit(page, "/auth/passkeys/rename", passkey=1, name=" ")
    assert refused.status == 400
    assert [each.name for each in list_passkeys(up.db)] == ["Laptop"]


async def test_a_lasting_token_is_made_only_after_a_new_proof(up: Running, guest: Browser) -> None:
    page = await guest.sign_in("/tokens")
    sign_in_is_old(up)
    wish = {"name": "<Phone>", "scope": ["create", "media"], "days": "30"}
    asked = await guest.submit(page, "/tokens", **wish)
    assert list_tokens(up.db) == []
    assert (await guest.submit(asked, "/tokens", proof=PASSWORD)).status == 303
    (made,) = list_tokens(up.db)
    assert (made.name, made.scopes) == ("<Phone>", ("create", "media"))


async def test_ending_things_needs_no_new_proof(up: Running, guest: Browser) -> None:
    """An owner who sees an unknown browser has to act fast."""
    create_token(up.db, "Phone", ["create"])
    page = await guest.sign_in("/tokens")
    sign_in_is_old(up)
    await guest.submit(page, "/tokens/revoke", token=list_tokens(up.db)[0].id)
    assert list_tokens(up.db) == []


async def test_a_proof_is_the_owners_alone(up: Running, guest: Browser) -> None:
    assert 'action="/auth/sign-in"' in (await guest.get("/auth/confirm?then=/tokens")).text
    fields = dict((await guest.get("/auth/sign-in")).form("/auth/sign-in")) | {"proof": PASSWORD}
    assert (await guest.post("/auth/confirm", data=fields)).status == 403
    call = json.dumps({"csrf": fields["csrf"], "credential": {}})
    assert (await guest.post("/auth/confirm/passkey", call)).status == 403
    await guest.sign_in("/tokens")
    sign_in_is_old(up)
    typed = {"Sec-Fetch-Site": "none"}
    asked = await guest.get("/auth/confirm?then=//evil.example/", headers=typed)
    assert 'class="guarded"' in asked.text, "its button does not take clicks at once"
    done = await guest.submit(asked, "/auth/confirm", proof=PASSWORD)
    assert done.location == "/tokens"


# --- limits ------------------------------------------------------------------------------


async def try_password(guest: Browser, address: str = "192.0.2.1") -> int:
    page = await guest.get("/auth/sign-in")
    fields = dict(page.form("/auth/sign-in")) | {"password": "wrong"}
    reply = await guest.post("/auth/sign-in", data=fields, headers={"X-Forwarded-For": address})
    if reply.status == 429:
        assert int(reply.headers["Retry-After"]) > 0
        assert leads_on(reply)
    return reply.status


async def test_attempts_are_limited_by_address(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=2, overall=100, seconds=600)
    assert [await try_password(guest) for _ in range(4)] == [403, 403, 429, 429]
    assert await try_password(guest, "192.0.2.2") == 403


async def test_a_made_up_chain_of_proxies_does_not_help(up: Running, guest: Browser) -> None:
    """Only the address added by the nearest proxy counts."""
    up.server.attempts = Limiter(each=2, overall=100, seconds=600)
    chains = [f"203.0.113.{number}, 192.0.2.1" for number in range(4)]
    assert [await try_password(guest, chain) for chain in chains] == [403, 403, 429, 429]


async def test_a_whole_network_is_one_address_in_ipv6(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=2, overall=100, seconds=600)
    hosts = [f"2001:db8:1:2::{number}" for number in range(1, 4)]
    assert [await try_password(guest, host) for host in hosts] == [403, 403, 429]


async def test_attempts_are_limited_in_all(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=100, overall=3, seconds=600)
    hosts = [f"192.0.2.{number}" for number in range(5)]
    assert [await try_password(guest, host) for host in hosts] == [403, 403, 403, 429, 429]


async def test_the_right_password_is_limited_as_well(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=1, overall=100, seconds=600)
    assert await try_password(guest) == 403
    page = await guest.get("/auth/sign-in")
    fields = dict(page.form("/auth/sign-in")) | {"password": PASSWORD}
    reply = await guest.post("/auth/sign-in", data=fields, headers={"X-Forwarded-For": "192.0.2.1"})
    assert reply.status == 429


async def test_strangers_do_not_lock_a_known_browser_out(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=2, overall=3, seconds=600)
    home = await guest.sign_in("/tokens")
    assert (await guest.submit(home, "/auth/sign-out")).status == 303
    async with browser(up.base) as stranger:
        hosts = [f"192.0.2.{number}" for number in range(5)]
        assert [await try_password(stranger, host) for host in hosts][-2:] == [429, 429]
    assert (await guest.sign_in("/tokens")).status == 200


async def test_strangers_passwords_do_not_hold_a_known_browser_up(
    up: Running, guest: Browser
) -> None:
    """Each hash takes a core for a moment, and a hundred passwords may be tried at once."""
    await guest.submit(await guest.sign_in("/tokens"), "/auth/sign-out")
    async with up.server.hashing:
        assert (await guest.sign_in("/tokens")).status == 200


async def test_a_known_browser_may_not_guess_for_ever(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=2, overall=100, seconds=600)
    await guest.submit(await guest.sign_in("/tokens"), "/auth/sign-out")
    hosts = [f"192.0.2.{number}" for number in range(4)]
    assert [await try_password(guest, host) for host in hosts] == [403, 403, 429, 429]


async def test_a_made_up_cookie_makes_no_browser_known(up: Running, guest: Browser) -> None:
    up.server.attempts = Limiter(each=100, overall=1, seconds=600)
    guest.session.cookie_jar.update_cookies({"indieauth-known": "A" * 43}, URL(up.base))
    assert [await try_password(guest) for _ in range(2)] == [403, 429]


async def test_starting_over_forgets_the_browsers(up: Running, guest: Browser) -> None:
    await guest.sign_in("/tokens")
    key = parse_qs(urlsplit(owner_reset(up.db)).query)["key"][0]
    with up.db.transaction() as connection:
        start_over(connection, key)
    assert not up.db.all("SELECT * FROM browsers")


async def junk_passkey(guest: Browser, address: str) -> int:
    page = await guest.get("/auth/sign-in")
    call = {"csrf": dict(page.form("/auth/sign-in"))["csrf"], "credential": {}}
    headers = {"X-Forwarded-For": address}
    return (await guest.post("/auth/sign-in/passkey", json.dumps(call), headers=headers)).status


async def test_strangers_do_not_lock_passkeys(up: Running, guest: Browser) -> None:
    """Signatures cannot be guessed, so only attempts from the same address count."""
    for network in range(1000):
        for _ in range(30):
            up.server.passkey_attempts.attempt(f"2001:db8:{network:x}::/64")
    assert await junk_passkey(guest, "192.0.2.1") == 403
    statuses = [await junk_passkey(guest, "192.0.2.2") for _ in range(31)]
    assert statuses == [403] * 30 + [429]


async def test_the_first_passkey_does_not_delay_others(
    guest: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is imported then, which takes most of a second, in another thread."""
    importing, threads = importlib.import_module, list[threading.Thread]()

    def noted(name: str) -> ModuleType:
        threads.append(threading.current_thread())
        return importing(name)

    monkeypatch.setattr(importlib, "import_module", noted)
    assert await junk_passkey(guest, "192.0.2.1") == 403
    assert threads
    assert threading.current_thread() not in threads


async def test_strangers_do_not_lock_what_cannot_be_guessed(up: Running, guest: Browser) -> None:
    """Set-up links, and the password of a signed-in owner."""
    up.server.attempts = Limiter(each=10, overall=1, seconds=600)
    up.server.attempts.attempt("192.0.2.1")
    assert await try_password(guest) == 429
    key = parse_qs(urlsplit(owner_reset(up.db)).query)["key"][0]
    page = await guest.get(f"/auth/set-up?key={key}")
    done = await guest.submit(page, "/auth/set-up", password=PASSWORD, again=PASSWORD)
    assert done.status == 303
    guest.session.cookie_jar.clear(lambda cookie: "known" in cookie.key)
    page = await guest.get("/auth/sessions")
    new = {"current": PASSWORD, "password": "another four words", "again": "another four words"}
    assert (await guest.submit(page, "/auth/password", **new)).status == 303


async def test_a_bad_set_up_link_costs_no_hashing(
    up: Running, guest: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.indieauth.login.set_up.hash_password", None)
    key = parse_qs(urlsplit(owner_reset(up.db)).query)["key"][0]
    page = await guest.get(f"/auth/set-up?key={key}")
    fields = {"password": PASSWORD, "again": PASSWORD, "key": "guess"}
    assert (await guest.submit(page, "/auth/set-up", **fields)).status == 403


def test_limits_expire_and_a_success_resets_them() -> None:
    now = [0.0]
    limiter = Limiter(each=2, overall=10, seconds=60, clock=lambda: now[0])
    limiter.attempt("a")
    limiter.attempt("a")
    with pytest.raises(TooManyRequests) as refused:
        limiter.attempt("a")
    assert 60 <= refused.value.retry_after <= 61
    now[0] = 60
    limiter.attempt("a")
    limiter.attempt("a")
    limiter.succeeded("a")
    limiter.attempt("a")


# --- set-up link ---------------------------------------------------------------------------


async def set_up(guest: Browser, link: str, password: str = "another four words") -> int:
    page = await guest.get(link)
    if page.status != 200:
        return page.status
    return (await guest.submit(page, "/auth/set-up", password=password, again=password)).status


async def test_the_first_run(tmp_path: Path) -> None:
    async with running(tmp_path, password=None) as up, browser(up.base) as guest:
        assert not is_set_up(up.db)
        page = await guest.get("/tokens")
        assert "No way to sign in is set up yet" in page.text
        # Whose path the page does not know, or should not tell.
        assert "micropub-bridge" not in page.text
        assert "<form" not in page.text
        link = owner_reset(up.db)
        assert await set_up(guest, link) == 303
        assert is_set_up(up.db)
        assert (await guest.get("/tokens")).status == 200


async def test_a_set_up_link_works_once(up: Running, guest: Browser) -> None:
    link = owner_reset(up.db)
    page = await guest.get(link)
    await guest.get(link)
    assert await set_up(guest, link) == 303
    assert await set_up(guest, link) == 403
    again = await guest.submit(page, "/auth/set-up", password="x" * 20, again="x" * 20)
    assert again.status == 403


async def test_a_new_link_ends_the_older_one(up: Running, guest: Browser) -> None:
    older, newer = owner_reset(up.db), owner_reset(up.db)
    assert await set_up(guest, older) == 403
    assert await set_up(guest, newer) == 303


async def test_a_link_is_good_for_a_day(up: Running, guest: Browser) -> None:
    link = owner_reset(up.db)
    with up.db.transaction() as connection:
        connection.execute("UPDATE links SET expires = ?", (time.time() - 1,))
    assert await set_up(guest, link) == 403


async def test_starting_over_ends_every_older_way_in(up: Running, guest: Browser) -> None:
    async with browser(up.base) as thief:
        await thief.sign_in()
        assert await set_up(guest, owner_reset(up.db)) == 303
        assert (await thief.get("/tokens")).status == 401
        page = await thief.get("/auth/sign-in")
        old = await thief.submit(page, "/auth/sign-in", password=PASSWORD)
        assert old.status == 403


async def test_a_poor_password_is_refused_and_the_link_stays_good(
    up: Running, guest: Browser
) -> None:
    link = owner_reset(up.db)
    assert await set_up(guest, link, "short") == 400
    page = await guest.get(link)
    differ = await guest.submit(page, "/auth/set-up", password="x" * 20, again="y" * 20)
    assert differ.status == 400
    assert "differ" in differ.text
    assert await set_up(guest, link) == 303


@pytest.mark.parametrize("key", ["", "x", "x" * 43, "%FF"])
async def test_a_guessed_link(guest: Browser, key: str) -> None:
    page = await guest.get(f"/auth/set-up?key={key}")
    assert page.status == 403
    assert leads_on(page)


def test_a_password_of_ten_characters_is_the_shortest(tmp_path: Path, up: Running) -> None:
    with pytest.raises(ValueError, match="at least 10"):
        set_password(up.db, "123456789")
    with pytest.raises(ValueError, match="at most"):
        set_password(up.db, "x" * 1025)


# --- mailed link ---------------------------------------------------------------------------


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[tuple[Running, list[str]]]:
    async with mailbox() as (port, mails):
        config = IndieAuth(
            email="me@me.example", smtp_host="127.0.0.1", smtp_port=port, smtp_security="none"
        )
        async with running(tmp_path / "post", config) as made:
            yield made, mails


async def mailed_link(up: Running, mails: list[str], guest: Browser, then: str = "/tokens") -> str:
    page = await guest.get(f"/auth/sign-in?then={then}")
    sent = await guest.submit(page, "/auth/sign-in/link")
    assert sent.status == 200, sent.text
    assert up.server.mail is not None
    await up.server.mail.close()
    return str(re.findall(r"http://\S+", mails[-1])[-1])


async def follow(guest: Browser, link: str) -> int:
    page = await guest.get(link)
    assert page.status == 200
    return (await guest.submit(page, "/auth/sign-in/link/open")).status


async def test_a_mailed_link_signs_in_once(post: tuple[Running, list[str]]) -> None:
    up, mails = post
    async with browser(up.base) as guest:
        link = await mailed_link(up, mails, guest, "/auth/sessions")
        page = await guest.get(link, headers={"Sec-Fetch-Site": "none"})
        assert 'class="guarded"' in page.text, "its button does not take clicks at once"
        done = await guest.submit(page, "/auth/sign-in/link/open")
        assert done.location == "/auth/sessions"
        assert "e-mail link" in (await guest.get("/auth/sessions")).text
        assert await follow(guest, link) == 403


async def test_strangers_do_not_lock_a_mailed_link(post: tuple[Running, list[str]]) -> None:
    up, mails = post
    up.server.attempts = Limiter(each=1, overall=1, seconds=600)
    up.server.attempts.attempt("192.0.2.1")
    async with browser(up.base) as guest:
        assert await follow(guest, await mailed_link(up, mails, guest)) == 303


async def test_nothing_that_a_stranger_wrote_is_in_the_mail(
    post: tuple[Running, list[str]],
) -> None:
    up, mails = post
    async with browser(up.base) as guest:
        link = await mailed_link(up, mails, guest, "/evil.example")
        assert "evil" not in mails[0]
        assert mails[0].startswith("Sign in to me.example\n")
        done = await guest.submit(await guest.get(link), "/auth/sign-in/link/open")
        assert done.location == "/evil.example"


async def test_the_mail_is_in_the_language_of_the_page(post: tuple[Running, list[str]]) -> None:
    up, mails = post
    async with browser(up.base) as guest:
        guest.session.headers["Accept-Language"] = "de-AT, en;q=0.5"
        await mailed_link(up, mails, guest)
        assert mails[0].startswith("Bei me.example anmelden\n")
        assert "hopefully" not in mails[0]


async def test_a_mailed_link_works_only_in_the_browser_that_asked(
    post: tuple[Running, list[str]],
) -> None:
    up, mails = post
    async with browser(up.base) as guest, browser(up.base) as other:
        link = await mailed_link(up, mails, guest)
        await other.get("/auth/sign-in")
        assert await follow(other, link) == 403
        assert await follow(guest, link) == 303


async def test_a_mailed_link_works_for_ten_minutes(post: tuple[Running, list[str]]) -> None:
    up, mails = post
    async with browser(up.base) as guest:
        link = await mailed_link(up, mails, guest)
        (row,) = up.db.all("SELECT expires FROM links")
        assert row["expires"] - time.time() == pytest.approx(600, abs=60)
        with up.db.transaction() as connection:
            connection.execute("UPDATE links SET expires = ?", (time.time() - 1,))
        assert await follow(guest, link) == 403


async def test_a_mail_program_that_opens_the_link_uses_nothing_up(
    post: tuple[Running, list[str]],
) -> None:
    up, mails = post
    async with browser(up.base) as guest, browser(up.base) as scanner:
        link = await mailed_link(up, mails, guest)
        await scanner.get(link)
        await guest.get(link)
        assert await follow(guest, link) == 303


async def test_mails_are_limited(post: tuple[Running, list[str]]) -> None:
    up, mails = post
    up.server.mails = Limiter(each=1, overall=10, seconds=600)
    async with browser(up.base) as guest:
        await mailed_link(up, mails, guest)
        page = await guest.get("/auth/sign-in")
        assert (await guest.submit(page, "/auth/sign-in/link")).status == 429
    assert len(mails) == 1


async def test_strangers_do_not_use_up_a_known_browsers_mails(
    post: tuple[Running, list[str]],
) -> None:
    up, mails = post
    async with browser(up.base) as guest:
        assert await follow(guest, await mailed_link(up, mails, guest)) == 303
        page = await guest.get("/tokens")
        await guest.submit(page, "/auth/sign-out")
        up.server.mails = Limiter(each=1, overall=1, seconds=600)
        up.server.mails.attempt("192.0.2.1")
        async with browser(up.base) as stranger:
            page = await stranger.get("/auth/sign-in")
            assert (await stranger.submit(page, "/auth/sign-in/link")).status == 429
        assert await follow(guest, await mailed_link(up, mails, guest)) == 303


async def test_a_mail_server_that_is_down_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = IndieAuth(email="me@me.example", smtp_host="127.0.0.1", smtp_port=1)
    async with running(tmp_path / "down", config) as up, browser(up.base) as guest:
        page = await guest.get("/auth/sign-in")
        assert (await guest.submit(page, "/auth/sign-in/link")).status == 200
        assert up.server.mail is not None
        await up.server.mail.close()
    assert "could not be mailed" in caplog.text
    assert "key=" not in caplog.text


async def test_without_mail_nothing_is_offered(up: Running, guest: Browser) -> None:
    page = await guest.get("/auth/sign-in")
    assert "Mail me" not in page.text
    reply = await guest.post("/auth/sign-in/link", dict(page.form("/auth/sign-in")))
    assert reply.status == 404


# --- sessions ------------------------------------------------------------------------------


async def test_sessions_are_listed_and_ended(up: Running, guest: Browser) -> None:
    async with browser(up.base) as other:
        await other.sign_in()
        await guest.sign_in()
        page = await guest.get("/auth/sessions")
        assert "this browser" in page.text
        (number,) = re.findall(r'name="session" value="(\d+)"', page.text)
        await guest.submit(page, "/auth/sessions/end", session=number)
        assert (await other.get("/tokens")).status == 401
        assert (await guest.get("/tokens")).status == 200


async def test_all_other_sessions_are_ended_together(up: Running, guest: Browser) -> None:
    async with browser(up.base) as first, browser(up.base) as second:
        for one in (first, second, guest):
            await one.sign_in()
        page = await guest.get("/auth/sessions")
        await guest.submit(page, "/auth/sessions/end", others="yes")
        assert [(await one.get("/tokens")).status for one in (first, second, guest)] == [
            401,
            401,
            200,
        ]


async def test_a_session_ends_by_itself(up: Running, guest: Browser) -> None:
    await guest.sign_in()
    with up.db.transaction() as connection:
        connection.execute("UPDATE sessions SET expires = ?", (time.time() - 1,))
    assert (await guest.get("/tokens")).status == 401


async def test_changing_the_password_needs_the_old_one_and_ends_other_sessions(
    up: Running, guest: Browser
) -> None:
    new = "brand new words here"
    async with browser(up.base) as other:
        await other.sign_in()
        await guest.sign_in()
        page = await guest.get("/auth/sessions")
        wrong = await guest.submit(page, "/auth/password", current="wrong", password=new, again=new)
        assert "not your current password" in rough_words(wrong.text)
        assert (await other.get("/tokens")).status == 200
        done = await guest.submit(page, "/auth/password", current=PASSWORD, password=new, again=new)
        assert done.status == 303
        assert (await other.get("/tokens")).status == 401
        assert (await guest.get("/tokens")).status == 200
        again = await other.get("/auth/sign-in")
        assert (await other.submit(again, "/auth/sign-in", password=new)).status == 303


# --- pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth/sign-in", "/tokens", "/auth", "/auth/set-up"])
async def test_every_page_is_protected(guest: Browser, path: str) -> None:
    page = await guest.get(path)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action" not in policy
    assert "unsafe" not in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert "onclick" not in page.text


async def test_the_page_of_a_signed_in_owner_is_protected_too(guest: Browser) -> None:
    for path in ("/tokens", "/auth/sessions"):
        page = await guest.sign_in(path) if path == "/tokens" else await guest.get(path)
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"


def test_browsers_are_called_what_people_call_them() -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    safari = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
        " (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
    )
    assert device(firefox) == "Firefox on Linux"
    assert device(safari) == "Safari on iPhone"
    assert device("curl/8") == "Unknown browser"


@pytest.mark.parametrize("url", ["http://bridge.example/", "http://192.168.1.5:8080/"])
def test_no_password_is_asked_for_in_the_clear(tmp_path: Path, url: str) -> None:
    settings = Settings(site=Site(me="https://me.example/", repo=tmp_path))
    database = Database(tmp_path / "clear.sqlite")
    with pytest.raises(SettingsError, match="https"):
        IndieAuthServer(settings, public_url=url, database=database, fetch=GuardedFetch())
    database.close()


async def test_a_password_for_which_there_is_no_memory_is_not_called_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """argon2 needs 64 MB, and threads of its own."""
    database = Database(tmp_path / "x.sqlite")
    set_password(database, PASSWORD)

    class NoMemory:
        def hash(self, _: bytes) -> str:
            raise argon2.exceptions.HashingError("Memory allocation error")

        def verify(self, *_: object) -> bool:
            raise argon2.exceptions.VerificationError("Threading failure")

    monkeypatch.setattr(password, "_HASHER", NoMemory())
    for attempt in (
        check_password(database, PASSWORD),
        asyncio.to_thread(set_password, database, PASSWORD),
    ):
        with pytest.raises(Unavailable, match="out of memory"):
            await attempt
    database.close()


@pytest.mark.parametrize(
    # Without five characters, one hash in sixteen is that of another password.
    "damage",
    [lambda kept: kept[:-6], lambda kept: kept.replace("t=", "t=0,x="), lambda _: "é"],
)
async def test_no_password_fits_a_damaged_hash(
    damage: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(tmp_path / "x.sqlite")
    set_password(database, PASSWORD)
    row = database.one("SELECT password FROM owner")
    assert row
    with database.transaction() as connection:
        connection.execute("UPDATE owner SET password = ?", (damage(row["password"]),))
    assert not await check_password(database, PASSWORD)
    assert "owner reset" in caplog.text
    database.close()
