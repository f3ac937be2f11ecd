"""What an index keeps of a post."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import unescape

from pelican.contents import Content

from bridge.content import dates
from bridge.content.file import Mf2Line, PelicanFile
from bridge.micropub.post import Post, discover
from bridge.site.messages import IndexedPost, Location, Source
from bridge.site.pelican.addresses import date_of

#: How much of a post a search (``filter``) looks through.
_TEXT_LENGTH = 4000
_TAG = re.compile(r"<[^<>]*>")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def indexed(
    source: Source,
    file: PelicanFile,
    post: Post,
    place: Location,
    found: dict[str, list[str]],
    *,
    aliases: Iterable[str],
    listings: Iterable[str],
) -> IndexedPost:
    """The index's entry for a post in ``file``, whose page is at ``place``.

    ``found`` are properties that are not in the file (:func:`found_beside`).
    """
    return IndexedPost(
        path=source.path,
        blob=source.blob,
        url=place.url,
        save_as=place.save_as,
        status=place.status,
        type=discover(post),
        published=(place.date or _LONG_AGO).timestamp(),
        channel=place.category,
        categories=tuple(str(each) for each in post.all("category")),
        aliases=tuple(aliases),
        listings=tuple(listings),
        text=_searched_text(post, file),
        found=found,
    )


def _searched_text(post: Post, file: PelicanFile) -> str:
    """The text that a search for posts looks through."""
    title = post.text("name") or file.get("Title") or ""
    return f"{title}\n{_about(post)}\n{file.body[:_TEXT_LENGTH]}".casefold()


def _about(post: Post) -> str:
    """The addresses and names of what a post is about: all that some posts have to be found by."""
    said: list[str] = []
    for name, values in post.properties.items():
        if name != "in-reply-to" and not name.endswith("-of"):
            continue
        for value in values:
            inner = value.get("properties") if isinstance(value, dict) else None
            parts = [*inner.values()] if isinstance(inner, dict) else [[value]]
            said += [
                text
                for part in parts
                if isinstance(part, list)
                for text in part
                if isinstance(text, str)
            ]
    return " ".join(said)[:_TEXT_LENGTH]


def found_beside(content: Content, post: Post, mf2: Mf2Line) -> dict[str, list[str]]:
    """What Pelican knows of a post that its headers do not say."""
    found: dict[str, list[str]] = {}
    title = _TAG.sub("", unescape(str(getattr(content, "title", ""))))
    if title and "name" not in post.properties and not mf2.synthetic_title:
        found["name"] = [title]
    date = date_of(content)
    if date and "published" not in post.properties:
        found["published"] = [dates.form(date)]
    tags = [str(tag) for tag in getattr(content, "tags", None) or ()]
    if tags and "category" not in post.properties:
        found["category"] = tags
    return found
