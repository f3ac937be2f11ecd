"""Traces what a template reads while it renders a page.

Jinja asks its environment for every attribute and its context for every name, so that all reads
of a template can be noted without wrapping the site's objects. Lists are read without asking
anybody; those of the site are therefore of a class of ours during output.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import (
    BuiltinMethodType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

import pelican.contents
import pelican.generators
import pelican.paginator
import pelican.readers
import pelican.urlwrappers
import pelican.utils
import pelican.writers
from jinja2 import BytecodeCache, Environment, Template
from jinja2.bccache import Bucket
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.environment import TemplateModule
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.tests import TESTS
from jinja2.utils import Cycler, Joiner, Namespace
from pelican.contents import Content
from pelican.paginator import Page, Paginator
from pelican.utils import DateFormatter

from bridge.rebuild.resident.pelican import contents
from bridge.rebuild.resident.reuse.opened import noting


class _Pair(NamedTuple):
    first: int


_tuplegetter: type = type(vars(_Pair)["first"])

#: The name of a list of the site's, and what was asked of it.
ListRead: TypeAlias = tuple[Hashable, ...]


@dataclass(slots=True)
class Trace:
    """The reads that went into one page.

    ``opaque`` is set where something was called that may look at anything; such a page is made
    anew in every build. ``last`` is the content that was looked at last: if the template fails,
    it is the first suspect. ``files`` were read besides, and ``derived`` written, by a plugin.
    ``listings`` are the pages of lists whose posts were looked at. ``mentions`` are the files of
    the posts for whose mentions it was asked.
    """

    names: set[str] = field(default_factory=set)
    lists: set[ListRead] = field(default_factory=set)
    contents: dict[int, Content] = field(default_factory=dict)
    listings: list[Page] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    mentions: set[str] = field(default_factory=set)
    derived: set[str] = field(default_factory=set)
    opaque: str | None = None
    last: Content | None = None

    def saw(self, content: Content) -> None:
        """A template looked at an attribute of this."""
        self.contents[id(content)] = content
        self.last = content


class UnsupportedSiteError(Exception):
    """The site is not supported by the resident build. The text says why."""


class _Recorder:
    """The trace of the page that is being made now."""

    def __init__(self) -> None:
        self.trace: Trace | None = None


_now = _Recorder()


class tracing:  # noqa: N801 - used as a word: ``with tracing(trace):``
    """Notes into a trace what is read in the meantime."""

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
    """A list of the site's, named, that notes what is read of it. No one changes it any more."""

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

    def __init__(self, environment: Environment, *args: Any, **options: Any) -> None:
        super().__init__(environment, *args, **options)
        own_undefined = not environment.undefined.__module__.startswith("jinja2.")
        if _now.trace is not None and (environment.finalize is not None or own_undefined):
            _now.trace.opaque = "a function of the site's own is asked about all that it shows"

    def resolve_or_missing(self, key: str) -> Any:
        """A variable."""
        if _now.trace is not None and key not in self.vars:
            _now.trace.names.add(key)
        return super().resolve_or_missing(key)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something for a template."""
        if _now.trace is not None and not _answers_from_what_it_has(function):
            _now.trace.opaque = f"it calls {_word(function)}"
        return super().call(function, *args, **kwargs)


class TracingTemplate(Template):
    """A template that is imported once more by each page, so that the page's trace has its reads.

    Jinja would make one module, with what it read while the first page was made, for all.
    """

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        if _now.trace is not None:
            self._module = None
        return _stateless(super()._get_default_module(ctx))

    async def _get_default_module_async(self, ctx: Context | None = None) -> TemplateModule:
        if _now.trace is not None:
            self._module = None
        return _stateless(await super()._get_default_module_async(ctx))


def _stateless(module: TemplateModule) -> TemplateModule:
    """A module without state from page to page; raises :class:`UnsupportedSiteError`."""
    for name, value in vars(module).items():
        if isinstance(value, (Cycler, Joiner, Namespace)):
            # In a clean build it goes on from page to page, in the order in which these are made.
            raise UnsupportedSiteError(
                f"{name!r} in the template {module.__name__!r} counts over all pages"
            )
    return module


class TracingEnvironment(Environment):
    """Notes the attributes that a template looks at; keeps what it has compiled.

    ``read`` is told of files that extensions of Jinja open while they parse.
    """

    context_class = TracingContext
    template_class = TracingTemplate
    compiled: BytecodeCache | None = None
    read: Callable[[Collection[str]], None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("bytecode_cache", self.compiled)
        # Templates are those of the build's beginning: no one need look whether they still are.
        options.setdefault("auto_reload", False)
        super().__init__(*args, **options)

    def compile(self, source: Any, *args: Any, **options: Any) -> Any:
        """Compile a template."""
        with noting() as opened:
            code = super().compile(source, *args, **options)
        if opened and self.read is not None:
            self.read(opened)
        return code

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute`` in a template."""
        _note_look(obj, attribute)
        return _noting_mentions(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]`` in a template."""
        _note_look(obj, argument)
        return _noting_mentions(super().getitem(obj, argument))


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
#: Whose methods and properties look at nothing but their own object. Pelican's are below.
_TRUSTED = frozenset(
    {"builtins", "datetime", "zoneinfo", "pathlib", "collections", "decimal", "fractions", "uuid",
     "jinja2", "markupsafe", "pelican_indieauth", "bridge"}
)  # fmt: skip
#: What plugins may add to, or change, and what was there before any had been loaded.
_PRISTINE: Mapping[type, Mapping[str, Any]] = {
    kind: dict(vars(kind))
    for module in (
        *(pelican.contents, pelican.urlwrappers, pelican.paginator, pelican.utils),
        *(pelican.generators, pelican.readers, pelican.writers, contents),
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__.startswith(("pelican.", contents.__name__))
}
#: Through these attributes a template sees more than the object itself.
_BEYOND_ANY = frozenset({"settings", "_context"})
_BEYOND: Mapping[type, frozenset[str]] = {Paginator: frozenset({"settings", "object_list"})}
_NOWHERE = object()


def is_mentions(kind: type) -> bool:
    """Whether this is what the plugin gives a post instead of its mentions: it looks for them when
    it is asked, so that the pages of lists do not depend on them."""
    return kind.__name__ == "OfPost" and kind.__module__ == "pelican_indieauth.mentions"


def _noting_mentions(value: Any) -> Any:
    """The one who has a post's mentions may ask them anything: even whether there are any."""
    if _now.trace is not None and is_mentions(type(value)):
        _now.trace.mentions.add(value.path)
    return value


_own: set[tuple[type, Any]] = set()


def forget_looks() -> None:
    """A build begins, in which plugins may change classes."""
    _own.clear()


def _note_look(obj: Any, name: Any) -> None:
    """A template looks at an attribute or an item."""
    trace, kind = _now.trace, type(obj)
    if trace is None or kind in _BUILT_IN:
        return
    if isinstance(obj, Content):
        trace.saw(obj)
    if type(name) is not str or (kind, name) in _own:
        return
    if isinstance(obj, Page) and name == "object_list":
        trace.listings.append(obj)
    elif name in _BEYOND.get(kind, _BEYOND_ANY) or not is_own(obj, name):
        trace.opaque = f"it looks at {name!r} of {_word(kind)}"
    elif not any(name in vars(owner) for owner in kind.__mro__):
        # It is the object's own attribute in each that has it. Plugins are through with changing
        # classes when the first page of a build is made.
        _own.add((kind, name))


def is_own(obj: Any, name: Any) -> bool:
    """Whether an attribute is part of an object, or follows from its parts by code that is known.

    A property or a method of a plugin's may look at anything; an attribute of a class or a module
    can change although no object does.
    """
    if isinstance(obj, (ModuleType, type, FunctionType, MethodType)):
        return False
    kind = type(obj)
    if not isinstance(name, str) or kind in _BUILT_IN:
        return True
    for owner in kind.__mro__:
        found = vars(owner).get(name, _NOWHERE)
        if found is not _NOWHERE:
            break
    else:
        return _is_plain_access(kind)
    if isinstance(found, (MemberDescriptorType, _tuplegetter)):
        return True
    if name in getattr(obj, "__dict__", ()) and not hasattr(type(found), "__set__"):
        return _is_plain_access(kind)
    return is_trusted(owner, name, found)


def is_trusted(owner: type, name: str, found: Any) -> bool:
    """Whether an attribute of a class is one that uses nothing but its own object."""
    pristine = _PRISTINE.get(owner)
    if pristine is not None:
        return pristine.get(name, _NOWHERE) is found
    return owner.__module__.partition(".")[0] in _TRUSTED


def replaced() -> str | None:
    """A method of Pelican's that a plugin has put one of its own in the place of.

    One with two underscores is called without being named, so that it counts even if it is new.
    """
    for kind, attributes in _PRISTINE.items():
        for name in vars(kind).keys() - attributes.keys():
            if name.startswith("__") and name not in _SILENT and callable(vars(kind)[name]):
                return f"{kind.__name__}.{name}"
        for name, was in attributes.items():
            now = vars(kind).get(name)
            if now is not was and (callable(was) or hasattr(type(was), "__get__")):
                return f"{kind.__name__}.{name}"
    return None


def speaks_for_itself(kind: type) -> bool:
    """Whether objects of a class say by code of a plugin's how they look, or what they hold."""
    return any(
        _is_written_by_hand(function)
        for owner in kind.__mro__
        for name, function in vars(owner).items()
        if name.startswith("__") and name not in _SILENT and not is_trusted(owner, name, function)
    )


#: These say nothing about an object that is there.
_SILENT = frozenset(
    {"__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__",
     "__setattr__", "__delattr__", "__del__", "__hash__", "__reduce__", "__reduce_ex__",
     "__getstate__", "__setstate__", "__copy__", "__deepcopy__", "__getnewargs__"}
)  # fmt: skip


def _is_written_by_hand(function: Any) -> bool:
    """Whether it is code, and none that ``dataclass`` or ``NamedTuple`` has made."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(inner, "__code__", None)
    if code is None:
        return isinstance(function, property)
    return not code.co_filename.startswith("<") and inner.__module__.partition(".")[0] not in {
        "dataclasses",
        "collections",
        "enum",
    }


def _is_plain_access(kind: Any) -> bool:
    """Whether no class of these has a way of its own of looking attributes up."""
    if kind.__getattribute__ is object.__getattribute__ and not (
        hasattr(kind, "__getattr__") or hasattr(kind, "__getitem__")
    ):
        return True
    return all(
        is_trusted(owner, name, vars(owner)[name])
        for owner in kind.__mro__
        for name in ("__getattr__", "__getattribute__", "__getitem__")
        if name in vars(owner)
    )


_BUILT_IN = frozenset({str, bytes, int, float, bool, list, tuple, dict, set, frozenset, type(None)})


def _word(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"


def _answers_from_what_it_has(function: Any) -> bool:
    """Whether a call can only use what the template has looked at, or its own object has."""
    if isinstance(function, (Macro, BlockReference, LoopContext)):
        return True
    if any(function is pure for pure in _PURE):
        return True
    owner = getattr(function, "__self__", None)
    if owner is None:
        return (getattr(type(function), "__module__", None) or "").startswith("jinja2.")
    if isinstance(owner, Extension):
        return False
    name = getattr(function, "__name__", "")
    if not (isinstance(function, BuiltinMethodType) or _is_method_of(owner, name, function)):
        return False
    return is_own(owner, name)


def _is_method_of(owner: Any, name: str, function: Any) -> bool:
    """Whether a method is the one that its object has by its class, not one put into it."""
    its = getattr(type(owner), name, None)
    return getattr(function, "__func__", None) is its and its is not None


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
