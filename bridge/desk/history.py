"""``/desk/history``: the versions of a post's file; any of them can be opened in the form."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import islice
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import Owner
from bridge.pages.render import PageError
from bridge.site.messages import IndexedPost
from bridge.store import StoreError, Version

#: The number of versions listed; older ones are in the repo.
_MOST = 100
_VERSION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CLIENT = re.compile(r"^Micropub-Client: (\S+)$", re.MULTILINE)


class Revision(Struct, frozen=True):
    """One version: its time, its commit message, and who made it."""

    version: str
    time: float
    subject: str
    by: str


async def show(owner: Owner) -> web.StreamResponse:
    """GET: the versions of the post at ``url``; the text of one of them with ``at``."""
    desk, query = owner.request.app[DESK], owner.request.query
    head = await desk.catalogue.refresh()
    entry = desk.catalogue.index.find(query.get("url", ""))
    if entry is None:
        raise PageError(
            "There is no such post",
            "There is no post at this address. Deleted posts are in the bin.",
            status=404,
            link=("/desk/?show=bin", "Bin"),
        )
    at = query.get("at", "")
    return owner.page(
        "desk/history.html",
        entry=entry,
        versions=await asyncio.to_thread(_versions, desk, entry, head),
        at=at,
        text=await file_at(desk, entry, at) if at else None,
    )


def last_change(desk: Desk, entry: IndexedPost, head: Version) -> Revision | None:
    """The newest version of a post's file. Blocks; raises what the store does."""
    return next(iter(_versions(desk, entry, head, most=1)), None)


def _versions(
    desk: Desk, entry: IndexedPost, head: Version, *, most: int = _MOST
) -> Sequence[Revision]:
    log = islice(desk.store.log(head, path=entry.path), most)
    return [
        Revision(
            each.version, each.time, each.message.partition("\n")[0], _made_by(each.message, desk)
        )
        for each in log
    ]


def _made_by(message: str, desk: Desk) -> str:
    """The app that made a commit, or ``"on the desk"``; ``""`` for a commit by hand."""
    found = _CLIENT.findall(message)
    if not found:
        return ""
    if found[-1] == desk.public_url:
        return "on the desk"
    return urlsplit(found[-1]).netloc or "the bridge"


async def file_at(desk: Desk, entry: IndexedPost, at: str) -> str | None:
    """The text of a post's file in one version; ``None`` if it did not exist then."""
    if not _VERSION.fullmatch(at):
        return None
    try:
        blob = await asyncio.to_thread(desk.store.read, entry.path, Version(at))
    except StoreError:
        return None
    return None if blob is None else blob.data.decode(errors="replace")
