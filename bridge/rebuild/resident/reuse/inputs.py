"""Compares the inputs of a page with those of the build before.

Each thing that a template may read (a post, a list of posts, a variable) has a number in every
build: the same number as in the last build exactly if it is equal to what it was then. So a page is
up to date if the things that it depends on have the numbers that they had.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican.contents import Content
from pelican.paginator import Page, Paginator
from pelican.urlwrappers import URLWrapper
from pelican.utils import SafeDatetime

from bridge.rebuild.resident.pelican.plugins import is_known
from bridge.rebuild.resident.pelican.reading import stamp
from bridge.rebuild.resident.reuse.trace import SiteList, Trace, read_again
from bridge.rebuild.resident.reuse.trusted import has_special_methods

#: Which content object: of which kind, from which file.
ContentKey: TypeAlias = tuple[str, str]
#: What a page depends on, and the numbers of that build, in the same order. Each page has this.
Dependencies: TypeAlias = tuple[tuple[Hashable, ...], tuple[Hashable, ...]]

_PLAIN = frozenset(
    {str, int, type(None), bytes, date, datetime, SafeDatetime, time, timedelta, ZoneInfo}
)
_CONSTANT = (FunctionType, BuiltinFunctionType, ModuleType, type)
#: What differs from build to build without any page depending on it.
_PRIVATE = frozenset({"settings", "_context", "_output_location_referenced", "is_valid"})
_WRAPPER = frozenset({"settings", "_name", "_slug", "_slug_from_name", "name", "slug"})


class Opaque(Exception):
    """A value that cannot be compared with what it was in an earlier build."""


class ValueNumbering:
    """Gives equal values of the same thing the same number, in all builds."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)
        self._known: dict[Hashable, tuple[int, Any]] = {}
        self._things: dict[Hashable, Hashable] = {}

    def number(self, thing: Hashable, value: Any) -> int:
        """The number of a thing with this value."""
        known = self._known.get(thing)
        if known is not None and known[1] == value:
            return known[0]
        number = next(self._counter)
        self._known[thing] = (number, value)
        return number

    def same(self, thing: Hashable) -> Hashable:
        """One object for equal things, shared by all pages that depend on it."""
        return self._things.setdefault(thing, thing)

    def keep_only(self, things: Iterable[Hashable]) -> None:
        """Forget all others."""
        wanted = set(things)
        for thing in self._known.keys() - wanted:
            del self._known[thing]
        self._things.clear()


@dataclass(frozen=True, slots=True)
class _Gone:
    """The value of something that does not exist."""


_GONE = _Gone()


class BuildInputs:
    """Everything that the pages of one build may depend on.

    ``context`` is what templates find by name, ``lists`` are the site's by name. ``links_of``
    gives a post's text with its links to other posts and files resolved, ``None`` where it has
    no such links.
    """

    def __init__(
        self,
        numbering: ValueNumbering,
        context: Mapping[str, Any],
        lists: Mapping[Hashable, SiteList],
        links_of: Callable[[Content], str | None],
    ) -> None:
        self._numbering = numbering
        self._context = context
        self._lists = lists
        self._links_of = links_of
        self._now: dict[Hashable, int | Opaque] = {}
        self._contents: dict[ContentKey, Content] = {}
        self._keys: dict[int, ContentKey] = {}
        for kind in ("generated_content", "static_content"):
            for path, content in context[kind].items():
                if content is not None:
                    self._contents[kind, path] = content
                    self._keys[id(content)] = (kind, path)

    def key(self, content: Content) -> ContentKey:
        """What this content is called in every build; raises :class:`Opaque`."""
        key = self._keys.get(id(content))
        if key is None:
            raise Opaque(f"{content!r} is not from a file of the site")
        return key

    def dependencies(self, trace: Trace, local: Mapping[str, Any]) -> Dependencies:
        """What a page depends on; raises :class:`Opaque` where that is not known.

        ``local`` are the variables that only this page has.
        """
        if trace.opaque:
            raise Opaque(trace.opaque)
        things: list[Hashable] = [("name", name) for name in trace.names]
        things += [("list", *read) for read in trace.lists]
        things += [("content", self.key(content)) for content in trace.contents.values()]
        things += [("file", path) for path in trace.files]
        things += [("mentions", path) for path in trace.mentions]
        same = tuple(map(self._numbering.same, things))
        return same, tuple(self._look(thing, local) for thing in same)

    def still(self, dependencies: Dependencies, local: Mapping[str, Any]) -> bool:
        """Whether nothing has changed that a page depends on."""
        try:
            pairs = zip(*dependencies, strict=True)
            return all(self._look(thing, local) == number for thing, number in pairs)
        except Opaque:
            return False

    def end(self) -> None:
        """The build is complete: forget things that no page of it depends on."""
        self._numbering.keep_only(self._now)

    def _look(self, thing: Any, local: Mapping[str, Any]) -> Any:
        kind, subject = thing[0], thing[1]
        if kind == "name" and subject in local:
            return self._stamp(local[subject])
        if kind == "list" and subject[0] == "local":
            items = local.get(subject[1])
            return self._stamp(_answer(items, thing[2:])) if items is not None else _GONE
        return self._number(thing)

    def _number(self, thing: Any) -> int:
        if thing not in self._now:
            try:
                self._now[thing] = self._numbering.number(thing, self._value(thing))
            except Opaque as reason:
                self._now[thing] = reason
        number = self._now[thing]
        if isinstance(number, Opaque):
            raise number
        return number

    def _value(self, thing: Any) -> Any:
        kind, subject = thing[0], thing[1]
        if kind == "file":
            return _file(subject)
        if kind == "content":
            content = self._contents.get(subject)
            return _GONE if content is None else self._content(content)
        if kind == "mentions":
            post = self._contents.get(("generated_content", subject))
            return _GONE if post is None else post.mentions.version()
        if kind == "name":
            return self._stamp(self._context[subject]) if subject in self._context else _GONE
        items = self._lists.get(subject)
        return _GONE if items is None else self._stamp(_answer(items, thing[2:]))

    def _content(self, content: Content) -> Any:
        """Everything that a template can read of a post."""
        attributes = {
            name: self._stamp(value)
            for name, value in content.__dict__.items()
            if name not in _PRIVATE
        }
        return type(content), attributes, self._links_of(content)

    def _stamp(self, value: Any) -> Any:
        """Equal to another value's stamp if and only if templates cannot distinguish the two."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is SiteList:
            return "list", value.name
        if kind is list or kind is tuple:
            return kind, [self._stamp(item) for item in value]
        if isinstance(value, Content):
            return self.key(value)
        if isinstance(value, URLWrapper) and not _speaks(kind):
            more = [
                (name, self._stamp(its))
                for name, its in value.__dict__.items()
                if name not in _WRAPPER
            ]
            return kind, value.name, value.slug, more
        if kind is dict or (isinstance(value, (dict, MappingProxyType)) and not _speaks(kind)):
            return kind, [(self._stamp(key), self._stamp(item)) for key, item in value.items()]
        if kind is set or kind is frozenset:
            return kind, sorted(repr(self._stamp(item)) for item in value)
        if kind in (bool, float, Markup):
            return kind, value
        return self._rarer(value)

    def _rarer(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, Page):
            shown = [self._stamp(item) for item in value.object_list]
            return (
                value.number,
                value.full_name,
                value.base_url,
                shown,
                self._stamp(value.paginator),
            )
        if isinstance(value, Paginator):
            return value.name, value.url, value.count, value.per_page, value.orphans
        if isinstance(value, _CONSTANT):
            return value
        if callable(value) and is_known(kind):
            # A method in another form: its result depends only on its post.
            return kind
        if _speaks(kind):
            raise Opaque(f"{kind.__name__} says by itself what it looks like")
        if isinstance(value, (Enum, PurePath)):
            return kind, value
        if is_dataclass(value):
            return kind, self._parts(value)
        if isinstance(value, tuple):
            return kind, [self._stamp(item) for item in value], self._parts(value)
        if isinstance(value, (str, int)):
            # A subclass may have further attributes.
            return kind, str(value), repr(value), self._parts(value)
        raise Opaque(f"{kind.__name__} cannot be compared")

    def _parts(self, value: Any) -> Any:
        """The attributes of an object itself."""
        names = [*getattr(value, "__dict__", ()), *_slots(type(value))]
        return [(name, self._stamp(getattr(value, name))) for name in names if hasattr(value, name)]


_speaking: dict[type, bool] = {}
_slotted: dict[type, tuple[str, ...]] = {}


def _speaks(kind: type) -> bool:
    known = _speaking.get(kind)
    if known is None:
        known = _speaking[kind] = has_special_methods(kind)
    return known


def _slots(kind: type) -> tuple[str, ...]:
    """The names of the attributes that objects of a class hold outside of a dictionary."""
    known = _slotted.get(kind)
    if known is None:
        known = _slotted[kind] = tuple(
            name
            for owner in kind.__mro__
            for name, found in vars(owner).items()
            if isinstance(found, MemberDescriptorType)
        )
    return known


def _file(path: str) -> Any:
    try:
        return stamp(path)
    except OSError:
        return _GONE


def _answer(items: list[Any], what: tuple[Any, ...]) -> Any:
    """The result of a recorded read; one of the site's lists as a plain list, to compare items."""
    answer = read_again(items, what)
    if isinstance(answer, SiteList):
        return [item for item in answer]  # noqa: C416 - a plain list
    return answer
