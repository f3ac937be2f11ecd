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
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    GeneratorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from jinja2.utils import Cycler, Joiner, Namespace

_ATOMS = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS = (list, dict, set, deque, bytearray)
#: Attributes of these are looked into, as those of the site's own objects are.
_HOLDERS = (SimpleNamespace, threading.local, queue.Queue, Cycler, Joiner, Namespace)
_Cached: Any = type(functools.cache(len))
#: What a variable may hold once it is needed, the same in every order of pages.
_LOADED_LATE = (ModuleType, FunctionType, type, re.Pattern)
#: What has no value.
_EMPTY = object()


class KeptValues:
    """Variables; lists, dictionaries and sets in them; and what is in objects of the site's own.

    These are functions (attributes, default values, closures and caches), classes and their
    objects, if they are made in one of the modules named ``own``. What else there is (a lock, an
    open file) is left alone.
    """

    def __init__(self, own: Collection[str]) -> None:
        self._own = own
        self._variables: list[tuple[Any, str, Any]] = []
        self._names: list[tuple[Any, frozenset[str]]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._generators: list[tuple[random.Random, Any]] = []
        self._buffers: list[tuple[Any, Any]] = []
        self._iterators: list[tuple[Any, Any]] = []
        self._caches: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}
        self._waiting: list[Any] = []

    def note_module(self, module: ModuleType) -> None:
        """Have the values of a module noted by :meth:`complete`."""
        self._note_names(module, vars(module))

    def note(self, value: Any) -> None:
        """Have what a value holds noted, if it is a container or the site's own."""
        if type(value) not in _ATOMS and id(value) not in self._seen:
            self._seen[id(value)] = value  # so that no other value gets its id
            self._waiting.append(value)

    def complete(self) -> None:
        """Note everything that can be reached."""
        while self._waiting:
            self._look_into(self._waiting.pop())

    def restored_in_place(self) -> dict[int, Any]:
        """Everything that needs no copy, since :meth:`restore` restores what is in it; by id."""
        return dict(self._seen)

    def restore(self) -> None:
        """Restore everything but iterators as it was when it was noted."""
        for clear in self._caches:
            clear()
        for owner, names in self._names:
            for name in _names(owner) - names:
                delattr(owner, name)
        for owner, name, was in self._variables:
            if getattr(owner, name, _EMPTY) is not was:
                setattr(owner, name, was)
        for inside, kept in self._containers:
            # In place, and what they hold by itself: it may have other names, too.
            if not _is_same(inside, kept):
                inside.clear()
                (inside.update if isinstance(inside, (dict, set)) else inside.extend)(kept)
        for generator, state in self._generators:
            generator.setstate(state)
        for buffer, was in self._buffers:
            if was is not None and not buffer.closed and _inside_buffer(buffer) != was:
                _fill(buffer, *was)

    def is_changed(self) -> bool:
        """Whether anything is no longer as it was; caches do not count."""
        return (
            any(
                _names(owner) - names or not names <= vars(owner).keys()
                for owner, names in self._names
            )
            or any(
                not _is_as_good_as(getattr(owner, name, _EMPTY), was)
                for owner, name, was in self._variables
            )
            or any(not _is_same(inside, kept) for inside, kept in self._containers)
            or any(generator.getstate() != state for generator, state in self._generators)
            or any(_inside_buffer(buffer) != was for buffer, was in self._buffers)
        )

    def advanced(self) -> str | None:
        """What iterator, which nothing can restore, is no longer where it was."""
        for iterator, was in self._iterators:
            if isinstance(iterator, itertools.cycle) or _position(iterator) != was:
                return type(iterator).__name__
        return None

    def _note_names(self, owner: Any, names: Mapping[str, Any]) -> None:
        """Note the variables of a module, or the attributes of a class or a function."""
        self._names.append((owner, _names(owner)))
        for name, value in list(names.items()):
            if not name.startswith("__"):
                self._note_variable(owner, name, value)

    def _note_variable(self, owner: Any, name: str, value: Any) -> None:
        if not (hasattr(type(value), "__get__") or isinstance(value, (type, ModuleType))):
            self._variables.append((owner, name, value))
        self.note(value)

    def _look_into(self, value: Any) -> None:
        if isinstance(value, _CONTAINERS):
            plain: Any = list
            plain = dict if isinstance(value, dict) else set if isinstance(value, set) else plain
            self._containers.append((value, plain(value)))
            for item in value.values() if isinstance(value, dict) else value:
                self.note(item)
        elif (parts := _parts(value)) is not None:
            for part in parts:
                self.note(part)
        elif isinstance(value, type):
            if value.__module__ in self._own and not issubclass(value, enum.Enum):
                self._note_names(value, vars(value))
        elif isinstance(value, (FunctionType, _Cached)):
            if value.__module__ in self._own:
                self._note_function(value)
        elif type(value).__module__ in self._own or isinstance(value, _HOLDERS):
            self._note_object(value)
        elif type(value) is random.Random:
            self._generators.append((value, value.getstate()))
        elif type(value) in (io.StringIO, io.BytesIO):
            self._buffers.append((value, _inside_buffer(value)))
        elif type(value).__module__ in {"builtins", "itertools"} and hasattr(value, "__next__"):
            self._iterators.append((value, _position(value)))

    def _note_function(self, function: Any) -> None:
        self.note(getattr(function, "__wrapped__", None))
        if isinstance(function, _Cached):
            self._caches.append(function.cache_clear)
            return
        self._note_names(function, vars(function))
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.note(value)
        for cell in function.__closure__ or ():
            if (inside := _inside(cell)) is not _EMPTY:
                self._note_variable(cell, "cell_contents", inside)

    def _note_object(self, value: Any) -> None:
        # A namespace of Jinja's answers with what is in it, but an object of a thread's asks back.
        if isinstance(value, Namespace):
            attributes = object.__getattribute__(value, "__dict__")
        else:
            attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self.note(attributes)
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                self._note_variable(value, name, getattr(value, name, None))


def _parts(value: Any) -> tuple[Any, ...] | None:
    """What something holds that itself cannot change; ``None`` where it is not of this kind."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, (BuiltinMethodType, MethodWrapperType)):
        return (value.__self__,)
    if isinstance(value, (staticmethod, classmethod, MethodType)):
        return value.__func__, getattr(value, "__self__", None)
    return None


def _names(owner: Any) -> frozenset[str]:
    # A package gets the modules in it as they are imported.
    return frozenset(
        name
        for name, value in vars(owner).items()
        if not (name.startswith("__") or isinstance(value, ModuleType))
    )


def _is_as_good_as(now: Any, was: Any) -> bool:
    if was is None and isinstance(now, _LOADED_LATE):
        return True
    return now is was or (type(now) is type(was) in _ATOMS and bool(now == was))


def _is_same(inside: Any, kept: Any) -> bool:
    """Whether a container still holds the same objects; equal ones may be others."""
    if len(inside) != len(kept):
        return False
    if isinstance(kept, set):
        return bool(inside == kept)
    values = not isinstance(kept, dict) or all(map(operator.is_, inside.values(), kept.values()))
    return values and all(map(operator.is_, inside, kept))


def _inside(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


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
        return frame and (frame.f_lasti, repr(frame.f_locals))
    if isinstance(iterator, itertools.count):
        return repr(iterator)
    if isinstance(iterator, enumerate):
        return _reduced(iterator)
    return operator.length_hint(iterator, -1)


def _reduced(iterator: Any) -> Any:
    return repr(iterator.__reduce__()[1])
