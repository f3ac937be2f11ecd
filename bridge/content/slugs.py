"""The slug of a new post."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from bridge.content.markup import html, note
from bridge.content.markup.characters import one_line
from bridge.content.rules import SiteView
from bridge.content.titles import ENOUGH, about_for_address, address_in_words
from bridge.micropub.post import Json, Post, Properties

_LENGTH = 60
_BYTES = 180
_WORDS = 8
_NUMBERS = 200  # posts with one slug that a number distinguishes
_NOT_ALLOWED = re.compile(r"[^\w.~-]+")


def slug_wishes(post: Post, commands: Properties, published: datetime) -> tuple[str, ...]:
    """The texts from which a new post's slug may be made, best first.

    They are the requested slug (``mp-slug``), the name, the first words of the content, what the
    post is about, and the date, which always gives a slug.
    """
    wishes = (
        _first_text(commands.get("slug", ())),
        post.text("name"),
        _first_words(post),
        about_for_address(post) or _first_address(post),
        published.strftime("%Y-%m-%d-%H%M%S"),
    )
    return tuple(wish for wish in wishes if wish)


def first_slug(wishes: Iterable[str], site: SiteView) -> str:
    """The slug of the first text that gives one: one path segment, or ``""``."""
    return next(filter(None, (_slug(wish, site) for wish in wishes)), "")


def wished_slug(commands: Properties, site: SiteView) -> str | None:
    """The slug that the client requests, if it does and anything of it is left."""
    wish = _first_text(commands.get("slug", ()))
    return (_slug(wish, site) or None) if wish else None


def candidates(slug: str, stamp: str = "") -> Iterator[str]:
    """``slug``, ``slug-2``, ``slug-3`` and so on, to try until one is free; a finite number.

    ``stamp`` (digits of the post's time) gives a second series, for sites where years of posts with
    the same words have used up the first.
    """
    for base in (slug, f"{slug}-{stamp}") if stamp else (slug,):
        yield base
        for number in range(2, _NUMBERS + 1):
            yield f"{base}-{number}"


def _first_text(values: tuple[object, ...]) -> str:
    return next((value for value in values if isinstance(value, str)), "")


def _first_words(post: Post) -> str:
    """The first words of the content, without URLs."""
    content = post.first("content") or post.first("summary")
    if isinstance(content, str):
        content = note.plain(content[:ENOUGH])
    words = note.with_urls(_plain(content), lambda _: " ").split()
    return " ".join(words[:_WORDS])


def _first_address(post: Post) -> str:
    """The first URL of the content, in words."""
    found: list[str] = []

    def collect(url: str) -> str:
        found.append(url)
        return url

    note.with_urls(_plain(post.first("content")), collect)
    return address_in_words(found[0]) if found else ""


def _plain(content: Json) -> str:
    if isinstance(content, dict):
        found = content.get("html")
        if isinstance(found, str):
            return html.plain(found).strip() or html.first_visible_element(found)[1]
        content = content.get("value")
    return content if isinstance(content, str) else ""


def _slug(wish: str, site: SiteView) -> str:
    """A slug by the site's rules and then by ours, since Pelican puts it into a path unchanged."""
    # "C++" and "C#" are names; without this both would become "c".
    spelled = re.sub(r"(?<=\w)#", "-sharp", re.sub(r"(?<=[A-Za-z])\+(?:\+)?", _plus, wish))
    slug = site.slugify(re.sub(r"[/\\.]+", "-", one_line(spelled)))
    slug = re.sub(r"-{2,}", "-", _NOT_ALLOWED.sub("-", slug)).strip("-._~")
    if len(slug) > _LENGTH:
        slug = slug[: _LENGTH + 1].rpartition("-")[0] or slug[:_LENGTH]
    while len(slug.encode()) > _BYTES:
        slug = slug[:-1]
    return slug.strip("-._~")


def _plus(match: re.Match[str]) -> str:
    return "-plus" * len(match.group())
