"""Which mentions are duplicates, which are not mentions at all, and author pictures."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from git_kit import git, put
from hearing_kit import FILES, POST, SITE, article, hearing
from PIL import Image
from webmention_kit import Elsewhere, elsewhere

from bridge.store.git import GitStore
from bridge.webmention import files as mention_files
from bridge.webmention.incoming import faces
from bridge.webmention.incoming.verification.parser import read
from bridge.webmention.mention import MentionTarget, folder_of, mention_of


@pytest.fixture
async def bob() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


def entry(inside: str, *, author: str = '<a class="p-author h-card" href="/">Bob</a>') -> str:
    return f'<article class="h-entry">{author}{inside}<p class="e-content">Agreed.</p></article>'


REPLY = entry(f'<a class="u-in-reply-to" href="{POST}">x</a>')
HOME = MentionTarget(POST, frozenset({"/2026/hello"}), frozenset({"example.com"}))


def shaped(page: str, source: str) -> tuple[str, str, dict[str, object]]:
    """How a page is interpreted: kind, URL, author."""
    said = read(page.encode(), source, source, POST, "text/html", "")
    mention = mention_of(said, source, POST, HOME)
    return mention.kind, mention.url, mention.entry["author"]


BRIDGY = """<!doctype html><html><head><meta charset="utf-8"></head><body>
<article class="h-entry"><span class="p-uid">tag:{uid}</span>
<time class="dt-published" datetime="2026-11-20T10:00:00+00:00">then</time>
<span class="p-author h-card"><a class="p-name u-url" href="https://social.example/@amy">Amy</a>
<img class="u-photo" src="https://social.example/amy.jpg" alt=""></span>
<a class="p-name u-url" href="{url}"></a>
{inside}
</article></body></html>"""


@pytest.mark.parametrize(
    ("path", "url", "inside", "kind"),
    [
        ("comment", "https://social.example/@amy/1",
         f'<div class="e-content p-name">Nice!</div><a class="u-in-reply-to" href="{POST}"></a>',
         "in-reply-to"),
        ("like", f"{SITE}/x#liked-by-1", f'<a class="u-like-of" href="{POST}"></a>', "like-of"),
        ("repost", "https://social.example/@amy/2", f'<a class="u-repost-of" href="{POST}"></a>',
         "repost-of"),
    ],
)  # fmt: skip
def test_bridgys_pages_are_attributed_to_the_original(
    path: str, url: str, inside: str, kind: str
) -> None:
    source = f"https://brid.gy/{path}/mastodon/@me@social.example/1/2"
    page = BRIDGY.format(uid="1", url=url, inside=inside)
    found, address, author = shaped(page, source)
    assert found == kind
    assert address == url
    assert author == {"type": "card", "name": "Amy", "url": "https://social.example/@amy"}


def test_only_a_proxy_speaks_for_another_host() -> None:
    page = BRIDGY.format(uid="1", url="https://social.example/@amy/1",
                         inside=f'<a class="u-like-of" href="{POST}"></a>')  # fmt: skip
    _, address, author = shaped(page, "https://evil.example/1")
    assert address == "https://evil.example/1"
    assert author["name"] == "Amy on evil.example"


def test_the_kind_is_that_of_the_property_pointing_at_the_post() -> None:
    like = f'<a class="u-like-of" href="{POST}"></a>'
    cite = f'<div class="u-in-reply-to h-cite"><a class="u-url" href="{POST}">x</a></div>'
    assert shaped(entry(like + cite), "https://b.example/")[0] == "like-of"
    assert shaped(entry(cite), "https://b.example/")[0] == "in-reply-to"
    alias = entry('<a class="u-like-of" href="http://example.com/2026/hello"></a>'
                  f'<a href="{POST}">y</a>')  # fmt: skip
    assert shaped(alias, "https://b.example/")[0] == "like-of"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://example.com/2026/hello/", "2026/hello"),
        ("https://example.com/hello.html", "hello"),
        ("https://example.com/a/index.html", "a"),
        ("https://example.com/", "_home"),
        ("https://example.com/caf%C3%A9/", "café"),
        ("https://example.com/gone/", "_gone"),
        ("https://example.com/..%2f..%2fetc/passwd", "etc/passwd"),
        ("https://example.com/.git/x", "git/x"),
        ("https://example.com/git~1/", "git-1"),
        ("https://example.com/\u202e/", "_"),
    ],
)
def test_folders_are_named_after_the_post_and_safe_anywhere(url: str, folder: str) -> None:
    assert folder_of(url) == folder
    assert not {"..", ".", ""} & set(folder.split("/"))


async def test_a_response_received_in_two_ways_is_stored_once(
    tmp_path: Path, bob: Elsewhere
) -> None:
    own = f'<a class="u-url" href="{bob.base}reply"></a>'
    first = bob.page("/reply", entry(f'{own}<a class="u-in-reply-to" href="{POST}">x</a>'))
    second = bob.page("/copy", entry(f'{own}<a class="u-in-reply-to" href="{POST}">x</a>'))
    async with hearing(tmp_path) as running:
        assert await running.told(first) == "shown"
        assert await running.told(second) == "shown"
        assert running.only()["wm-source"] == first, "the first keeps it"
        bob.pages["/copy"] = lambda: web.Response(status=410)
        assert await running.told(second) == "gone"
        assert len(running.files()) == 1
        bob.pages["/reply"] = lambda: web.Response(status=410)
        assert await running.told(first) == "gone"
        assert running.files() == {}


async def test_the_owners_own_posts_and_copies_are_not_mentions(
    tmp_path: Path, bob: Elsewhere
) -> None:
    copy = f"{bob.base}copy"
    line = json.dumps({"type": ["h-entry"], "properties": {"syndication": [copy]}})
    files = {**FILES, "content/hello.md": article("Hello", Slug="hello", Mf2=line)}
    async with hearing(tmp_path, files) as running:
        bob.page("/copy", REPLY)
        assert await running.told(copy) == "refused"
        assert running.files() == {}


async def test_a_post_that_moves_has_no_mention_twice(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", REPLY)
        assert await running.told(source) == "shown"
        (path,) = running.files()
        line = json.dumps({"type": ["h-entry"], "properties": {}, "aliases": ["/2026/hello/"]})
        store = GitStore(running.bare, author="Ada <ada@example.com>")
        put(store, "content/hello.md", article("Hello", Slug="moved", Mf2=line))
        store.close()
        assert await running.told(source) == "shown"
        both = REPLY.replace("</article>", f'<a href="{SITE}/2026/moved/">y</a></article>')
        bob.page("/1", both)
        assert await running.told(source, f"{SITE}/2026/moved/") == "shown"
        assert set(running.files()) == {path}


async def test_a_deleted_post_is_an_unknown_target(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", REPLY)
        assert await running.told(source) == "shown"
        store = GitStore(running.bare, author="Ada <ada@example.com>")
        put(store, "content/hello.md", None)
        store.close()
        await running.send(source, POST, 400)
        assert len(running.files()) == 1, "should the post come back, it is there"


def picture(colour: str, size: int = 400) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size // 2), colour).save(file, "PNG")
    return file.getvalue()


async def test_faces_are_small_shared_and_go_with_the_last_mention(
    tmp_path: Path, bob: Elsewhere
) -> None:
    card = (
        '<span class="p-author h-card"><a class="u-url p-name" href="/">Bob</a>'
        '<img class="u-photo" src="/bob.png" alt=""></span>'
    )
    bob.pages["/bob.png"] = lambda: web.Response(body=picture("teal"), content_type="image/png")
    async with hearing(tmp_path, faces="store") as running:
        pages = {
            "/1": entry(f'<a class="u-like-of" href="{POST}">x</a>', author=card),
            "/2": entry(f'<a class="u-in-reply-to" href="{POST}">x</a>', author=card),
        }
        for path, page in pages.items():
            assert await running.told(bob.page(path, page)) == "shown"
        (face,) = {said["author"]["photo"] for said in running.files().values()}
        assert face.startswith("{static}/media/faces/")
        path = f"content/{face.removeprefix('{static}/')}"
        store = GitStore(running.bare, author="Ada <ada@example.com>")
        head = store.head()
        assert head is not None
        blob = store.read(path, head)
        assert blob is not None
        assert len(blob.data) < 5_000
        with Image.open(io.BytesIO(blob.data)) as image:
            assert (image.format, image.size) == ("WEBP", (96, 96))
        store.close()
        assert [asked for _, asked in bob.asked].count("/bob.png") == 1
        for number, path_gone in enumerate(("/1", "/2")):
            bob.pages[path_gone] = lambda: web.Response(status=410)
            assert await running.told(f"{bob.base}{path_gone[1:]}") == "gone"
            there = git(running.bare, "ls-tree", "-r", "--name-only", "main", "content/media")
            assert bool(there) is (number == 0)


async def test_a_face_of_an_earlier_version_is_not_stored_again(
    tmp_path: Path, bob: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = '<a class="p-author h-card" href="/">Bob<img class="u-photo" src="/bob.png" alt=""></a>'
    bob.pages["/bob.png"] = lambda: web.Response(body=picture("teal"), content_type="image/png")
    monkeypatch.setattr(faces, "_RENEWED", timedelta(0))
    async with hearing(tmp_path, faces="store") as running:
        for path, prefix in (("/1", ""), ("/2", "file-")):
            monkeypatch.setattr(faces, "undated", f"{prefix}{{}}".format)
            page = entry(f'<a class="u-like-of" href="{POST}">x</a>', author=card)
            assert await running.told(bob.page(path, page)) == "shown"
        assert len({said["author"]["photo"] for said in running.files().values()}) == 1
        there = git(running.bare, "ls-tree", "-r", "--name-only", "main", "content/media")
        assert "/file-" not in there


@pytest.mark.parametrize("body", [b"<svg onload=alert(1)>", b"GIF89a", b"\x89PNG" + b"x" * 100])
async def test_an_invalid_author_picture_is_left_out(
    tmp_path: Path, bob: Elsewhere, body: bytes
) -> None:
    card = (
        '<span class="p-author h-card"><a class="u-url p-name" href="/">Bob</a>'
        '<img class="u-photo" src="/bob.png" alt=""></span>'
    )
    bob.pages["/bob.png"] = lambda: web.Response(body=body, content_type="image/png")
    async with hearing(tmp_path, faces="store") as running:
        page = entry(f'<a class="u-like-of" href="{POST}">x</a>', author=card)
        assert await running.told(bob.page("/1", page)) == "shown"
        assert "photo" not in running.only()["author"]


async def test_mentions_above_the_limit_are_only_counted(
    tmp_path: Path, bob: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mention_files, "MAX_FILES", 2)
    async with hearing(tmp_path) as running:
        for number in range(4):
            source = bob.page(f"/{number}", entry(f'<a class="u-like-of" href="{POST}">x</a>'))
            assert await running.told(source) == "shown"
        files = running.files()
        assert files.pop("2026/hello/more.json") == {"like-of": 2}
        assert len(files) == 2
        assert await running.told(source) == "shown"
        assert running.files()["2026/hello/more.json"] == {"like-of": 2}, "sent again, it is one"
    async with hearing(tmp_path) as running:
        assert await running.told(source) == "shown"
        assert running.files()["2026/hello/more.json"] == {"like-of": 2}, "after a restart, too"


async def test_a_backfed_response_is_moderated_like_any_other(
    tmp_path: Path, bob: Elsewhere
) -> None:
    del bob
    page = {"entry": {
        "url": ["https://social.example/@amy/1"], "responses": {"in-reply-to": [POST]}, "rsvp": "",
        "name": "", "text": "Hi", "links": 0, "published": "", "comments": [],
        "author": {"name": "Amy", "url": "https://social.example/@amy"},
    }}  # fmt: skip
    source = "https://social.example/@amy/1"
    mention = mention_of(page, source, POST, HOME, via="mastodon")
    async with hearing(tmp_path, approve="known") as running:
        assert await running.receiver.receive_verified(mention, source, f"{SITE}/nothing/") is None
        assert await running.receiver.receive_verified(mention, source, POST) == "pending"
        running.receiver._approve = "all"
        assert await running.receiver.receive_verified(mention, source, POST) == "approved"
        assert await running.receiver.commit_approved()
        assert running.only()["wm-via"] == "mastodon"
