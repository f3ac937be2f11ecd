"""The JSON of query responses (Micropub 3.7 and its extensions)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from bridge.micropub.post import POST_TYPES, Json, Post
from bridge.micropub.query import QUERIES, Cursor, page_name
from bridge.micropub.values import VISIBILITIES
from bridge.settings import Badge, Target

Object: TypeAlias = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel: a Pelican category, or, as a destination, the site itself."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class ListedPost:
    """A post of a list, with its URL."""

    url: str
    post: Post
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Paging:
    """Cursors of the neighbouring pages: ``after`` with older posts, ``before`` with newer ones."""

    after: Cursor | None = None
    before: Cursor | None = None


def config(
    *,
    media_endpoint: str,
    targets: Iterable[Target] = (),
    channels: Iterable[Channel] = (),
    categories: Sequence[str] = (),
    destinations: Iterable[Channel] = (),
) -> Object:
    """``q=config``: the configuration for clients (3.7.1)."""
    return {
        "media-endpoint": media_endpoint,
        **syndicate_to(targets),
        **channel(channels),
        **category(categories),
        **post_types(),
        "q": list(QUERIES),
        "visibility": list(VISIBILITIES),
        "destination": [_named(each) for each in destinations],
    }


def source(
    post: Post, names: Sequence[str] = (), *, url: str = "", slug: str = "", channel: str = ""
) -> Object:
    """``q=source`` for one post: all of it, or only the properties in ``names`` (3.7.2).

    ``url`` is where the post lives, ``slug`` the one in its file, ``channel`` its Pelican
    category. Sending them back in an update changes nothing.
    """
    commands = {"url": url, "mp-slug": slug or slug_of(url), "mp-channel": channel}
    properties = _properties(post)
    for name, value in commands.items():
        # Anything but an entry may have a URL of its own.
        if value and not (name == "url" and "url" in properties):
            properties[name] = [value]
    if not names:
        return {"type": [f"h-{post.type}"], "properties": properties, **_children(properties)}
    return {"properties": {name: properties[name] for name in names if name in properties}}


def _children(properties: Object) -> Object:
    """The nested objects without a property, which microformats2 JSON has beside the properties.
    They are removed from ``properties``.
    """
    return {"children": properties.pop("children")} if "children" in properties else {}


def _properties(post: Post) -> Object:
    return {name: list(values) for name, values in post.properties.items()}


def slug_of(url: str) -> str:
    """The slug in a post's URL: the last segment of its path."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    for ending in (".html", ".htm"):
        name = name.removesuffix(ending)
    return name


def source_list(
    items: Iterable[ListedPost], paging: Paging | None = None, names: Sequence[str] = ()
) -> Object:
    """``q=source`` without a URL: posts, newest first, each with its ``url``."""
    return {"items": [_item(item, names) for item in items], "paging": _paging(paging or Paging())}


def _item(item: ListedPost, names: Sequence[str]) -> Object:
    """A post of a list. Its ``url`` is always included, because a list is useless without it."""
    post = item.post.with_properties({"url": (item.url,)})
    properties = _properties(post)
    found: Object = {"type": [f"h-{post.type}"], "properties": properties}
    if not names:
        return found | _children(properties)
    return found | source(post, (*names, "url"), url=item.url, channel=item.channel)


def syndicate_to(targets: Iterable[Target]) -> Object:
    """``q=syndicate-to``: an empty list where there are none (3.7.3)."""
    return {"syndicate-to": [_target(target) for target in targets]}


def category(names: Sequence[str]) -> Object:
    """``q=category``: the tags in use."""
    return {"categories": list(names)}


def channel(channels: Iterable[Channel]) -> Object:
    """``q=channel``: the Pelican categories."""
    return {"channels": [_named(each) for each in channels]}


def post_types() -> Object:
    """``q=post-types``: the supported post types and their properties."""
    return {
        "post-types": [
            {
                "type": each.type,
                "name": each.name,
                "h": each.h,
                "properties": list(each.properties),
                "required-properties": list(each.required),
            }
            for each in POST_TYPES
        ]
    }


def _named(thing: Channel) -> Object:
    return {"uid": thing.uid, "name": thing.name}


def _target(target: Target) -> Object:
    badges = {"service": target.service, "user": target.user}
    described: Object = {name: _badge(badge) for name, badge in badges.items() if badge}
    if target.default:
        # Apps that support this show the target as selected.
        described["checked"] = True
    return {"uid": target.uid, "name": target.name, **described}


def _badge(badge: Badge) -> Object:
    given = {"name": badge.name, "url": badge.url, "photo": badge.photo}
    return {name: text for name, text in given.items() if text}


def _paging(paging: Paging) -> Object:
    pages = {"after": paging.after, "before": paging.before}
    return {name: page_name(cursor) for name, cursor in pages.items() if cursor is not None}
