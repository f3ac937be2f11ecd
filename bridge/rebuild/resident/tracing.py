"""What a template looks at while it makes a page.

Jinja asks its environment for every attribute and its context for every name, so that all reads
of a template can be noted without wrapping the site's objects. Lists are read without asking
anybody; those of the site are therefore of a class of ours during output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, SupportsIndex, TypeAlias

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.tests import TESTS
from pelican.contents import Content
from pelican.paginator import Page, Paginator
from pelican.urlwrappers import URLWrapper
from pelican.utils import DateFormatter

#: The name of a list of the site's, and what was asked of it.
ListRead: TypeAlias = tuple[Hashable, ...]


@dataclass(slots=True)
class Trace:
    """The reads that went into one page.

    ``opaque`` is set where something was called that may look at anything; such a page is made
    anew in every build. ``last`` is the content that was looked at last: if the template fails,
    it is the first suspect. ``files`` were read besides, and ``derived`` written, by a plugin.
    """

    names: set[str] = field(default_factory=set)
    lists: set[ListRead] = field(default_factory=set)
    contents: dict[int, Content] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    derived: set[str] = field(default_factory=set)
    opaque: str | None = None
    last: Content | None = None

    def saw(self, content: Content) -> None:
        """A template looked at an attribute of this."""
        self.contents[id(content)] = content
        self.last = content


class _Recorder:
    """The trace of the page that is being made now."""

    def __init__(self) -> None:
        self.trace: Trace | None = None


_now = _Recorder()


class tracing:  # noqa: N801 - used as a word: ``with tracing(trace):``
    """Notes into a trace what is read meanwhile."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> Trace:
        _now.trace = self._trace
        return self._trace

    def __exit__(self, *_: object) -> None:
        _now.trace = None


def current() -> Trace | None:
    """The trace of the page that is being made, ``None`` between pages."""
    return _now.trace


class SiteList(list[Any]):
    """A list of the site's, named, that notes what is read of it. Nobody changes it any more."""

    def __init__(self, items: Iterable[Any], name: Hashable) -> None:
        super().__init__(items)
        self.name = name

    def _read(self, *what: Hashable) -> None:
        if _now.trace is not None:
            _now.trace.lists.add((self.name, *what))

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
        """How often an item is there."""
        self._read("all")
        return super().count(item)


def asked(items: list[Any], what: tuple[Any, ...]) -> Any:
    """The answer to a read that was noted, from a list as it is now."""
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


class TracingContext(Context):
    """Notes the names that a template asks for, and what it calls."""

    def resolve_or_missing(self, key: str) -> Any:
        """A variable."""
        if _now.trace is not None and key not in self.vars:
            _now.trace.names.add(key)
        return super().resolve_or_missing(key)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something for a template."""
        if _now.trace is not None and not _answers_from_what_it_has(function):
            _now.trace.opaque = f"it calls {function!r}"
        return super().call(function, *args, **kwargs)


class TracingEnvironment(Environment):
    """Notes the attributes that a template looks at; keeps what it has compiled."""

    context_class = TracingContext
    compiled: BytecodeCache | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("bytecode_cache", self.compiled)
        # Templates are those of the build's beginning: nobody need look whether they still are.
        options.setdefault("auto_reload", False)
        super().__init__(*args, **options)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute`` in a template."""
        if _now.trace is not None and isinstance(obj, Content):
            _now.trace.saw(obj)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]`` in a template."""
        if _now.trace is not None and isinstance(obj, Content):
            _now.trace.saw(obj)
        return super().getitem(obj, argument)


class CompiledTemplates(BytecodeCache):
    """Compiled templates, kept in memory: every build has environments of its own."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Any]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template what was compiled from the same source before."""
        checksum, code = self._kept.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was just compiled."""
        self._kept[bucket.key] = (bucket.checksum, bucket.code)


_PURE = tuple(
    DEFAULT_NAMESPACE[name] for name in ("range", "dict", "cycler", "joiner", "namespace")
)
_PLAIN = (str, bytes, int, float, list, tuple, dict, set, frozenset, date)
_SITE = (Content, URLWrapper, Page, Paginator, BlockReference, LoopContext)


def _answers_from_what_it_has(function: Any) -> bool:
    """Whether a call can only use what the template has looked at, or its own object has."""
    if isinstance(function, (Macro, BlockReference, LoopContext)):
        return True
    if any(function is pure for pure in _PURE):
        return True
    owner = getattr(function, "__self__", None)
    return isinstance(owner, (*_PLAIN, *_SITE)) or type(owner).__module__ == "jinja2.utils"


def trace_functions(environment: Environment, known: Callable[[Any], bool]) -> None:
    """Have a page that uses an unknown filter or test be opaque.

    ``known`` tells the functions that use nothing but what is handed to them.
    """
    for functions, jinja in (
        (environment.filters, FILTERS),
        (environment.tests, TESTS),
    ):
        for name, function in list(functions.items()):
            if name == "attr" and function is jinja.get(name):
                functions[name] = _noting_attr(function)
            elif name == "random" or not (function is jinja.get(name) or known(function)):
                functions[name] = _noting(name, function)


def known_to_pelican(function: Any) -> bool:
    """The filters and tests that Pelican adds itself."""
    return isinstance(function, DateFormatter) or (
        isinstance(function, functools.partial)
        and getattr(function.func, "__module__", "") == "pelican.plugins._utils"
    )


def _noting(name: str, function: Any) -> Any:
    @functools.wraps(function)
    def noted(*args: Any, **kwargs: Any) -> Any:
        if _now.trace is not None:
            _now.trace.opaque = f"it uses the filter or test {name!r}"
        return function(*args, **kwargs)

    return noted


def _noting_attr(function: Any) -> Any:
    @functools.wraps(function)
    def noted(environment: Environment, obj: Any, name: str) -> Any:
        if _now.trace is not None and isinstance(obj, Content):
            _now.trace.saw(obj)
        return function(environment, obj, name)

    return noted
