"""A Jinja environment that records what templates read while they render a page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jinja2 import (
    BytecodeCache,
    ChainableUndefined,
    DebugUndefined,
    Environment,
    StrictUndefined,
    Template,
    Undefined,
)
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

from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.reuse import trusted
from bridge.rebuild.resident.reuse.opened import noting
from bridge.rebuild.resident.reuse.trace import RECORDER, Trace, is_mentions
from bridge.rebuild.resident.reuse.trusted import BUILT_IN, is_own, is_own_in_every, is_own_method

#: Jinja's own ways to show what is not there.
_UNDEFINED = frozenset({Undefined, ChainableUndefined, DebugUndefined, StrictUndefined})
_PURE = tuple(
    DEFAULT_NAMESPACE[name] for name in ("range", "dict", "cycler", "joiner", "namespace")
)
#: Through these attributes a template sees more than the object itself.
_BEYOND_ANY = frozenset({"settings", "_context"})
_BEYOND: Mapping[type, frozenset[str]] = {Paginator: frozenset({"settings", "object_list"})}

#: Classes with the names of attributes whose reads need no further look. Filled in each build:
#: templates read the same few attributes of the same few classes many thousand times.
_harmless: set[tuple[type, Any]] = set()
#: Filters and tests of the site's own of constants: a clean build calls them once, and each page
#: here.
not_folded: set[str] = set()


def forget_classes() -> None:
    """Forget what is known about classes: a build begins, in which plugins may change them."""
    _harmless.clear()
    trusted.forget()


class _NotConstant(Exception):
    """A function of the site's own may return something else the next time."""


class TracingContext(Context):
    """Records the names that a template looks up, and what it calls."""

    def __init__(self, environment: Environment, *args: Any, **options: Any) -> None:
        super().__init__(environment, *args, **options)
        trace = RECORDER.trace
        if trace is not None and (
            environment.finalize is not None or environment.undefined not in _UNDEFINED
        ):
            trace.opaque = "a function of the site's own is called for everything that it shows"

    def resolve_or_missing(self, key: str) -> Any:
        """A variable."""
        if RECORDER.trace is not None and key not in self.vars:
            RECORDER.trace.names.add(key)
        return super().resolve_or_missing(key)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something for a template."""
        trace = RECORDER.trace
        if trace is None or _reads_only_its_own(function):
            return super().call(function, *args, **kwargs)
        with trace.unknown_code(f"it calls {_name_of(function)}", given=True):
            return super().call(function, *args, **kwargs)


class TracingTemplate(Template):
    """A template that each page imports anew, so that the page's trace has its reads.

    Jinja would make one module for all pages, with what the first page read.
    """

    def new_context(
        self,
        vars: dict[str, Any] | None = None,  # noqa: A002 - Jinja's name
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - Jinja's name
    ) -> Context:
        """A context, noted in the trace unless it is kept: a module's own, or one that the site's
        own code is given for everything that is shown.
        """
        context = super().new_context(vars, shared, locals)
        is_kept = vars is None or self.environment.finalize is not None
        if not is_kept and RECORDER.trace is not None:
            RECORDER.trace.contexts.append(context)
        return context

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        if RECORDER.trace is not None:
            self._module = None
        return _stateless(super()._get_default_module(ctx))

    async def _get_default_module_async(self, ctx: Context | None = None) -> TemplateModule:
        if RECORDER.trace is not None:
            self._module = None
        return _stateless(await super()._get_default_module_async(ctx))


def _stateless(module: TemplateModule) -> TemplateModule:
    """The module; raises :class:`UnsupportedSiteError` where it keeps state between pages."""
    for name, value in vars(module).items():
        if isinstance(value, (Cycler, Joiner, Namespace)):
            # In a clean build it goes on from page to page, in the order in which pages are made.
            raise UnsupportedSiteError(
                f"{name!r} in the template {module.__name__!r} counts over all pages",
                "Make the namespace, cycler or joiner inside of a macro of that template",
            )
    return module


class TracingEnvironment(Environment):
    """Records the attributes that a template reads; keeps compiled templates.

    ``read`` is called with the files that extensions of Jinja open while they parse.
    """

    context_class = TracingContext
    template_class = TracingTemplate
    compiled: BytecodeCache | None = None
    #: Whether constant expressions are being replaced by their values.
    folding = False
    read: Callable[[Collection[str]], None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("bytecode_cache", self.compiled)
        # A build uses the templates that were there when it began: they need no check for changes.
        options.setdefault("auto_reload", False)
        super().__init__(*args, **options)

    def compile(self, source: Any, *args: Any, **options: Any) -> Any:
        """Compile a template."""
        with noting() as opened:
            code = super().compile(source, *args, **options)
        if opened and self.read is not None:
            self.read(opened)
        return code

    def _generate(self, *args: Any, **options: Any) -> str:
        self.folding = True
        try:
            return super()._generate(*args, **options)
        finally:
            self.folding = False

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute`` in a template."""
        return _traced(super().getattr, obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]`` in a template."""
        return _traced(super().getitem, obj, argument)


def tracing_environment(read: Callable[[Collection[str]], None]) -> type[TracingEnvironment]:
    """The class of environments of a process; ``read`` is called with the files that extensions
    open.
    """
    attributes = {"compiled": CompiledTemplates(), "read": read}
    return type("Environment", (TracingEnvironment,), attributes)


class CompiledTemplates(BytecodeCache):
    """Keeps compiled templates in memory, since every build has environments of its own."""

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


def _traced(look_up: Callable[[Any, Any], Any], obj: Any, name: Any) -> Any:
    """What a template reads of an object, recorded if its page is traced."""
    trace = RECORDER.trace
    if trace is None:
        return look_up(obj, name)
    _record(trace, obj, name)
    value = look_up(obj, name)
    if is_mentions(type(value)):
        # A template may ask mentions anything, even whether there are any.
        trace.mentions.add(value.path)
    return value


def _record(trace: Trace, obj: Any, name: Any) -> None:
    """Record that a template reads an attribute or an item."""
    kind = type(obj)
    if kind in BUILT_IN:
        return
    if isinstance(obj, Content):
        trace.saw(obj)
    if type(name) is not str or (kind, name) in _harmless:
        return
    if isinstance(obj, Page) and name == "object_list":
        trace.listings.append(obj)
    elif name in _BEYOND.get(kind, _BEYOND_ANY) or not is_own(obj, name):
        trace.opaque = f"it looks at {name!r} of {_name_of(kind)}"
    elif is_own_in_every(kind, name):
        _harmless.add((kind, name))


def _name_of(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"


def _reads_only_its_own(function: Any) -> bool:
    """Whether a call reads only what the template has read already, or what its object holds."""
    if isinstance(function, (Macro, BlockReference, LoopContext)):
        return True
    if any(function is pure for pure in _PURE):
        return True
    owner = getattr(function, "__self__", None)
    if owner is None:
        return (getattr(type(function), "__module__", None) or "").startswith("jinja2.")
    return not isinstance(owner, Extension) and is_own_method(function)


def trace_functions(environment: Environment, known: Callable[[Any], bool]) -> None:
    """Make a page that uses an unknown filter or test opaque.

    ``known`` recognises functions that use only their arguments.
    """
    for functions, jinja in (
        (environment.filters, FILTERS),
        (environment.tests, TESTS),
    ):
        for name, function in list(functions.items()):
            if name == "attr" and function is jinja.get(name):
                functions[name] = _recording_attr(function)
            elif name == "random" or not (function is jinja.get(name) or known(function)):
                functions[name] = _recording(environment, name, function)


def known_to_pelican(function: Any) -> bool:
    """Whether this is one of the filters and tests that Pelican adds itself."""
    return isinstance(function, DateFormatter) or (
        isinstance(function, functools.partial)
        and getattr(function.func, "__module__", "") == "pelican.plugins._utils"
    )


def _recording(environment: Environment, name: str, function: Any) -> Any:
    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        if getattr(environment, "folding", False):
            # Jinja then leaves the call in the template, which is kept for later builds and for
            # other environments, whose filters of that name may return something else.
            not_folded.add(name)
            raise _NotConstant
        trace = RECORDER.trace
        if trace is None:
            return function(*args, **kwargs)
        given = bool(args) and isinstance(args[0], Context)
        with trace.unknown_code(f"it uses the filter or test {name!r}", given=given):
            return function(*args, **kwargs)

    return recorded


def _recording_attr(function: Any) -> Any:
    @functools.wraps(function)
    def recorded(environment: Environment, obj: Any, name: str) -> Any:
        if RECORDER.trace is not None and isinstance(obj, Content):
            RECORDER.trace.saw(obj)
        return function(environment, obj, name)

    return recorded
