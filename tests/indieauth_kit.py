"""Shared by the IndieAuth tests: a running server, and a browser-like client for its forms."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.indieauth.database import Database
from bridge.indieauth.login.browser_session import hold_server
from bridge.indieauth.login.password import hash_password, store_password
from bridge.indieauth.login.sessions import start_session
from bridge.indieauth.routes import setup
from bridge.indieauth.server import IndieAuthServer
from bridge.net.fetch import GuardedFetch
from bridge.settings import IndieAuth, Settings, Site

Pages: TypeAlias = Mapping[str, web.Response | str | Callable[[str], web.Response]]

PASSWORD = "four words in a row"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


@cache
def hashed(password: str) -> str:
    """The stored hash of a password; made once, since hashing is slow by design."""
    return hash_password(password)


def free_socket() -> socket.socket:
    """A socket bound to a free port of 127.0.0.1."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


@asynccontextmanager
async def listening(app: web.Application, bound: socket.socket | None = None) -> AsyncIterator[str]:
    """Serve an application; gives its URL without a trailing slash."""
    bound = bound or free_socket()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, bound).start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        await runner.cleanup()


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, list[tuple[str, str]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", ""), []))
        ticked = given.get("type") != "checkbox" or "checked" in given
        if tag == "input" and "name" in given and ticked and self.forms:
            self.forms[-1][1].append((given["name"], given.get("value", "")))


@dataclass
class Page:
    """A response with its body."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @property
    def answer(self) -> dict[str, str]:
        """The query of the URL that the browser is redirected to."""
        return {key: values[0] for key, values in parse_qs(urlsplit(self.location).query).items()}

    def form(self, action: str) -> list[tuple[str, str]]:
        """The fields that a browser would send from the first form with this action."""
        return self.forms(action)[0]

    def forms(self, action: str) -> list[list[tuple[str, str]]]:
        """The same of all forms with this action."""
        parser = _Forms()
        parser.feed(self.text)
        return [fields for where, fields in parser.forms if where == action]


@dataclass
class Browser:
    """Keeps cookies and fills in forms; follows no redirects by itself."""

    base: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **options: Any) -> Page:
        return await self._send("GET", path, **options)

    async def post(self, path: str, data: object = None, **options: Any) -> Page:
        return await self._send("POST", path, data=data, **options)

    async def submit(self, page: Page, action: str, **values: object) -> Page:
        """Fill in a form: a list stands for ticked boxes, ``None`` leaves a field out."""
        fields = [(name, value) for name, value in page.form(action) if name not in values]
        for name, value in values.items():
            given = value if isinstance(value, list) else [value]
            fields.extend((name, str(one)) for one in given if one is not None)
        return await self.post(action, data=fields)

    async def sign_in(self, path: str = "/tokens", password: str = PASSWORD) -> Page:
        """Sign in by password on a page that asks for it, and follow the redirect."""
        page = await self.get(path)
        done = await self.submit(page, "/auth/sign-in", password=password)
        assert done.status == 303, done.text
        return await self.get(done.location)

    def enter(self, secret: str) -> None:
        """Use the cookie of an existing session."""
        self.session.cookie_jar.update_cookies({"indieauth": secret}, URL(self.base))

    async def _send(self, method: str, path: str, **options: Any) -> Page:
        url = URL(path if path.startswith("http") else self.base + path, encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Page(response.status, response.headers.copy(), await response.text())


@asynccontextmanager
async def browser(base: str) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(base, session)


@dataclass
class Running:
    """A running built-in server."""

    base: str
    server: IndieAuthServer
    fetch: GuardedFetch = field(repr=False)

    @property
    def db(self) -> Database:
        return self.server.db


@asynccontextmanager
async def running(
    folder: Path,
    config: IndieAuth | None = None,
    *,
    me: str = "https://me.example/",
    password: str | None = PASSWORD,
    fetch: GuardedFetch | None = None,
    host: str = "127.0.0.1",
    extend: Callable[[web.Application], object] = lambda app: None,
) -> AsyncIterator[Running]:
    """The built-in server on a free port, with a password set, fetching from loopback, too.

    ``extend`` adds routes to its application.
    """
    bound = free_socket()
    base = f"http://{host}:{bound.getsockname()[1]}"
    settings = Settings(site=Site(me=me, repo=folder), indieauth=config or IndieAuth(enabled=True))
    async with fetch or GuardedFetch(allow_loopback=True) as guarded:
        database = Database(folder / "indieauth.sqlite")
        server = IndieAuthServer(settings, public_url=base, database=database, fetch=guarded)
        if password is not None:
            with server.db.transaction() as connection:
                store_password(connection, hashed(password))
        app = web.Application()
        hold_server(app, server)
        setup(app)
        extend(app)
        async with listening(app, bound):
            yield Running(base, server, guarded)
        await server.close()


@asynccontextmanager
async def client_site(pages: Pages | None = None) -> AsyncIterator[str]:
    """An app's web site: paths with their responses; ``/`` has the name Quillpen.

    A response may be a function of the site's own URL.
    """
    given: dict[str, web.Response | str | Callable[[str], web.Response]] = {
        "/": lambda base: web.json_response({"client_id": f"{base}/", "client_name": "Quillpen"}),
        **(pages or {}),
    }

    async def handler(request: web.Request) -> web.Response:
        found = given.get(request.path)
        if found is None:
            raise web.HTTPNotFound
        if callable(found):
            found = found(str(request.url.origin()))
        if isinstance(found, str):
            return web.Response(text=found, content_type="text/html")
        return web.Response(body=found.body, status=found.status, headers=found.headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with listening(app) as base:
        yield base


def asking(client: str, **changes: str | None) -> str:
    """The path of a valid authorization request by the app at ``client``, with changes."""
    values: dict[str, str | None] = {
        "response_type": "code",
        "client_id": f"{client}/",
        "redirect_uri": f"{client}/back",
        "state": "s",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "scope": "create update profile",
        **changes,
    }
    return "/auth?" + urlencode({key: value for key, value in values.items() if value is not None})


async def allowed(owner: Browser, client: str, **changes: str | None) -> str:
    """Let a signed-in owner allow a request; gives the code."""
    question = await owner.get(asking(client, **changes))
    answer = await owner.submit(question, "/auth/consent", decision="allow")
    assert answer.status == 302, answer.text
    return answer.answer["code"]


async def exchange(owner: Browser, client: str, code: str, /, **changes: str | None) -> Page:
    """Redeem a code at the token endpoint, with changes to the valid form."""
    values: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": f"{client}/",
        "redirect_uri": f"{client}/back",
        "code_verifier": VERIFIER,
        **changes,
    }
    form = {key: value for key, value in values.items() if value is not None}
    return await owner.post("/token", data=form)


def rough_words(html: str) -> str:
    """The text of a page on one line, for searching."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def random_state() -> str:
    return secrets.token_urlsafe(8)


@dataclass
class Scene:
    """A running server, an app's site, and the owner's signed-in browser."""

    running: Running
    app: str
    owner: Browser

    @property
    def server(self) -> IndieAuthServer:
        return self.running.server

    @property
    def db(self) -> Database:
        return self.running.server.db


@asynccontextmanager
async def scene(
    folder: Path,
    config: IndieAuth | None = None,
    pages: Pages | None = None,
    *,
    sign_in: bool = True,
) -> AsyncIterator[Scene]:
    """Everything that signing in to an app needs."""
    async with (
        client_site(pages) as app,
        running(folder, config) as up,
        browser(up.base) as owner,
    ):
        if sign_in:
            owner.enter(start_session(up.db, way="password", device="Test"))
        yield Scene(up, app, owner)


@asynccontextmanager
async def mailbox(opens: asyncio.Event | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A mail server that accepts everything: its port, and the received mails (subject and
    text). It says nothing until it ``opens``.
    """
    mails: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if opens is not None:
            await opens.wait()
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(raw)
                sent = mail.get_payload(decode=True)
                assert isinstance(sent, bytes)
                mails.append(f"{mail['Subject']}\n\n{sent.decode()}")
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n")
            await writer.drain()
            if verb == b"QUIT":
                break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], mails
    finally:
        server.close()
