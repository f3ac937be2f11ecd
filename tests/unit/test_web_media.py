"""The media endpoint, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from media_samples import OTHER_KINDS, REFUSED, exif, jpeg, moving

from bridge.auth.token import Token
from bridge.errors import Conflict, InvalidToken
from bridge.media.library import MediaLibrary
from bridge.posts.attachments import Orphans
from bridge.settings import Media, Settings, Site
from bridge.store import Change, Commit
from bridge.store.memory_store import MemoryStore
from bridge.web.media import MediaHandlers
from bridge.web.middleware import render_errors
from bridge.web.request import Gate

ME = "https://example.org/"
BASE = "https://bridge.example/media/"
MAX = 200_000
Client: TypeAlias = TestClient[web.Request, web.Application]
Connect: TypeAlias = Callable[[web.Application], Awaitable[Client]]


class Words:
    """A verifier for which a token is its own list of scopes."""

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        if token == "bad":
            raise InvalidToken("No such token.")
        return Token(me=ME, scopes=frozenset(token.split("+")), client_id="https://app.example/")


class Committer:
    """Commits at once, or reports a conflict if told to."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.messages: list[str] = []
        self.refuses = False

    async def commit_media(self, changes: Sequence[Change], message: str) -> None:
        if self.refuses:
            raise Conflict("someone was faster")
        (answer,) = self._store.commit([Commit(tuple(changes), message, self._store.head())])
        assert isinstance(answer, str), answer
        self.messages.append(message)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def committer(store: MemoryStore) -> Committer:
    return Committer(store)


@pytest.fixture
async def library(store: MemoryStore, tmp_path: Path) -> MediaLibrary:
    settings = Settings(site=Site(me=ME, repo=tmp_path), media=Media(max_bytes=MAX))
    library = MediaLibrary(store, tmp_path, settings, public_url="https://bridge.example")
    await library.start()
    return library


@pytest.fixture
async def client(
    library: MediaLibrary, committer: Committer, aiohttp_client: Connect, tmp_path: Path
) -> Client:
    gate = Gate(Words(), Settings(site=Site(me=ME, repo=tmp_path)))
    handlers = MediaHandlers(library, gate, committer, max_bytes=MAX)
    app = web.Application(middlewares=[render_errors])
    app.router.add_post("/media", handlers.post)
    app.router.add_get("/media", handlers.get)
    app.router.add_get("/media/{path:.*}", handlers.serve)
    return await aiohttp_client(app)


def form(data: bytes, name: str = "file", filename: str | None = "sea.jpg", **more: str) -> object:
    parts = aiohttp.FormData(more)
    parts.add_field(name, data, filename=filename, content_type="text/html")
    return parts


def bearer(scopes: str = "media") -> dict[str, str]:
    return {"Authorization": f"Bearer {scopes}"}


async def upload(client: Client, data: bytes, filename: str = "sea.jpg", **more: str) -> str:
    """The path of an uploaded file's URL."""
    answer = await client.post(
        "/media", data=form(data, filename=filename, **more), headers=bearer()
    )
    assert answer.status == 201, await answer.text()
    location = answer.headers["Location"]
    assert await answer.json() == {"url": location}
    assert location.startswith(BASE)
    return location.removeprefix("https://bridge.example")


async def test_an_upload_is_served_at_its_location_at_once(client: Client) -> None:
    path = await upload(client, jpeg())
    answer = await client.get(path)
    assert answer.status == 200
    assert await answer.read() == jpeg()
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Length"] == str(len(jpeg()))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "immutable" in answer.headers["Cache-Control"]
    assert "Content-Disposition" not in answer.headers
    # A script of an app may read it, too.
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_head_has_the_same_headers_without_a_body(client: Client) -> None:
    path = await upload(client, jpeg())
    got, head = await client.get(path), await client.head(path)
    assert head.status == 200
    assert await head.read() == b""
    same = ("Content-Type", "Content-Length", "ETag", "Accept-Ranges", "Cache-Control")
    assert [head.headers[name] for name in same] == [got.headers[name] for name in same]


@pytest.mark.parametrize("name", ["file", "photo", "file[]", "whatever", ""])
@pytest.mark.parametrize("filename", ["sea.jpg", "", "海 \"q'.jpg", "../../evil.html"])
async def test_any_part_name_and_file_name_will_do(
    client: Client, name: str, filename: str
) -> None:
    parts = form(jpeg(), name=name, filename=filename)
    answer = await client.post("/media", data=parts, headers=bearer())
    assert answer.status == 201, await answer.text()
    path = answer.headers["Location"].removeprefix("https://bridge.example")
    assert (await client.get(path)).headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("name", OTHER_KINDS)
async def test_every_type_is_served_with_its_media_type(client: Client, name: str) -> None:
    data, kind = OTHER_KINDS[name]
    answer = await client.get(await upload(client, data, filename="x.html"))
    assert answer.headers["Content-Type"] == kind
    assert ("Content-Disposition" in answer.headers) == (kind == "application/pdf")


@pytest.mark.parametrize("name", REFUSED)
async def test_active_content_is_refused_with_the_reason(client: Client, name: str) -> None:
    answer = await client.post("/media", data=form(REFUSED[name]), headers=bearer())
    assert answer.status == 415
    error = await answer.json()
    assert error["error"] == "invalid_request"
    assert "is not accepted here" in error["error_description"]
    assert (await (await client.get("/media?q=last", headers=bearer())).json()) == {}


async def test_the_location_is_removed_before_a_photo_is_served(client: Client) -> None:
    path = await upload(client, jpeg(exif=exif()))
    assert b"GPS-SECRET" not in await (await client.get(path)).read()


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 401, "unauthorized"),
        (bearer("bad"), 401, "invalid_token"),
        (bearer("update"), 403, "insufficient_scope"),
        (bearer("profile"), 403, "insufficient_scope"),
    ],
)
async def test_without_the_scope_nothing_is_stored(
    client: Client, tmp_path: Path, headers: dict[str, str], status: int, error: str
) -> None:
    answer = await client.post("/media", data=form(jpeg()), headers=headers)
    assert answer.status == status
    assert (await answer.json())["error"] == error
    assert not list((tmp_path / "files").rglob("*.jpg"))


async def test_create_implies_media_and_the_token_may_be_in_the_form(client: Client) -> None:
    answer = await client.post("/media", data=form(jpeg(), access_token="create"))
    assert answer.status == 201


async def test_no_file_two_files_and_an_empty_file_have_different_errors(client: Client) -> None:
    two = aiohttp.FormData()
    two.add_field("a", jpeg(), filename="a.jpg")
    two.add_field("b", jpeg(), filename="b.jpg")
    for data in ({"file": "text"}, two, form(b"")):
        answer = await client.post("/media", data=data, headers=bearer())
        assert answer.status == 400
        assert (await answer.json())["error"] == "invalid_request"


async def test_a_file_over_the_limit_is_refused(client: Client) -> None:
    too_large = await client.post("/media", data=form(jpeg() + bytes(MAX)), headers=bearer())
    assert too_large.status == 413
    far_too_large = await client.post("/media", data=form(bytes(MAX * 3)), headers=bearer())
    assert far_too_large.status == 413


async def test_a_range_is_served(client: Client) -> None:
    path = await upload(client, jpeg())
    size = len(jpeg())
    spans = {
        "bytes=0-0": (0, 1),
        "bytes=10-19": (10, 20),
        "bytes=100-": (100, size),
        "bytes=-7": (size - 7, size),
        "bytes=5-999999": (5, size),
        "bytes=-999999": (0, size),
    }
    for header, (start, end) in spans.items():
        answer = await client.get(path, headers={"Range": header})
        assert await answer.read() == jpeg()[start:end], header
        assert answer.headers["Content-Type"] == "image/jpeg"
        if end - start < size:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"


@pytest.mark.parametrize(
    "header", ["lines=1-2", "bytes=1-2,4-5", "bytes=9-3", "bytes=x", "bytes=-"]
)
async def test_an_invalid_range_gets_the_whole_file(client: Client, header: str) -> None:
    answer = await client.get(await upload(client, jpeg()), headers={"Range": header})
    assert answer.status == 200
    assert await answer.read() == jpeg()


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=-0"])
async def test_a_range_behind_the_end_is_416(client: Client, header: str) -> None:
    answer = await client.get(await upload(client, jpeg()), headers={"Range": header})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(jpeg())}"


async def test_a_matching_etag_gets_304(client: Client) -> None:
    path = await upload(client, jpeg())
    etag = (await client.get(path)).headers["ETag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get(path, headers={"If-None-Match": given})
        assert answer.status == 304, given
        assert answer.headers["ETag"] == etag
        assert await answer.read() == b""
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status == 200


async def test_a_range_is_only_served_if_if_range_matches(client: Client) -> None:
    path = await upload(client, jpeg())
    etag = (await client.get(path)).headers["ETag"]
    part = {"Range": "bytes=0-9"}
    assert (await client.get(path, headers={**part, "If-Range": etag})).status == 206
    for other in ('"other"', f"W/{etag}", "Sat, 21 Nov 2026 18:37:00 GMT"):
        answer = await client.get(path, headers={**part, "If-Range": other})
        assert answer.status == 200
        assert await answer.read() == jpeg()


@pytest.mark.parametrize(
    "path",
    [
        "missing.jpg",
        "",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "%2Fetc/passwd",
        "a%00",
    ],
)
async def test_a_missing_file_is_404(client: Client, path: str) -> None:
    answer = await client.get(f"/media/{path}")
    assert answer.status == 404


async def test_source_lists_the_newest_first_in_pages(client: Client) -> None:
    urls = [
        "https://bridge.example" + await upload(client, jpeg(60 + i), f"n{i}.jpg", alt=f"No. {i}")
        for i in range(3)
    ]
    items = (await (await client.get("/media?q=source", headers=bearer())).json())["items"]
    assert [item["url"] for item in items] == urls[::-1]
    assert items[0].keys() == {"url", "published", "mime_type", "alt"}
    assert (items[0]["mime_type"], items[0]["alt"]) == ("image/jpeg", "No. 2")
    page = await client.get("/media?q=source&limit=1&offset=1", headers=bearer())
    assert [item["url"] for item in (await page.json())["items"]] == [urls[1]]
    # As everywhere, brackets in a parameter's name mean nothing, and numbers have bounds.
    page = await client.get("/media?q=source&limit[]=1&offset[]=2", headers=bearer())
    assert [item["url"] for item in (await page.json())["items"]] == [urls[0]]
    for wrong in ("limit=many", "limit=0", "offset=-1"):
        answer = await client.get(f"/media?q=source&{wrong}", headers=bearer())
        assert answer.status == 400


async def test_source_of_one_file_and_of_the_latest(client: Client) -> None:
    await upload(client, jpeg(), "old.jpg")
    url = "https://bridge.example" + await upload(client, moving("GIF"), "new.gif")
    one = await (
        await client.get("/media", params={"q": "source", "url": url}, headers=bearer())
    ).json()
    assert (one["url"], one["mime_type"]) == (url, "image/gif")
    last = await (await client.get("/media?q=last", headers=bearer())).json()
    assert last["url"] == url
    other = await client.get("/media", params={"q": "source", "url": url + "x"}, headers=bearer())
    assert other.status == 400


async def test_queries_need_a_token_and_a_known_q(client: Client) -> None:
    assert (await client.get("/media?q=source")).status == 401
    assert (await client.get("/media?q=source", headers=bearer("update"))).status == 200
    assert (await client.get("/media?q=nonsense", headers=bearer())).status == 400
    assert (await (await client.get("/media", headers=bearer())).json())["q"]


@pytest.mark.parametrize("where", ["form", "query", "json"])
async def test_a_file_is_deleted_by_all_kinds_of_requests(
    client: Client, library: MediaLibrary, committer: Committer, where: str
) -> None:
    path = await upload(client, jpeg())
    await Orphans(library, committer).commit(timedelta(0))
    words = {"action": "delete", "url": "https://bridge.example" + path}
    given: dict[str, Any] = {
        "form": {"data": words},
        "query": {"params": words},
        "json": {"json": words},
    }[where]
    answer = await client.post("/media", headers=bearer("delete"), **given)
    assert answer.status == 200, await answer.text()
    assert (await client.get(path)).status == 404
    assert committer.messages[-1].startswith("Delete media/")
    assert "Micropub-Client: https://app.example/" in committer.messages[-1]


async def test_deletion_needs_the_scope_and_an_own_file(client: Client) -> None:
    path = await upload(client, jpeg())
    url = "https://bridge.example" + path
    wrong = await client.post(
        "/media", data={"action": "delete", "url": url}, headers=bearer("create+update")
    )
    assert (wrong.status, (await wrong.json())["scope"]) == (403, "delete")
    for words in (
        {"action": "delete", "url": "https://bridge.example/media/../notes/a.md"},
        {"action": "delete"},
        {"action": "undelete", "url": url},
    ):
        assert (await client.post("/media", data=words, headers=bearer())).status == 400
    assert (await client.get(path)).status == 200


async def test_a_pending_upload_is_committed_after_a_while(
    library: MediaLibrary, store: MemoryStore, committer: Committer, client: Client
) -> None:
    path = await upload(client, jpeg())
    await upload(client, jpeg(80))
    orphans = Orphans(library, committer)
    await orphans.commit(timedelta(minutes=10))
    assert store.head() is None
    committer.refuses = True
    await orphans.commit(timedelta(0))
    assert store.head() is None
    committer.refuses = False
    await orphans.commit(timedelta(0))
    assert len(committer.messages) == 2
    assert committer.messages[0].startswith("Add media/")
    assert (await client.get(path)).status == 200
    await orphans.commit(timedelta(0))
    assert len(committer.messages) == 2


async def test_a_repeated_upload_becomes_the_latest(client: Client) -> None:
    """Quill's button for the last photo requests it at once."""
    old = await upload(client, jpeg(), "old.jpg")
    await upload(client, moving("GIF"), "new.gif")
    assert await upload(client, jpeg(), "again.jpg") == old
    last = await (await client.get("/media?q=last", headers=bearer())).json()
    assert last["url"] == f"https://bridge.example{old}"
    listed = await (await client.get("/media?q=source&limit=1", headers=bearer())).json()
    assert listed["items"] == [last]
