"""A Pelican file as a post: what ``q=source`` returns.

Pelican's keys are the truth for what they hold, so a hand edit counts. An original value in ``Mf2``
counts as long as writing it again would give exactly what the key holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bridge.content import body, keys
from bridge.content.characters import label
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.rules import SiteRules
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, Post

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_IN_KEYS = frozenset(name for field in keys.FIELDS for name in field.properties)


def read(
    file: PelicanFile, rules: SiteRules, known: Mapping[str, Sequence[Json]] = _NOTHING
) -> Post:
    """The post in a file, whether written by the bridge or by hand. Never fails.

    ``known`` are properties that Pelican finds although no header has them: a date in the file's
    name, a title in the first heading.
    """
    mf2 = Mf2Line.of(file)
    found: dict[str, tuple[Json, ...]] = {}
    for field in keys.FIELDS:
        if field is keys.TITLE and mf2.synthetic_title:
            # A name from which no Title could be made, if there is a name at all.
            found.update(_originals(field, mf2, rules))
        else:
            found.update(_of_key(field, file, mf2, rules))
    for name, values in known.items():
        found.setdefault(name, tuple(values))
    if content := _content(file, mf2, rules):
        found["content"] = content
    for name, values in mf2.properties.items():
        if name not in _IN_KEYS and name != "content":
            found[name] = tuple(rules.media.externalise(value) for value in values)
    return Post(mf2.type, MappingProxyType(found))


def channel(file: PelicanFile) -> str | None:
    """The name of the post's Pelican category, if the file has it."""
    return (file.get("Category") or "").strip() or None


def _of_key(
    field: keys.Field, file: PelicanFile, mf2: Mf2Line, rules: SiteRules
) -> dict[str, tuple[Json, ...]]:
    """The properties of one key: the originals in ``Mf2`` unless the key was edited by hand."""
    decoded = dict(field.decode(file, rules))
    originals = _originals(field, mf2, rules)
    if not originals:
        return decoded
    whole = decoded | originals
    try:
        unchanged = field.encode(whole, file, rules) == file.get(field.key) or (
            # Earlier versions left dates in UTC as they were.
            field in {keys.DATE, keys.MODIFIED}
            and keys.is_same_moment(field, whole[field.properties[0]][0], file, rules)
        )
    except InvalidRequest:
        unchanged = False
    if unchanged:
        return whole
    return _exact_tags(decoded, originals) if field is keys.TAGS else decoded


def _exact_tags(
    decoded: dict[str, tuple[Json, ...]], originals: dict[str, tuple[Json, ...]]
) -> dict[str, tuple[Json, ...]]:
    """The tags of a list that was edited by hand; those that are unchanged are as they were
    sent.
    """
    sent = {label(tag): tag for tag in originals["category"] if isinstance(tag, str)}
    return {name: tuple(sent.get(str(tag), tag) for tag in tags) for name, tags in decoded.items()}


def _originals(field: keys.Field, mf2: Mf2Line, rules: SiteRules) -> dict[str, tuple[Json, ...]]:
    return {
        name: tuple(rules.media.externalise(value) for value in mf2.properties[name])
        for name in field.properties
        if name in mf2.properties
    }


def _content(file: PelicanFile, mf2: Mf2Line, rules: SiteRules) -> tuple[Json, ...]:
    original = mf2.properties.get("content")
    if original and mf2.digest == body.digest(file.body):
        return original
    decoded = body.decode(file, mf2.form, rules, body.changes_of(file, mf2))
    return () if decoded is None else (decoded,)
