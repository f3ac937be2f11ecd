"""The URLs that a post refers to."""

from __future__ import annotations

from collections.abc import Container, Iterator

from bridge.micropub.post import Json, Post

#: The properties whose pages are looked up.
PROPERTIES = ("in-reply-to", "like-of", "repost-of", "bookmark-of")
_MOST = 5


def targets(post: Post, known: Container[str] = ()) -> tuple[str, ...]:
    """The URLs whose context a post lacks: not in ``known``, nor described by the client."""
    values = [value for name in PROPERTIES for value in post.all(name)]
    urls = dict.fromkeys(url for value in values for url in _undescribed(value))
    return tuple(url for url in urls if url not in known)[:_MOST]


def _undescribed(value: Json) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value
    elif isinstance(value, dict) and isinstance(properties := value.get("properties"), dict):
        urls = properties.get("url")
        # An h-cite that says more than where it is needs nothing from us.
        if isinstance(urls, list) and not properties.keys() - {"url"}:
            for url in urls[:1]:
                yield from _undescribed(url)
