"""A post's slug and category, which make up its address and the path of its file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from bridge.content import html, text, titles
from bridge.content.characters import label, one_line
from bridge.content.rules import SiteView
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, Post, Properties, discover

_SLUG_LENGTH = 60
_WORDS_OF_CONTENT = 8
#: The first words of a content are looked for in this many characters.
_ENOUGH = 10_000
_SLUG_BYTES = 180
_NUMBERS = 200  # posts with one slug that are told apart by a number
_NOT_IN_A_SLUG = re.compile(r"[^\w.~-]+")


def slug_wishes(post: Post, commands: Properties, published: datetime) -> tuple[str, ...]:
    """The texts from which a new post's slug may be made, best first.

    They are the client's wish (``mp-slug``), the name, the first words of the content, what the
    post is about, and the date, which always gives a slug.
    """
    wishes = (
        _first_text(commands.get("slug", ())),
        post.text("name"),
        _beginning(post),
        titles.about_for_address(post) or _first_address(post),
        published.strftime("%Y-%m-%d-%H%M%S"),
    )
    return tuple(wish for wish in wishes if wish)


def first_slug(wishes: Iterable[str], site: SiteView) -> str:
    """The slug of the first text that gives one: one path segment, or ``""``."""
    return next(filter(None, (_slug(wish, site) for wish in wishes)), "")


def wished_slug(commands: Properties, site: SiteView) -> str | None:
    """The slug that the client asks for, if it asks and anything is left of it."""
    wish = _first_text(commands.get("slug", ()))
    return (_slug(wish, site) or None) if wish else None


def candidates(slug: str, stamp: str = "") -> Iterator[str]:
    """``slug``, ``slug-2``, ``slug-3`` and so on, to be tried while they are taken; finitely many.

    ``stamp`` (digits of the post's time) gives a second series, for sites where years of posts with
    the same words have used up the first.
    """
    for base in (slug, f"{slug}-{stamp}") if stamp else (slug,):
        yield base
        for number in range(2, _NUMBERS + 1):
            yield f"{base}-{number}"


def _first_text(values: tuple[object, ...]) -> str:
    return next((value for value in values if isinstance(value, str)), "")


def _beginning(post: Post) -> str:
    """The first words of the content, without URLs."""
    content = post.first("content") or post.first("summary")
    if isinstance(content, str):
        content = text.plain(content[:_ENOUGH])
    words = text.with_urls(_plain(content), lambda _: " ").split()
    return " ".join(words[:_WORDS_OF_CONTENT])


def _first_address(post: Post) -> str:
    """The first URL of the content, in words."""
    found: list[str] = []

    def note(url: str) -> str:
        found.append(url)
        return url

    text.with_urls(_plain(post.first("content")), note)
    return titles.address_in_words(found[0]) if found else ""


def _plain(content: Json) -> str:
    if isinstance(content, dict):
        found = content.get("html")
        if isinstance(found, str):
            return html.plain(found).strip() or html.in_place_of_words(found)[1]
        content = content.get("value")
    return content if isinstance(content, str) else ""


def _slug(wish: str, site: SiteView) -> str:
    """A slug by the site's own rules, then by ours, because Pelican puts it into a path as it
    is.
    """
    # "C++" and "C#" are names; without this both would become "c".
    spelled = re.sub(r"(?<=\w)#", "-sharp", re.sub(r"(?<=[A-Za-z])\+(?:\+)?", _plus, wish))
    slug = site.slugify(re.sub(r"[/\\.]+", "-", one_line(spelled)))
    slug = re.sub(r"-{2,}", "-", _NOT_IN_A_SLUG.sub("-", slug)).strip("-._~")
    if len(slug) > _SLUG_LENGTH:
        slug = slug[: _SLUG_LENGTH + 1].rpartition("-")[0] or slug[:_SLUG_LENGTH]
    while len(slug.encode()) > _SLUG_BYTES:
        slug = slug[:-1]
    return slug.strip("-._~")


def _plus(match: re.Match[str]) -> str:
    return "-plus" * len(match.group())


def category_for(
    post: Post, commands: Properties, categories: Mapping[str, str], site: SiteView
) -> str:
    """The name of the post's Pelican category.

    ``categories`` maps post types to names; ``mp-channel`` takes precedence. Raises
    :class:`InvalidRequest` for a channel whose name cannot become an address.
    """
    channel = next((c for c in commands.get("channel", ()) if isinstance(c, str) and c.strip()), "")
    if channel:
        name = label(channel)
        if not site.can_be_category(name):
            raise InvalidRequest(f"The channel {channel[:60]!r} cannot be a category of this site.")
        return name
    kind = discover(post)
    return categories.get(kind) or categories["note"]
