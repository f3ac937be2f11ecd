"""Applies an update to a post (Micropub 3.4). A pure function."""

from __future__ import annotations

import json
from collections.abc import Iterable

from bridge.errors import InvalidRequest
from bridge.micropub.action import Update
from bridge.micropub.post import Json, Post
from bridge.micropub.values import (
    MEDIA,
    refuse_long,
    refuse_many,
    refuse_many_files,
    refuse_many_properties,
)

#: Texts of which a post has only one. Adding a second would lose one of them.
_ONE_TEXT = frozenset({"content", "name", "summary"})

#: Properties that always have one value, if only by default: adding one sets it.
_ONE_FACT = frozenset({"published", "updated", "post-status", "visibility"})


def apply(post: Post, update: Update) -> Post:
    """The post with ``replace``, then ``add``, then ``delete`` of values carried out. Whole
    properties are deleted before that: the values that come with it for one are its new ones.

    What the update does not name stays in its place. A value that is already there is not added
    again, so a request that is sent twice changes nothing the second time, and deleting a missing
    value is no error. Raises :class:`InvalidRequest` for a second ``content``, ``name`` or
    ``summary``, for a change of nothing but an entry's ``url``, and if the post would exceed its
    limits.
    """
    old = post
    if post.type == "entry" and _names_only_a_url(update):
        raise InvalidRequest(
            "'url' is where the post lives, which the site decides: send 'mp-slug' to move the"
            " post."
        )
    post = post.with_properties(dict.fromkeys(update.delete_properties, ()))
    post = post.with_properties(
        {name: values for name, values in update.replace.items() if _is_ours(post, name)}
    )
    for name, values in update.add.items():
        if _is_ours(post, name):
            post = post.with_properties({name: _added(name, post.all(name), values)})
    for name, unwanted in update.delete_values.items():
        post = post.with_properties({name: _without(name, post.all(name), unwanted)})
    if post.all("visibility") == ("public",) and old.all("visibility") != ("public",):
        # This is the default, which is not stored.
        post = post.with_properties({"visibility": ()})
    _refuse_growth(old, post)
    return post


def _refuse_growth(old: Post, new: Post) -> None:
    """Raise if the update makes the post too large; one that was too large before may stay so."""
    counts = {name: len(values) for name, values in new.properties.items()}
    grown = {name for name, count in counts.items() if count > len(old.all(name))}
    for name in grown:
        refuse_many(name, counts[name])
        refuse_long(name, new.all(name))
    if not grown.isdisjoint(MEDIA):
        refuse_many_files(counts)
    if len(counts) > len(old.properties):
        refuse_many_properties(len(counts))


def _names_only_a_url(update: Update) -> bool:
    named = {*update.replace, *update.add, *update.delete_values, *update.delete_properties}
    return named == {"url"} and not update.commands


def _is_ours(post: Post, name: str) -> bool:
    """Whether an update can change a property: not an entry's ``url``, which is where the post
    lives.
    """
    return name != "url" or post.type != "entry"


def _added(name: str, present: tuple[Json, ...], values: tuple[Json, ...]) -> tuple[Json, ...]:
    if name in _ONE_FACT:
        return values
    known = {_fingerprint(value) for value in present}
    given = {_fingerprint(value): value for value in values}
    new = tuple(value for fingerprint, value in given.items() if fingerprint not in known)
    if name in _ONE_TEXT and present and new:
        raise InvalidRequest(f"The post has a '{name}' already: use 'replace' to change it.")
    return present + new


def _without(name: str, present: tuple[Json, ...], unwanted: Iterable[Json]) -> tuple[Json, ...]:
    gone = {_identity(name, value) for value in unwanted}
    return tuple(value for value in present if _identity(name, value) not in gone)


def _identity(name: str, value: Json) -> str:
    """The key by which values are compared: of a photo its URL, whatever its alt text."""
    if isinstance(value, dict) and (name in MEDIA or name == "content"):
        value = value.get("value") or value.get("html")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = json.dumps(value)
    return _fingerprint(value.strip() if isinstance(value, str) and name in MEDIA else value)


def _fingerprint(value: Json) -> str:
    return json.dumps(value, sort_keys=True)
