"""A site with a real repo, its syndicator, and networks on loopback that can be made to fail."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from git_kit import git
from partner_kit import Partner
from site_kit import Posts, posts_of
from yarl import URL

from bridge.content.file import Mf2Line, PelicanFile
from bridge.media.library import MediaLibrary
from bridge.net.fetch import GuardedFetch
from bridge.posts.commits import CommitQueue, Committer
from bridge.posts.reservations import Reservations
from bridge.settings import Settings, Site, Target
from bridge.site.messages import IndexedPost
from bridge.store import Change, Commit
from bridge.store.git import GitStore
from bridge.syndication.accounts import make_account
from bridge.syndication.compose.page import read_html
from bridge.syndication.compose.post_page import PostPage
from bridge.syndication.environment import BridgeEnvironment, FileVault
from bridge.syndication.fake.bluesky import APP_PASSWORD, DID, HANDLE
from bridge.syndication.fake.mastodon import MASTODON_TOKEN
from bridge.syndication.fake.network import FakeNetwork
from bridge.syndication.jobs.ledger import Ledger
from bridge.syndication.syndicator import Syndicator

PATIENCE = 300.0
_SESSION = web.AppKey("session", aiohttp.ClientSession)
_TOLD = {"Content-Type", "Link", "Retry-After", "RateLimit-Remaining", "RateLimit-Reset", "Date"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fault:
    """What happens to the next requests with one method and path.

    ``status`` is answered instead, or ``headers`` are added. ``lose``: it is carried out, without a
    response; ``half``: with half a response; ``hang``: it never ends or, with ``hold``, when that
    is set; ``early``: it is not carried out. ``answered`` is set afterwards.
    """

    method: str
    path: str
    count: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    words: str = "no"
    lose: bool = False
    half: bool = False
    early: bool = False
    hang: asyncio.Event | None = None
    answered: asyncio.Event | None = None
    hold: asyncio.Event | None = None


@dataclass
class Networks:
    """The fake network, served, with its faults and a list of all requests.

    With a ``partner`` all requests are forwarded to that server, unless a fault intervenes.
    """

    fake: FakeNetwork
    server: TestServer
    faults: list[Fault]
    requests: list[str]
    partner: Partner | None = None

    @property
    def toots(self) -> list[str]:
        if self.partner is not None:
            return [] if self.partner.did else self.partner.copies()
        return [each["_text"] for each in self.fake.statuses.values()]

    @property
    def skeets(self) -> list[str]:
        if self.partner is not None:
            return self.partner.copies() if self.partner.did else []
        return [each["value"].get("text", "") for each in self.fake.records.values()]

    @property
    def did(self) -> str:
        return self.partner.did if self.partner is not None else DID

    def uid(self, kind: str) -> str:
        if self.partner is not None:
            return self.partner.uid
        uids = {"mastodon": f"{self.fake.base}/@you"}
        return uids.get(kind, f"https://bsky.app/profile/{HANDLE}")

    def secret(self, kind: str) -> str:
        if self.partner is not None:
            return self.partner.secret
        return {"mastodon": MASTODON_TOKEN, "bluesky": APP_PASSWORD}[kind]


async def start_networks(partner: Partner | None = None) -> Networks:
    fake, faults, requests = FakeNetwork(), list[Fault](), list[str]()

    @web.middleware
    async def failing(request: web.Request, handler: Handler) -> web.StreamResponse:
        requests.append(f"{request.method} {request.path}")
        for fault in list(faults):
            if fault.method != request.method or fault.path not in request.path:
                continue
            fault.count -= 1
            if fault.count <= 0:
                faults.remove(fault)
            if fault.status:
                told = {"error": fault.words}
                return web.json_response(told, status=fault.status, headers=fault.headers)
            if fault.headers:
                answer = await handler(request)
                answer.headers.update(fault.headers)
                return answer
            if fault.lose:
                await handler(request)
                assert request.transport is not None
                request.transport.close()
                raise ConnectionResetError
            if fault.half:
                answer = await handler(request)
                assert isinstance(answer, web.Response)
                assert isinstance(answer.body, bytes)
                body = answer.body[: len(answer.body) // 2]
                return web.Response(body=body, content_type="application/json")
            if fault.answered is not None:
                answer = await handler(request)
                await answer.prepare(request)
                await answer.write_eof()
                fault.answered.set()
                return answer
            if fault.hang is not None:
                answer = web.Response() if fault.early else await handler(request)
                fault.hang.set()
                if fault.hold is None:
                    await asyncio.sleep(3_600)
                else:
                    await fault.hold.wait()
                return answer
        return await handler(request)

    app = fake.app(failing) if partner is None else proxy_of(partner, failing)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    fake.base = str(server.make_url("")).rstrip("/")
    return Networks(fake, server, faults, requests, partner)


def proxy_of(partner: Partner, middleware: Any) -> web.Application:
    """An application that forwards all requests to a server."""
    app = web.Application(middlewares=[middleware], client_max_size=60_000_000)

    async def session(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as app[_SESSION]:
            yield

    async def pass_on(request: web.Request) -> web.Response:
        kept = ("Authorization", "Content-Type", "Idempotency-Key", "Accept")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        url = f"{partner.url}{request.raw_path}"
        data = await request.read() if request.can_read_body else None
        async with app[_SESSION].request(
            request.method, URL(url, encoded=True), headers=headers, data=data
        ) as answer:
            told = {name: value for name, value in answer.headers.items() if name in _TOLD}
            return web.Response(body=await answer.read(), status=answer.status, headers=told)

    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", pass_on)
    return app


class FileLive:
    """Every page is live at once and shows the content of its file."""

    def __init__(self, store: GitStore) -> None:
        self._store = store
        self.live = True

    async def page(self, entry: IndexedPost, stamps: Sequence[datetime]) -> PostPage | None:
        del stamps
        head = self._store.head()
        assert head is not None
        blob = self._store.read(entry.path, head)
        if not self.live or blob is None:
            return None
        body = PelicanFile.parse(blob.data.decode(), entry.path).body
        rich, pictures = read_html(f"<p>{body.strip()}</p>", entry.url)
        return PostPage(content=rich, pictures=pictures, language="en")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Bench:
    """Everything together."""

    folder: Path
    store: GitStore
    posts: Posts
    networks: Networks
    settings: Settings
    committer: Committer
    queue: CommitQueue
    media: MediaLibrary
    fetch: GuardedFetch
    targets: tuple[Target, ...]
    live: FileLive
    clock: timedelta = timedelta()
    retries: Sequence[float] = (0.05,) * 6
    together: float = 20.0
    syndicator: Syndicator | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock

    def start(self, **settings: Any) -> Syndicator:
        """Start the bridge again with its previous state."""
        targets = [msgspec.structs.replace(each, **settings) for each in self.targets]
        ledger = Ledger(self.folder / "state" / "keep" / "syndication")
        reservations = Reservations(self.posts.reader, self.store)
        syndicator = Syndicator(
            self.store,
            self.posts.catalogue,
            self.posts.reader,
            reservations,
            self.committer,
            ledger,
            self.live,
            folder="content",
            now=self.now,
            retries=self.retries,
            looks=(0.02,) * 100,
            together=self.together,
        )
        environment = BridgeEnvironment(
            self.posts.reader, self.media, self.fetch, ledger.save, syndicator.is_taken, self.now
        )
        vault = FileVault(self.folder / "secrets.json")
        accounts = {
            each.uid: make_account(each, vault, environment, self.fetch, self.fetch)
            for each in targets
        }
        self.syndicator = syndicator
        syndicator.start(accounts)
        return syndicator

    async def stop(self) -> None:
        if self.syndicator is not None:
            await self.syndicator.close()
            self.syndicator = None

    def put(self, path: str, text: str | None) -> None:
        """Commit a file, or its deletion, as the owner."""
        head = self.store.head()
        old = self.store.read(path, head) if head else None
        change = Change(path, text.encode() if text is not None else None, old.id if old else None)
        (answer,) = self.store.commit([Commit((change,), "by hand", head)])
        assert isinstance(answer, str), answer
        if self.syndicator is not None:
            self.syndicator.changed(answer)

    def post(self, body: str = "Hello, web", *, name: str = "a", head: str = "", **mf2: Any) -> str:
        """Commit a note that requests a copy at every target; returns its path."""
        when = mf2.pop("when", None) or self.now().replace(microsecond=0)
        wanted = mf2.pop("wanted", [each.uid for each in self.targets])
        line = {"type": ["h-entry"], "properties": mf2, "title": "synthetic", "content": "text"}
        if wanted:
            line["syndicate-to"] = wanted
        text = (
            f"Title: {name}\nDate: {when.isoformat()}\nSlug: {name}\nCategory: notes\n{head}"
            f"Mf2: {json.dumps(line)}\n\n{body}\n"
        )
        path = f"content/notes/{name}.md"
        self.put(path, text)
        return path

    def edit(self, path: str, words: str) -> None:
        """Change a post's text."""
        head, _, _ = self.text(path).partition("\n\n")
        self.put(path, f"{head}\n\n{words}\n")

    def text(self, path: str) -> str:
        head = self.store.head()
        assert head is not None
        blob = self.store.read(path, head)
        return blob.data.decode() if blob else ""

    def mf2(self, path: str) -> Mf2Line:
        return Mf2Line.of(PelicanFile.parse(self.text(path), path))

    def copies(self, path: str) -> list[Any]:
        return list(self.mf2(path).properties.get("syndication", ()))

    def commits(self) -> list[str]:
        """The subjects of all commits, newest first."""
        return git(self.folder / "repo.git", "log", "--format=%s", "main").splitlines()

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.state()
            await asyncio.sleep(0.01)

    async def done(self, path: str) -> None:
        """Whether no copies are requested any more and no job is left."""
        await self.until(lambda: not self.mf2(path).syndicate_to and not self.jobs())

    async def done_with(self, path: str) -> None:
        """The same for one post."""
        await self.until(lambda: not self.mf2(path).syndicate_to)

    def jobs(self) -> list[Any]:
        return list(self.syndicator.ledger.jobs.values()) if self.syndicator else []

    def state(self) -> str:
        return f"{self.jobs()}\n{self.networks.requests[-30:]}\n{self.commits()}"


def there(bench: Bench) -> list[str]:
    """The texts of all copies."""
    return [*bench.networks.toots, *bench.networks.skeets]


async def make_bench(
    folder: Path, store: GitStore, kinds: Sequence[str], partner: Partner | None = None
) -> Bench:
    networks = await start_networks(partner)
    base = networks.fake.base
    for kind in kinds:
        (folder / kind).mkdir()
        secret = networks.secret(kind)
        (folder / kind / "account.token").write_text(secret, encoding="utf-8")
    targets = tuple(
        Target(
            uid=networks.uid(kind),
            name=kind.title(),
            type=kind,  # type: ignore[arg-type] # one of both
            server=base,
            token_file=str(folder / kind / "account.token"),
        )
        for kind in kinds
    )
    site = Site(me="https://example.com/", repo=folder / "repo.git", state=folder / "state")
    settings = Settings(site=site)
    posts = posts_of(store, folder / "index", settings, "https://bridge.example/")
    library = MediaLibrary(store, folder / "media", settings, public_url="https://bridge.example/")
    await library.start()
    queue = CommitQueue(store)
    committer = Committer(queue, posts.catalogue, library, [])
    fetch = GuardedFetch(allow_loopback=True)
    bench = Bench(
        folder, store, posts, networks, settings, committer, queue, library, fetch,
        targets, FileLive(store),
    )  # fmt: skip
    committer._listeners = [
        lambda version: bench.syndicator.changed(version) if bench.syndicator else None
    ]
    return bench


async def close_bench(bench: Bench) -> None:
    await bench.stop()
    await bench.committer.close()
    await bench.queue.close()
    await bench.posts.close()
    await bench.fetch.close()
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(bench.networks.server.close(), 2)
