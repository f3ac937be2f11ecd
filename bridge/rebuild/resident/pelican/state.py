"""What the site's own code keeps from build to build, and resets it.

A clean build begins with plugins as they are right after ``register`` and ``initialized``, with
modules of the site as they are right after they were imported, and without those that it imports
later.
"""

from __future__ import annotations

import enum
import functools
import locale
import operator
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from pelican import Pelican

from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.pelican.reading import fresh

_ATOMS = frozenset({str, bytes, int, float, bool, type(None)})
#: What a variable may hold that has another value after a build.
_DATA = frozenset({*_ATOMS, tuple, list, dict, set})
_CONTAINERS = (list, dict, set, deque)
#: What a closure's variable holds that has no value yet.
_EMPTY = object()
#: Attributes of these are looked into, as those of the site's own objects are.
_HOLDERS = (SimpleNamespace, threading.local)
_Cached: Any = type(functools.cache(len))


class SiteState:
    """The state of plugins, of the settings, and of modules in the ``checkout``.

    That is: the environment, time zone, locale and folder of the process; variables; lists,
    dictionaries and sets in them; the same in the site's own classes and their objects; and what
    its functions keep in attributes, default values, closures and caches.
    What else there is (a lock, an open file) stays as it is.
    """

    def __init__(self, site: Pelican, checkout: Path) -> None:
        self._settings = site.settings
        self._variables: list[tuple[Any, str, Any]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._caches: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}
        self._waiting: list[Any] = []
        self._site, self._checkout = site, checkout
        self._environment = dict(os.environ)
        self._folder, self._locale = Path.cwd(), locale.setlocale(locale.LC_ALL)
        self._modules = dict(_modules(site, checkout))
        self._names = {module.__name__ for module in self._modules.values()}
        try:
            self._kept_settings = fresh(dict(site.settings), {})
        except (TypeError, ValueError, RecursionError) as error:
            raise UnsupportedSiteError(
                f"a setting keeps what cannot be copied: {error}",
                "Take out that setting, if you can do without it",
            ) from error
        for module in self._modules.values():
            self._note_names(module, vars(module))
        while self._waiting:
            self._look_into(self._waiting.pop())

    def forget(self) -> None:
        """Restore everything as it was before the first build."""
        for name, module in list(_modules(self._site, self._checkout)):
            if name not in self._modules:
                _forget_module(name, module)
        self._reset_process()
        for clear in self._caches:
            clear()
        for owner, name, was in self._variables:
            if getattr(owner, name, None) is not was:
                setattr(owner, name, was)
        for inside, kept in self._containers:
            # In place, and what they hold by itself: it may have other names, too.
            if not _is_same(inside, kept):
                inside.clear()
                (inside.extend if isinstance(kept, list) else inside.update)(kept)
        self._settings.clear()
        self._settings.update(fresh(self._kept_settings, {}))

    def _reset_process(self) -> None:
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
            time.tzset()
        os.chdir(self._folder)
        # Where that names a locale, every post has set it.
        if not isinstance(self._kept_settings["DEFAULT_DATE_FORMAT"], tuple):
            locale.setlocale(locale.LC_ALL, self._locale)

    def _note_names(self, owner: Any, names: Mapping[str, Any]) -> None:
        """Note the variables of a module, or the attributes of a class or a function."""
        for name, value in list(names.items()):
            if not name.startswith("__"):
                self._note_variable(owner, name, value)

    def _note_variable(self, owner: Any, name: str, value: Any) -> None:
        if type(value) in _DATA:
            self._variables.append((owner, name, value))
        self._note(value)

    def _note(self, value: Any) -> None:
        """Have it noted what a value holds, if it is a container or the site's own."""
        if type(value) not in _ATOMS and id(value) not in self._seen:
            self._seen[id(value)] = value  # so that no other value gets its id
            self._waiting.append(value)

    def _look_into(self, value: Any) -> None:
        if isinstance(value, _CONTAINERS):
            plain = dict if isinstance(value, dict) else set if isinstance(value, set) else list
            self._containers.append((value, plain(value)))
            for item in value.values() if isinstance(value, dict) else value:
                self._note(item)
        elif isinstance(value, tuple):
            for item in value:
                self._note(item)
        elif isinstance(value, (staticmethod, classmethod, MethodType)):
            self._note(value.__func__)
            self._note(getattr(value, "__self__", None))
        elif isinstance(value, type):
            if value.__module__ in self._names and not issubclass(value, enum.Enum):
                self._note_names(value, vars(value))
        elif isinstance(value, (FunctionType, _Cached)):
            if value.__module__ in self._names:
                self._note_function(value)
        elif type(value).__module__ in self._names or type(value) in _HOLDERS:
            self._note_object(value)

    def _note_function(self, function: Any) -> None:
        self._note(getattr(function, "__wrapped__", None))
        if isinstance(function, _Cached):
            self._caches.append(function.cache_clear)
            return
        self._note_names(function, vars(function))
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._note(value)
        for cell in function.__closure__ or ():
            self._note_variable(cell, "cell_contents", _inside(cell))

    def _note_object(self, value: Any) -> None:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self._note(attributes)
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                self._note_variable(value, name, getattr(value, name, None))


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


def _modules(site: Pelican, checkout: Path) -> Iterator[tuple[str, ModuleType]]:
    """The modules of plugins, and those in the checkout."""
    names = {plugin.__name__ for plugin in site.plugins if isinstance(plugin, ModuleType)}
    for name, module in list(sys.modules.items()):
        place = str(getattr(module, "__file__", None) or "")
        if place.startswith(f"{checkout}/") or any(
            name == of or name.startswith(f"{of}.") for of in names
        ):
            yield name, module


def _forget_module(name: str, module: ModuleType) -> None:
    """Have a module imported again when it is next needed."""
    if name.startswith("pelican_indieauth"):
        return
    del sys.modules[name]
    package, _, inside = name.rpartition(".")
    if getattr(sys.modules.get(package), inside, None) is module:
        delattr(sys.modules[package], inside)
