"""``/desk/``: the posts, newest first; drafts, what is scheduled, and the bin."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from urllib.parse import urlencode

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from bridge.content.markup import html
from bridge.content.markup.note import plain
from bridge.content.titles_and_slugs import about
from bridge.desk.compose.fields import KINDS
from bridge.desk.compose.values import words_of
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner
from bridge.micropub.post import Post
from bridge.micropub.query import Query, page_name, parse_query
from bridge.pages.language import translated
from bridge.site.messages import IndexedPost, Source

_ROWS = 25
#: How many deleted files a page of the bin looks through; the next page continues from there.
_LOOKED_AT = 20
_LINE = 160
#: Types of posts that the desk has no form for.
_KINDS = {"product": "Product", "resume": "Resume"}
_TABS = {"all": (), "drafts": ("draft",), "scheduled": ("published", "hidden")}


class Row(Struct, frozen=True):
    """One post of the list. ``later`` are the seconds until it is published."""

    url: str
    kind: str
    title: str
    published: float
    status: str
    tags: Sequence[str] = ()
    photo: str = ""
    later: float = 0
    left_out: str = ""
    deleted: float | None = None


async def show(owner: Owner) -> web.StreamResponse:
    """GET: posts by kind, by status, by their words (``show post-type search after before``)."""
    desk, parameters = owner.request.app[DESK], owner.request.query
    await desk.catalogue.refresh()
    tab = parameters.get("show", "all")
    if tab == "bin":
        return await _bin(owner, desk)
    tab = tab if tab in _TABS else "all"
    query = parse_query([("q", "source"), *parameters.items(), ("limit", str(_ROWS))])
    kind = parameters.get("post-type", "")
    later_than = desk.now() if tab == "scheduled" else None
    found = desk.catalogue.index.newest(
        limit=_ROWS + 1,
        after=query.after,
        before=query.before,
        types=query.post_types,
        statuses=_TABS[tab],
        text=query.filter,
        later_than=later_than,
    )
    shown = found[-_ROWS:] if query.before is not None else found[:_ROWS]
    kept = {
        "show": tab if tab != "all" else "",
        "search": query.filter,
        "post-type": kind,
    }
    older, newer = _paging(query, shown, kept, more=len(found) > _ROWS)
    return owner.page(
        "desk/posts.html",
        rows=await _rows(desk, shown),
        tab=tab,
        counts=desk.catalogue.index.counts(desk.now()),
        in_submodules=desk.catalogue.separate.count,
        search=query.filter,
        kind=kind,
        kinds=KINDS.values(),
        desk_url=f"{desk.public_url}desk/",
        older=older,
        newer=newer,
    )


def _paging(
    query: Query, shown: Sequence[IndexedPost], kept: Mapping[str, str | None], *, more: bool
) -> tuple[str, str]:
    """The addresses of the older and the newer page; empty if there is none."""
    if not shown:
        return "", ""
    first, last = shown[0], shown[-1]
    is_older = more if query.before is None else True
    is_newer = more if query.before is not None else query.after is not None
    kept = {name: value for name, value in kept.items() if value}

    def address(name: str, entry: IndexedPost) -> str:
        return "/desk/?" + urlencode({**kept, name: page_name((entry.published, entry.path))})

    return address("after", last) if is_older else "", address("before", first) if is_newer else ""


async def _rows(desk: Desk, entries: Sequence[IndexedPost]) -> list[Row]:
    posts = await desk.posts.titled(entries)
    left_out = dict(desk.rebuilder.status().left_out)
    now, own = desk.now(), f"{desk.public_url}media/"
    return [
        Row(
            url=entry.url,
            kind=_kind(entry.type),
            title=title_of(post, title),
            published=entry.published,
            status=entry.status,
            tags=entry.categories[:5],
            photo=next(
                (url for url in map(words_of, post.all("photo")) if url.startswith(own)), ""
            ),
            later=0 if entry.status == "draft" else max(0, entry.published - now),
            left_out=left_out.get(entry.path, ""),
        )
        for entry, (post, title) in zip(entries, posts, strict=True)
    ]


def _kind(name: str) -> str:
    return KINDS[name].name if name in KINDS else _KINDS.get(name, name.capitalize())


def title_of(post: Post, title: str = "") -> str:
    """One line for a post: its name, or its file's ``title``, its first words, or what it is
    about.
    """
    content = post.first("content")
    markup = content.get("html") if isinstance(content, dict) else None
    words = html.plain(markup) if isinstance(markup, str) else plain(words_of(content))
    line = (
        post.text("name")
        or title
        or " ".join((words or post.text("summary") or "").split())
        or about(post, {})
        or translated("Without words")
    )
    return line if len(line) <= _LINE else f"{line[: _LINE - 1].rstrip()}…"


async def _bin(owner: Owner, desk: Desk) -> web.Response:
    """Deleted posts, the last deleted first, without those that were restored."""
    start = owner.number("from", 0)
    rows, more = await _deleted(desk, start)
    return owner.page(
        "desk/posts.html",
        rows=rows,
        tab="bin",
        counts=desk.catalogue.index.counts(desk.now()),
        in_submodules=desk.catalogue.separate.count,
        search="",
        kind="",
        kinds=KINDS.values(),
        desk_url=f"{desk.public_url}desk/",
        older=f"/desk/?show=bin&from={start + _LOOKED_AT}" if more else "",
        newer=f"/desk/?show=bin&from={max(0, start - _LOOKED_AT)}" if start else "",
    )


async def _deleted(desk: Desk, start: int) -> tuple[list[Row], bool]:
    head = await desk.catalogue.refresh()

    def look() -> tuple[list[Source], list[float], bool]:
        removed = desk.catalogue.index.removed(head)
        found = list(islice(removed, start, start + _LOOKED_AT + 1))
        seen = found[:_LOOKED_AT]
        blobs = desk.store.blobs(gone.blob for _, gone in seen)
        pairs = zip(seen, blobs, strict=True)
        files = [Source(path, blob.id, blob.data) for (path, _), blob in pairs]
        return files, [gone.time for _, gone in seen], len(found) > _LOOKED_AT

    files, times, more = await asyncio.to_thread(look)
    described = zip(await desk.catalogue.site.describe(files), times, strict=True)
    index = desk.catalogue.index
    gone = [
        (each, time)
        for each, time in described
        if isinstance(each, IndexedPost) and index.find(each.url) is None
    ]
    rows = await _rows(desk, [entry for entry, _ in gone])
    return [replace(row, deleted=time) for row, (_, time) in zip(rows, gone, strict=True)], more
