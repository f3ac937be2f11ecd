"""Values that the site's own code keeps outside of a call: finds, compares and restores them."""

from __future__ import annotations

import enum
import functools
import io
import itertools
import operator
import queue
import random
import re
import sys
import threading
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, TypeAlias

from jinja2.runtime import Context
from jinja2.utils import Cycler, Joiner, Namespace
from pelican.contents import Content
from pelican.urlwrappers import URLWrapper

_ATOMS = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS = (list, dict, set, deque, bytearray)
#: Attributes of these are looked into, as those of the site's own objects are.
_HOLDERS = (
    *(SimpleNamespace, threading.local, queue.Queue, UserDict, UserList, ChainMap),
    *(Cycler, Joiner, Namespace),
)
#: Objects of libraries that differ from page to page.
_OF_A_PAGE = (Content, URLWrapper, Context)
_Cached: Any = type(functools.cache(len))
#: What a variable may hold once it is needed, the same in every order of pages.
_LOADED_LATE = (ModuleType, FunctionType, type, re.Pattern)
#: What has no value.
_EMPTY = object()
#: Where a value was found: a module, class or function, and a name in it; or two words.
Origin: TypeAlias = tuple[Any, str]


class KeptValues:
    """Variables; lists, dictionaries and sets in them; and what is in objects of the site's own.

    These are functions (attributes, default values, closures and caches), classes and their
    objects, if they are made in one of the modules named ``own``. What else there is (a lock, an
    open file) is left alone.
    """

    def __init__(self, own: Collection[str]) -> None:
        self._own = own
        self._variables: list[tuple[Any, Mapping[str, Any], str, Any]] = []
        self._names: list[tuple[Any, frozenset[str], int]] = []
        #: Cells of closures and slots of objects, by what reads and writes them.
        self._places: list[tuple[Callable[[], Any], Callable[[Any], None], Any, Origin]] = []
        self._containers: list[tuple[Any, Any, Origin]] = []
        #: Attributes of objects, and the names of their cached properties.
        self._attributes: list[tuple[dict[str, Any], dict[str, Any], Origin, frozenset[str]]] = []
        self._generators: list[tuple[random.Random, Any, Origin]] = []
        self._buffers: list[tuple[Any, Any, Origin]] = []
        self._iterators: list[tuple[Any, Any, Origin]] = []
        self._caches: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}
        self._waiting: list[tuple[Any, Origin]] = []

    def note_module(self, module: ModuleType) -> None:
        """Have the values of a module noted by :meth:`complete`."""
        self._note_names(module, vars(module))

    def note(self, value: Any, origin: Origin) -> None:
        """Have what a value holds noted, if it is a container or the site's own."""
        if type(value) not in _ATOMS and id(value) not in self._seen:
            self._seen[id(value)] = value  # so that no other value gets its id
            self._waiting.append((value, origin))

    def complete(self) -> None:
        """Note everything that can be reached."""
        while self._waiting:
            self._look_into(*self._waiting.pop())

    def restored_in_place(self) -> dict[int, Any]:
        """Everything that needs no copy, since :meth:`restore` restores what is in it; by id."""
        return dict(self._seen)

    def size(self) -> int:
        """How many items :meth:`is_changed` compares."""
        return sum(
            len(kept)
            for _, kept, *_ in (*self._containers, *self._attributes)
            if not isinstance(kept, bytes)
        )

    def restore(self) -> None:
        """Restore everything but iterators as it was when it was noted."""
        for clear in self._caches:
            clear()
        for owner, names, _ in self._names:
            for name in _names(owner) - names:
                (type.__delattr__ if _is_a(owner, type) else delattr)(owner, name)
        for owner, variables, name, was in self._variables:
            if variables.get(name, _EMPTY) is not was:
                (type.__setattr__ if _is_a(owner, type) else setattr)(owner, name, was)
        for read, write, was, _ in self._places:
            if read() is not was:
                write(was)
        for inside, kept, *_ in (*self._containers, *self._attributes):
            # In place, and what they hold by itself: it may have other names, too.
            if not _is_same(inside, kept):
                _refill(inside, kept)
        for generator, state, _ in self._generators:
            generator.setstate(state)
        for buffer, was, _ in self._buffers:
            if was is not None and not buffer.closed and _inside_buffer(buffer) != was:
                _fill(buffer, *was)

    def is_changed(self) -> bool:
        """Whether anything is no longer as it was; caches do not count."""
        return next(self._changes(), None) is not None

    def changed(self) -> str | None:
        """The name of something that is no longer as it was; caches do not count."""
        origin = next(self._changes(), None)
        return origin and _name_of(*origin)

    def _changes(self) -> Iterator[Origin]:
        yield from (
            (owner, min(different))
            for owner, names, number in self._names
            # The quick comparison first: this is asked for each file that is read.
            if not (len(vars(owner)) == number and names <= vars(owner).keys())
            and (different := (_names(owner) - names) | (names - vars(owner).keys()))
        )
        yield from (
            (owner, name)
            for owner, variables, name, was in self._variables
            if not self._is_unchanged(variables.get(name, _EMPTY), was)
        )
        yield from (
            origin for read, _, was, origin in self._places if not self._is_unchanged(read(), was)
        )
        yield from (
            origin for inside, kept, origin in self._containers if not _is_same(inside, kept)
        )
        yield from (
            origin
            for inside, kept, origin, cached in self._attributes
            if not _is_same(inside, kept) and not _is_same(_without(inside, cached), kept)
        )
        yield from (
            origin for generator, state, origin in self._generators if generator.getstate() != state
        )
        yield from (
            origin for buffer, was, origin in self._buffers if _inside_buffer(buffer) != was
        )

    def _is_unchanged(self, now: Any, was: Any) -> bool:
        """Whether a variable has not changed, or has only got what it holds once it is needed."""
        if was is None and (_is_a(now, _LOADED_LATE) or self._is_of_a_library(now)):
            return True
        return now is was or (type(now) is type(was) in _ATOMS and bool(now == was))

    def _is_of_a_library(self, value: Any) -> bool:
        """Whether a value is a library's object (a Markdown converter), and nothing to count by."""
        module = type(value).__module__
        return (
            isinstance(module, str)
            and module.partition(".")[0] not in sys.stdlib_module_names
            and module not in self._own
            and not _is_a(value, (*_HOLDERS, *_OF_A_PAGE))
        )

    def advanced(self) -> tuple[str, str] | None:
        """The kind and the name of an iterator, which nothing can restore, that has advanced."""
        for iterator, was, origin in self._iterators:
            if isinstance(iterator, itertools.cycle) or _position(iterator) != was:
                return type(iterator).__name__, _name_of(*origin)
        return None

    def _note_names(self, owner: Any, names: Mapping[str, Any]) -> None:
        """Note the variables of a module, or the attributes of a class or a function."""
        self._names.append((owner, _names(owner), len(vars(owner))))
        for name, value in list(names.items()):
            if not name.startswith("__"):
                if _is_data(value):
                    self._variables.append((owner, names, name, value))
                self.note(value, (owner, name))

    def _note_place(
        self, read: Callable[[], Any], write: Callable[[Any], None], origin: Origin
    ) -> None:
        value = read()
        if _is_data(value):
            self._places.append((read, write, value, origin))
        self.note(value, origin)

    def _look_into(self, value: Any, origin: Origin) -> None:
        if _is_a(value, _CONTAINERS):
            kept = _copy(value)
            self._containers.append((value, kept, origin))
            self._note_items(kept, origin)
            if type(value).__module__ in self._own:
                self._note_object(value, origin)
        elif (parts := _parts(value)) is not None:
            for part in parts:
                self.note(part, origin)
        elif _is_a(value, type):
            if value.__module__ in self._own and not issubclass(value, enum.Enum):
                self._note_names(value, vars(value))
        elif _is_a(value, (FunctionType, _Cached)):
            if value.__module__ in self._own:
                self._note_function(value)
        elif type(value).__module__ in self._own or _is_a(value, _HOLDERS):
            self._note_object(value, origin)
        elif type(value) is random.Random:
            self._generators.append((value, value.getstate(), origin))
        elif type(value) in (io.StringIO, io.BytesIO):
            self._buffers.append((value, _inside_buffer(value), origin))
        elif type(value).__module__ in {"builtins", "itertools"} and hasattr(value, "__next__"):
            self._iterators.append((value, _position(value), origin))

    def _note_items(self, kept: Any, origin: Origin) -> None:
        items = kept.values() if isinstance(kept, dict) else kept
        # Most of large ones hold texts or numbers alone.
        if not isinstance(kept, bytes) and not _ATOMS.issuperset(map(type, items)):
            for item in items:
                self.note(item, origin)

    def _note_function(self, function: Any) -> None:
        origin = (function, "")
        self.note(getattr(function, "__wrapped__", None), origin)
        if isinstance(function, _Cached):
            self._caches.append(function.cache_clear)
            return
        self._note_names(function, vars(function))
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.note(value, origin)
        for cell in function.__closure__ or ():
            if _inside(cell) is not _EMPTY:
                read, write = functools.partial(_inside, cell), functools.partial(_set_cell, cell)
                self._note_place(read, write, origin)

    def _note_object(self, value: Any, origin: Origin) -> None:
        attributes = _attributes(value)
        if _is_a(attributes, dict) and id(attributes) not in self._seen:
            self._seen[id(attributes)] = attributes
            kept, cached = _copy(attributes), _cached_properties(type(value))
            self._attributes.append((attributes, kept, origin, cached))
            self._note_items(kept, origin)
        for kind in type(value).__mro__:
            if "__slots__" in vars(kind):
                for slot in vars(kind).values():
                    if isinstance(slot, MemberDescriptorType):
                        read = functools.partial(_in_slot, slot, value)
                        write = functools.partial(_set_slot, slot, value)
                        self._note_place(read, write, origin)


def _name_of(owner: Any, name: str) -> str:
    """How the owner of the site knows it: ``module.name``, ``module.Class.name``."""
    if isinstance(owner, str):
        return f"{owner} {name}"
    if _is_a(owner, ModuleType):
        inside = owner.__name__
    else:
        inside = f"{owner.__module__}.{getattr(owner, '__qualname__', '')}"
    found = f"{inside}.{name}" if name else inside
    return found.encode("utf-8", "backslashreplace").decode()


def _is_a(value: Any, kinds: Any) -> bool:
    """As ``isinstance``, but of what a value is itself: a lazy object would be loaded by that."""
    return issubclass(type(value), kinds)


def _is_data(value: Any) -> bool:
    """Whether a variable with this value is restored: functions, classes and the like are not."""
    kind = type(value)
    return kind in _ATOMS or not (
        any("__get__" in vars(each) for each in kind.__mro__)
        or issubclass(kind, (type, ModuleType))
    )


def _attributes(value: Any) -> Any:
    """The attributes of an object, whatever it answers when it is asked for one."""
    try:
        if _is_a(value, threading.local):
            return value.__dict__
        return object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 - a class of the site's own
        return None


def _cached_properties(kind: type) -> frozenset[str]:
    return frozenset(
        name
        for each in kind.__mro__
        for name, value in vars(each).items()
        if _is_a(value, functools.cached_property)
    )


def _without(inside: dict[str, Any], cached: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in inside.items() if name not in cached}


def _parts(value: Any) -> tuple[Any, ...] | None:
    """What something holds that itself cannot change; ``None`` where it is not of this kind."""
    if _is_a(value, tuple):
        return tuple(value)
    if _is_a(value, functools.partial):
        return value.func, value.args, value.keywords
    if _is_a(value, property):
        return value.fget, value.fset, value.fdel
    if _is_a(value, (BuiltinMethodType, MethodWrapperType)):
        return (value.__self__,)
    if _is_a(value, (staticmethod, classmethod, MethodType)):
        return value.__func__, getattr(value, "__self__", None)
    return None


def _names(owner: Any) -> frozenset[str]:
    # A package gets the modules in it as they are imported.
    return frozenset(
        name
        for name, value in list(vars(owner).items())
        if not (name.startswith("__") or _is_a(value, ModuleType))
    )


def _copy(container: Any) -> Any:
    """What a container holds. Methods are the class's: a dictionary's items may be attributes."""
    kind = type(container)
    if issubclass(kind, dict):
        return dict(kind.items(container))
    if issubclass(kind, bytearray):
        return bytes(container)
    return set(container) if issubclass(kind, set) else list(container)


def _refill(container: Any, kept: Any) -> None:
    kind = type(container)
    kind.clear(container)
    (kind.update if issubclass(kind, (dict, set)) else kind.extend)(container, kept)


def _is_same(inside: Any, kept: Any) -> bool:
    """Whether a container still holds the same objects; equal ones may be others."""
    if len(inside) != len(kept):
        return False
    if isinstance(kept, (set, bytes)):
        return bool(inside == kept)
    if isinstance(kept, dict):
        kind = type(inside)
        return all(map(operator.is_, kind.values(inside), kept.values())) and all(
            map(operator.is_, kind.keys(inside), kept)
        )
    return all(map(operator.is_, inside, kept))


def _inside(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _set_cell(cell: CellType, value: Any) -> None:
    cell.cell_contents = value


def _in_slot(slot: MemberDescriptorType, owner: Any) -> Any:
    try:
        return slot.__get__(owner)
    except AttributeError:
        return _EMPTY


def _set_slot(slot: MemberDescriptorType, owner: Any, value: Any) -> None:
    if value is _EMPTY:
        slot.__delete__(owner)
    else:
        slot.__set__(owner, value)


def _inside_buffer(buffer: Any) -> Any:
    return None if buffer.closed else (buffer.getvalue(), buffer.tell())


def _fill(buffer: Any, text: Any, place: int) -> None:
    buffer.seek(0)
    buffer.truncate()
    buffer.write(text)
    buffer.seek(place)


def _position(iterator: Any) -> Any:
    """What is another value when an iterator has advanced, as far as it shows."""
    if isinstance(iterator, GeneratorType):
        frame = iterator.gi_frame
        return frame and (frame.f_lasti, _shown(frame.f_locals))
    if isinstance(iterator, itertools.count):
        return repr(iterator)
    if isinstance(iterator, enumerate):
        return _reduced(iterator)
    return operator.length_hint(iterator, -1)


def _reduced(iterator: Any) -> Any:
    return _shown(iterator.__reduce__()[1])


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a class of the site's own
        return ""
