"""App tokens: on the page, by the command's functions, and with Micro.blog's API."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from indieauth_kit import (
    PASSWORD,
    Browser,
    Scene,
    allowed,
    browser,
    exchange,
    mailbox,
    rough_words,
    running,
    scene,
)

from bridge.auth.token import ALL_SCOPES
from bridge.errors import InvalidToken
from bridge.http.limits import Limiter
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import (
    BuiltinVerifier,
    create_token,
    list_tokens,
    revoke_token,
)
from bridge.settings import IndieAuth, KnownClient

ME = "https://me.example/"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / "tokens.sqlite")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


async def test_a_token_allows_what_it_was_made_for(db: Database) -> None:
    secret = create_token(db, "Phone", ["create", "media"])
    token = await BuiltinVerifier(db, ME).verify(secret)
    assert token.me == ME
    assert token.scopes == {"create", "media"}
    assert token.expires is None
    assert token.name == "Phone"


async def test_all_scopes_do_not_narrow_anything(db: Database) -> None:
    assert "draft" not in ALL_SCOPES
    assert {"create", "update", "delete", "undelete", "media"} <= set(ALL_SCOPES)


async def test_a_token_ends_when_it_was_made_to(db: Database) -> None:
    secret = create_token(db, "Short", ["create"], expires=time.time() - 1)
    with pytest.raises(InvalidToken):
        await BuiltinVerifier(db, ME).verify(secret)
    assert list_tokens(db) == []


async def test_revoking_by_number_and_by_name(db: Database) -> None:
    for which in (lambda: list_tokens(db)[0].id, lambda: "Phone"):
        secret = create_token(db, "Phone", ["create"])
        await BuiltinVerifier(db, ME).verify(secret)
        assert revoke_token(db, which())
        with pytest.raises(InvalidToken):
            await BuiltinVerifier(db, ME).verify(secret)
        assert not revoke_token(db, which() if list_tokens(db) else "Phone")


@pytest.mark.parametrize(
    ("name", "scopes"), [("x", []), ("x", ["root"]), ("x", ["create update"]), (" ", ["create"])]
)
def test_invalid_arguments_create_no_token(db: Database, name: str, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"scope|name"):
        create_token(db, name, scopes)


async def test_the_last_use_is_shown(db: Database) -> None:
    secret = create_token(db, "Phone", ["create"])
    assert list_tokens(db)[0].last_used is None
    await BuiltinVerifier(db, ME).verify(secret)
    assert list_tokens(db)[0].last_used == pytest.approx(time.time(), abs=60)


async def test_the_page_shows_a_new_token_once(stage: Scene) -> None:
    page = await stage.owner.get("/tokens")
    made = await stage.owner.submit(page, "/tokens", name="iA <Writer>", scope=["create"], days=30)
    assert made.status == 303
    shown = await stage.owner.get("/tokens")
    (secret,) = re.findall(r'id="secret"[^>]*>([^<]+)<', shown.text)
    assert "iA &lt;Writer&gt;" in shown.text
    token = await stage.server.verifier.verify(secret)
    assert token.scopes == {"create"}
    assert token.expires == pytest.approx(time.time() + 30 * 86400, abs=60)
    assert secret not in (await stage.owner.get("/tokens")).text


async def test_what_deletes_is_not_ticked_by_itself(stage: Scene) -> None:
    page = await stage.owner.get("/tokens")
    ticked = {value for name, value in page.form("/tokens") if name == "scope"}
    assert {"create", "update", "media"} <= ticked
    assert not {"delete", "undelete", "profile", "email"} & ticked
    # Tokens expire by default.
    assert re.findall(r'<option value="(\d+)"', page.text)[0] == "365"
    assert "not ticked by default" in page.text
    # The input is kept.
    refused = await stage.owner.submit(page, "/tokens", name="", scope=["create", "delete"])
    again = {value for name, value in refused.form("/tokens") if name == "scope"}
    assert again == {"create", "delete"}


async def test_the_page_revokes(stage: Scene) -> None:
    secret = create_token(stage.db, "Phone", ["create"])
    page = await stage.owner.get("/tokens")
    await stage.owner.submit(page, "/tokens/revoke", token=list_tokens(stage.db)[0].id)
    with pytest.raises(InvalidToken):
        await stage.server.verifier.verify(secret)


async def test_a_token_is_given_another_name(stage: Scene) -> None:
    for name in ("laptop", "laptop"):
        create_token(stage.db, name, ["create"])
    newer, older = list_tokens(stage.db)
    page = await stage.owner.get("/tokens")
    form = dict(page.form("/tokens/rename"))
    assert form["name"] == "laptop"
    fields = [("csrf", form["csrf"]), ("token", str(newer.id))]
    done = await stage.owner.post("/tokens/rename", [*fields, ("name", "<old> laptop ")])
    assert done.status == 303
    assert {each.id: each.name for each in list_tokens(stage.db)} == {
        newer.id: "<old> laptop",
        older.id: "laptop",
    }
    assert "&lt;old&gt; laptop" in (await stage.owner.get("/tokens")).text
    refused = await stage.owner.post("/tokens/rename", [*fields, ("name", " ")])
    assert refused.status == 400
    assert "Give it a name" in refused.text
    assert (await stage.owner.post("/tokens/rename", [*fields[1:], ("name", "x")])).status == 403


async def test_the_page_disconnects_an_app(stage: Scene) -> None:
    code = await allowed(stage.owner, stage.app)
    given = json.loads((await exchange(stage.owner, stage.app, code)).text)
    page = await stage.owner.get("/tokens")
    assert "Quillpen" in page.text
    (number,) = re.findall(r'name="grant" value="(\d+)"', page.text)
    await stage.owner.submit(page, "/tokens/revoke", grant=number)
    with pytest.raises(InvalidToken):
        await stage.server.verifier.verify(given["access_token"])
    assert "Quillpen" not in (await stage.owner.get("/tokens")).text


async def test_a_token_without_scope_or_name_is_explained(stage: Scene) -> None:
    page = await stage.owner.get("/tokens")
    for values, told in (
        ({"name": "x", "scope": []}, "Tick what the token may do."),
        ({"name": " ", "scope": ["create"]}, "Give the token a name."),
    ):
        refused = await stage.owner.submit(page, "/tokens", days=0, **values)
        assert refused.status == 400
        assert told in refused.text


@pytest.mark.parametrize("days", ["14", "-1", "x", "", None])
async def test_a_time_that_is_not_offered_makes_no_token(stage: Scene, days: str | None) -> None:
    page = await stage.owner.get("/tokens")
    refused = await stage.owner.submit(page, "/tokens", name="x", scope=["create"], days=days)
    assert refused.status == 400
    assert "how long" in refused.text
    assert list_tokens(stage.db) == []


async def test_only_the_owner_creates_or_revokes(stage: Scene) -> None:
    create_token(stage.db, "Phone", ["create"])
    page = await stage.owner.get("/tokens")
    fields = [*page.form("/tokens"), ("name", "x")]
    async with browser(stage.owner.base) as stranger:
        await stranger.get("/auth/sign-in")
        assert (await stranger.post("/tokens", fields)).status == 403
        assert (await stranger.post("/tokens/revoke", {"token": "1"})).status == 403
    for csrf in ("", "x"):
        assert (await stage.owner.submit(page, "/tokens", name="x", csrf=csrf)).status == 403
    assert len(list_tokens(stage.db)) == 1


# --- Micro.blog's API -----------------------------------------------------------------------


@pytest.fixture
async def blog(tmp_path: Path) -> AsyncIterator[tuple[Browser, list[str], Database]]:
    async with mailbox() as (port, mails):
        config = IndieAuth(
            name="Maren Holt",
            photo="https://me.example/photo.jpg",
            email="Maren@me.example",
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_security="none",
            clients=(
                KnownClient(id="https://blog.example/", redirect_uris=("blogapp://signin/",)),
            ),
        )
        async with running(tmp_path, config) as up, browser(up.base) as app:
            app.base = up.base
            yield app, mails, up.db
            assert up.server.mail is not None


async def sign_in(app: Browser, mails: list[str], **changes: str) -> str | None:
    """Ask for a link; returns the mailed secret, if any."""
    form = {
        "email": "maren@ME.example",
        "app_name": "Blog App",
        "redirect_url": "blogapp://signin/",
    } | changes
    before = len(mails)
    reply = await app.post("/account/signin", form)
    assert (reply.status, reply.text) == (200, "{}")
    for _ in range(200):
        if len(mails) > before:
            (link,) = re.findall(r"blogapp://signin/(\S+)", mails[-1])
            return str(link)
        if changes:
            return None
        await app.get("/.well-known/oauth-authorization-server")
    raise AssertionError("no mail came")


async def test_an_app_gets_its_token_by_mail(blog: tuple[Browser, list[str], Database]) -> None:
    app, mails, db = blog
    temporary = await sign_in(app, mails)
    reply = await app.post("/account/verify", {"token": temporary})
    body = json.loads(reply.text)
    assert body["name"] == "Maren Holt"
    assert body["username"] == "me"
    assert body["avatar"] == "https://me.example/photo.jpg"
    assert body["default_site"] == "me.example"
    token = await BuiltinVerifier(db, ME).verify(body["token"])
    assert "create" in token.scopes
    assert token.expires == pytest.approx(time.time() + 365 * 86400, abs=60)
    assert [entry.name for entry in list_tokens(db)] == ["Blog App"]
    again = await app.post("/account/verify", {"token": temporary})
    assert json.loads(again.text) == {"error": "App token was not valid."}


async def test_the_lasting_token_can_be_checked(
    blog: tuple[Browser, list[str], Database],
) -> None:
    app, mails, _ = blog
    temporary = await sign_in(app, mails)
    lasting = json.loads((await app.post("/account/verify", {"token": temporary})).text)["token"]
    again = json.loads((await app.post("/account/verify", {"token": lasting})).text)
    assert again["token"] == lasting


async def test_an_expiring_token_is_renewed(blog: tuple[Browser, list[str], Database]) -> None:
    app, mails, db = blog
    temporary = await sign_in(app, mails)
    secret = json.loads((await app.post("/account/verify", {"token": temporary})).text)["token"]
    with db.transaction() as connection:
        connection.execute("UPDATE tokens SET created = created - 9000, expires = expires - 9000")
    body = json.loads((await app.post("/account/verify", {"token": secret})).text)
    assert body["token"] == secret
    expires = (await BuiltinVerifier(db, ME).verify(secret)).expires
    assert expires == pytest.approx(time.time() + 365 * 86400, abs=60)


async def test_a_token_that_the_owner_made_to_end_is_not_renewed(
    blog: tuple[Browser, list[str], Database],
) -> None:
    app, _, db = blog
    end = time.time() + 1000
    secret = create_token(db, "For a while", ["create"], expires=end)
    with db.transaction() as connection:
        connection.execute("UPDATE tokens SET created = created - 9000")
    body = json.loads((await app.post("/account/verify", {"token": secret})).text)
    assert body["token"] == secret
    assert (await BuiltinVerifier(db, ME).verify(secret)).expires == end


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "stranger@me.example"},
        {"redirect_url": "evil://signin/"},
        {"redirect_url": "https://evil.example/"},
        {"redirect_url": "blogapp://signin/x"},
    ],
)
async def test_responses_do_not_reveal_what_was_wrong(
    blog: tuple[Browser, list[str], Database], changes: dict[str, str]
) -> None:
    app, mails, db = blog
    assert await sign_in(app, mails, **changes) is None
    assert db.all("SELECT * FROM links") == []


@pytest.mark.parametrize("email", ["maren@me.example", "stranger@me.example"])
async def test_an_invalid_name_does_not_reveal_the_owners_address(
    blog: tuple[Browser, list[str], Database], email: str
) -> None:
    app, _, _ = blog
    form = f"email={email}&app_name=%FF&redirect_url=blogapp://signin/"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await app.post("/account/signin", form, headers=headers)).status == 400


@pytest.mark.parametrize("missing", ["email", "app_name", "redirect_url"])
async def test_each_missing_field(blog: tuple[Browser, list[str], Database], missing: str) -> None:
    app, _, _ = blog
    form = {"email": "a", "app_name": "b", "redirect_url": "c"}
    del form[missing]
    reply = await app.post("/account/signin", form)
    assert reply.status == 400
    assert missing in reply.text


@pytest.mark.parametrize("token", ["", "guess", "é"])
async def test_a_bad_token(blog: tuple[Browser, list[str], Database], token: str) -> None:
    app, _, _ = blog
    reply = await app.post("/account/verify", {"token": token})
    assert json.loads(reply.text) == {"error": "App token was not valid."}


async def test_a_mailed_sign_in_is_no_way_to_an_app_token(tmp_path: Path) -> None:
    """The two kinds of mailed links are not interchangeable."""
    async with mailbox() as (port, mails):
        config = IndieAuth(
            email="a@b.example", smtp_host="127.0.0.1", smtp_port=port, smtp_security="none"
        )
        async with running(tmp_path, config) as up, browser(up.base) as guest:
            up.server.mails = Limiter(each=9, overall=9, seconds=9)
            page = await guest.get("/auth/sign-in")
            await guest.submit(page, "/auth/sign-in/link")
            assert up.server.mail is not None
            await up.server.mail.close()
            (key,) = re.findall(r"key=([\w-]+)", mails[0])
            reply = await guest.post("/account/verify", {"token": key})
            assert "not valid" in reply.text


@pytest.mark.parametrize("email", ["maren@me.example", "stranger@me.example"])
async def test_the_owners_address_costs_no_more_than_any_other(
    blog: tuple[Browser, list[str], Database], monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    """Disk writes could be measured, so there are none for either."""
    app, _, _ = blog
    statements: list[str] = []
    for name in ("transaction", "note", "all"):

        def refuse(*_: object, name: str = name) -> None:
            statements.append(name)
            raise AssertionError(name)

        monkeypatch.setattr(Database, name, refuse)
    form = {"email": email, "app_name": "Blog App", "redirect_url": "blogapp://signin/"}
    reply = await app.post("/account/signin", form)
    assert (reply.status, reply.text, statements) == (200, "{}", [])


async def test_the_answer_does_not_wait_for_the_mail(tmp_path: Path) -> None:
    opens = asyncio.Event()
    async with (
        mailbox(opens) as (port, mails),
        running(tmp_path, mailing(port)) as up,
        browser(up.base) as app,
    ):
        took: dict[str, list[float]] = {"maren": [], "stranger": []}
        for number in range(6):
            for name, times in took.items():
                form = {
                    "email": f"{name}@me.example",
                    "app_name": "App",
                    "redirect_url": "blogapp://signin/",
                }
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                begun = time.perf_counter()
                # The mail server does not answer before: this would wait for ever.
                async with asyncio.timeout(300):
                    reply = await app.post("/account/signin", form, headers=headers)
                times.append(time.perf_counter() - begun)
                assert (reply.status, reply.text) == (200, "{}")
        assert mails == []
        opens.set()
        assert up.server.mail is not None
        await up.server.mail.close()
        assert len(mails) == 6
    # Of several tries on a busy machine, the fastest says how much work there is.
    assert min(took["maren"]) < min(took["stranger"]) + 0.2


async def test_right_and_wrong_addresses_are_counted_alike(tmp_path: Path) -> None:
    async with mailbox() as (port, mails):
        config = mailing(port)
        async with running(tmp_path, config) as up, browser(up.base) as app:
            for email in ("a@me.example", "b@me.example", "c@me.example", "Maren@me.example"):
                form = {"email": email, "app_name": "App", "redirect_url": "blogapp://signin/"}
                assert (await app.post("/account/signin", form)).text == "{}"
            assert up.server.mail is not None
            await up.server.mail.close()
            # The address was correct, but wrong ones had used up the three attempts.
            assert mails == []


async def test_mails_to_apps_use_up_no_limit_that_a_stranger_sees(tmp_path: Path) -> None:
    async with (
        mailbox() as (port, mails),
        running(tmp_path, mailing(port)) as up,
        browser(up.base) as app,
    ):
        for number in range(30):
            form = {
                "email": "maren@me.example",
                "app_name": "App",
                "redirect_url": "blogapp://signin/",
            }
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            reply = await app.post("/account/signin", form, headers=headers)
            assert (reply.status, reply.text) == (200, "{}")
        page = await app.get("/auth/sign-in")
        assert (await app.submit(page, "/auth/sign-in/link")).status == 200
        assert up.server.mail is not None
        await up.server.mail.close()
        assert sum("blogapp:" in mail for mail in mails) == 10


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Micro.blog for iOS 17", "Micro blog for iOS 17"),
        (
            'Micro.blog": open https://evil.example/login to',
            "Micro blog open https evil example login",
        ),
        ("evil.example", "evil example"),
        ("evil\u3002example \uff0eorg", "evil example org"),
        ("mail@evil.example", "mail evil example"),
        ("\u202eelpmaxe\u200b\nBcc: x", "elpmaxe Bcc x"),
        ("://", "App"),
        ("हिन्दी ऐप", "हिन्दी ऐप"),
        ("x" * 500, "x" * 40),
    ],
)
async def test_a_strangers_words_in_the_owners_mail_are_letters_and_digits(
    tmp_path: Path, name: str, told: str
) -> None:
    async with (
        mailbox() as (port, mails),
        running(tmp_path, mailing(port)) as up,
        browser(up.base) as app,
    ):
        form = {
            "email": "maren@me.example",
            "app_name": name,
            "redirect_url": "blogapp://signin/",
        }
        assert (await app.post("/account/signin", form)).text == "{}"
        assert up.server.mail is not None
        await up.server.mail.close()
        (mail,) = mails
        assert f"“{told}”" in mail
        links = re.findall(r"\S+://\S*", mail)
        assert [link for link in links if not link.startswith("blogapp://signin/")] == [
            "https://me.example/.",
            "https://blog.example/.",
        ]


def mailing(port: int) -> IndieAuth:
    """A server with mail and one registered app."""
    return IndieAuth(
        email="Maren@me.example",
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_security="none",
        clients=(KnownClient(id="https://blog.example/", redirect_uris=("blogapp://signin/",)),),
    )


async def test_without_mail_the_endpoint_does_not_exist(stage: Scene) -> None:
    assert (await stage.owner.post("/account/signin", {})).status == 404


async def test_what_was_typed_for_a_token_is_still_there_after_a_mistake(stage: Scene) -> None:
    page = await stage.owner.get("/tokens")
    refused = await stage.owner.submit(page, "/tokens", name="My <phone>", scope=[], days=90)
    assert refused.status == 400
    assert 'value="My &lt;phone&gt;"' in refused.text
    assert '<option value="90" selected>' in refused.text
    assert "Tick at least one" in refused.text
    refused = await stage.owner.submit(page, "/tokens", name=" ", scope=["media"], days=7)
    assert [value for name, value in refused.form("/tokens") if name == "scope"] == ["media"]
    assert '<option value="7" selected>' in refused.text
    assert re.search(r'<input id="name"[^>]* aria-invalid="true"', refused.text)


async def test_the_empty_page_says_what_to_do_next(stage: Scene) -> None:
    arrived = (await stage.owner.get("/tokens")).text
    assert "What now?" in arrived
    assert stage.server.me in arrived
    assert 'href="/auth/sessions"' in arrived
    assert 'href="/status"' in arrived
    page = await stage.owner.get("/tokens")
    await stage.owner.submit(page, "/tokens", name="x", scope=["create"], days=0)
    assert "What now?" not in (await stage.owner.get("/tokens")).text


async def test_times_are_those_of_the_sites_clock(stage: Scene) -> None:
    stage.server.zone = lambda: ZoneInfo("Europe/Paris")
    create_token(stage.db, "x", ["create"])
    with stage.db.transaction() as connection:
        connection.execute("UPDATE tokens SET created = ?", (1795735980,))
    assert "created 27 November 2026, 00:33 CET" in rough_words(
        (await stage.owner.get("/tokens")).text
    )


async def test_passwords_that_differ_are_reported_at_their_field(stage: Scene) -> None:
    page = await stage.owner.get("/auth/sessions")
    typed = {"current": PASSWORD, "password": "a new long password", "again": "another"}
    refused = await stage.owner.submit(page, "/auth/password", **typed)
    assert refused.status == 400
    field = re.search(r'<input id="password-again"[^>]*>', refused.text)
    assert field
    assert 'aria-invalid="true" aria-describedby="password-differ"' in field[0]
    assert '<p class="problem" id="password-differ" role="alert">' in refused.text
