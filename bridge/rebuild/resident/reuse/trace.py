"""The trace of a page: everything that was read while the page was rendered.

Jinja asks its environment for every attribute and its context for every name
(:mod:`~bridge.rebuild.resident.reuse.templates`), so these reads are noted without wrapping the
site's objects. Lists are read without asking Jinja; the site's lists are therefore
:class:`SiteList` while pages are rendered.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, TypeAlias

from jinja2.runtime import Context
from pelican.contents import Content
from pelican.paginator import Page

#: The name of one of the site's lists, and what was read of it.
ListRead: TypeAlias = tuple[Hashable, ...]


@dataclass(slots=True)
class Trace:
    """The reads that went into one page.

    ``opaque`` is set where something was called that may read anything; such a page is rendered
    in every build. ``last`` is the content that was read last: if the template fails, it is the
    first suspect. ``files`` are further files that were read, ``derived`` those that a plugin
    wrote. ``listings`` are the pages of lists whose posts were read. ``mentions`` are the files of
    the posts whose mentions were read. ``contexts`` are the template's, and those of what it
    includes, which nothing has kept.
    """

    names: set[str] = field(default_factory=set)
    lists: set[ListRead] = field(default_factory=set)
    contents: dict[int, Content] = field(default_factory=dict)
    listings: list[Page] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    mentions: set[str] = field(default_factory=set)
    contexts: list[Context] = field(default_factory=list)
    derived: set[str] = field(default_factory=set)
    opaque: str | None = None
    last: Content | None = None

    def saw(self, content: Content) -> None:
        """A template read an attribute of this content."""
        self.contents[id(content)] = content
        self.last = content

    @contextmanager
    def unknown_code(self, what: str, *, given: bool) -> Iterator[None]:
        """Code that may read anything runs within the block: ``what`` says which.

        It may keep the contexts that it makes, and the template's if it is ``given`` that.
        """
        self.opaque = what
        contexts, self.contexts = self.contexts, []
        try:
            yield
        finally:
            self.contexts = [] if given else contexts

    def release(self) -> None:
        """Empty the contexts: the page is rendered.

        A context and the macros and blocks in it refer to each other, and it has all posts.
        """
        for context in self.contexts:
            context.parent = {}
            context.vars.clear()
            context.blocks.clear()
        self.contexts.clear()


class _Recorder:
    """Holds the trace of the page that is being rendered; ``None`` between pages."""

    __slots__ = ("trace",)

    def __init__(self) -> None:
        self.trace: Trace | None = None


#: One for the process, which renders one page at a time. An attribute is the cheapest way to ask.
RECORDER = _Recorder()


class tracing:  # noqa: N801 - used as a word: ``with tracing(trace):``
    """Record into a trace what is read within the block."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> Trace:
        RECORDER.trace = self._trace
        return self._trace

    def __exit__(self, *_: object) -> None:
        RECORDER.trace = None


def current() -> Trace | None:
    """The trace of the page that is being rendered, ``None`` between pages."""
    return RECORDER.trace


def is_mentions(kind: type) -> bool:
    """Whether this is the class of ``article.mentions``.

    The plugin loads mentions when they are read, so that pages that do not show them do not
    depend on them.
    """
    return (
        kind.__name__ == "PostMentions"
        and kind.__module__ == "pelican_indieauth.mentions.post_mentions"
    )


class SiteList(list[Any]):
    """One of the site's lists, with its name; records what is read of it. It never changes."""

    def __init__(self, items: Iterable[Any], name: Hashable) -> None:
        super().__init__(items)
        self.name = name

    def _read(self, *what: Hashable) -> None:
        if RECORDER.trace is not None:
            RECORDER.trace.lists.add((self.name, *what))

    def __iter__(self) -> Iterator[Any]:
        self._read("all")
        return super().__iter__()

    def __reversed__(self) -> Iterator[Any]:
        self._read("all")
        return super().__reversed__()

    def __contains__(self, item: object) -> bool:
        self._read("all")
        return super().__contains__(item)

    def __len__(self) -> int:
        self._read("length")
        return super().__len__()

    def __bool__(self) -> bool:
        self._read("any")
        return super().__len__() > 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            self._read("slice", index.start, index.stop, index.step)
        else:
            self._read("item", index)
        return super().__getitem__(index)

    def __eq__(self, other: object) -> bool:
        self._read("all")
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        self._read("all")
        return super().__ne__(other)

    __hash__ = None

    def __add__(self, other: Any) -> Any:
        self._read("all")
        return super().__add__(other)

    def __radd__(self, other: Any) -> Any:
        self._read("all")
        return other + super().copy()

    def __mul__(self, times: SupportsIndex) -> Any:
        self._read("all")
        return super().__mul__(times)

    def copy(self) -> list[Any]:
        """A plain list of the same items."""
        self._read("all")
        return super().copy()

    def index(self, *arguments: Any) -> int:
        """Where an item is."""
        self._read("all")
        return super().index(*arguments)

    def count(self, item: Any) -> int:
        """How often an item occurs."""
        self._read("all")
        return super().count(item)


def read_again(items: list[Any], what: tuple[Any, ...]) -> Any:
    """The result of a recorded read, repeated on a list as it is now."""
    kind, *rest = what
    if kind == "all":
        return items
    if kind == "length":
        return len(items)
    if kind == "any":
        return len(items) > 0
    if kind == "slice":
        return items[slice(*rest)]
    try:
        return items[rest[0]]
    except IndexError:
        return None
