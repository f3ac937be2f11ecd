"""Which attributes and methods read nothing but their own object.

A page that used nothing else depends on the objects that it read, and on nothing besides. A
property or a method of a plugin's may read anything (the clock, a file, other posts); an attribute
of a class or a module can change although no object does.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import (
    BuiltinMethodType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import pelican.contents
import pelican.generators
import pelican.paginator
import pelican.readers
import pelican.urlwrappers
import pelican.utils
import pelican.writers

from bridge.rebuild.resident.pelican import contents


class _Pair(NamedTuple):
    first: int


_tuplegetter: type = type(vars(_Pair)["first"])

BUILT_IN = frozenset({str, bytes, int, float, bool, list, tuple, dict, set, frozenset, type(None)})
#: Packages whose methods and properties read nothing but their own object. Pelican's are below.
_TRUSTED = frozenset(
    {"builtins", "datetime", "zoneinfo", "pathlib", "collections", "decimal", "fractions", "uuid",
     "jinja2", "markupsafe", "pelican_indieauth", "bridge"}
)  # fmt: skip
#: Pelican's classes, which plugins may change, with what was in them before a plugin was loaded.
_PRISTINE: Mapping[type, Mapping[str, Any]] = {
    kind: dict(vars(kind))
    for module in (
        *(pelican.contents, pelican.urlwrappers, pelican.paginator, pelican.utils),
        *(pelican.generators, pelican.readers, pelican.writers, contents),
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__.startswith(("pelican.", contents.__name__))
}
#: These methods reveal nothing about an object that exists already.
_SILENT = frozenset(
    {"__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__",
     "__setattr__", "__delattr__", "__del__", "__hash__", "__reduce__", "__reduce_ex__",
     "__getstate__", "__setstate__", "__copy__", "__deepcopy__", "__getnewargs__"}
)  # fmt: skip
_MISSING = object()

#: Classes with the names of attributes that are an object's own in every object of the class.
#: Plugins change no classes once the first page of a build is rendered.
_own: set[tuple[type, str]] = set()


def forget() -> None:
    """Forget what is known about classes: a build begins, in which plugins may change them."""
    _own.clear()


def is_own(obj: Any, name: str) -> bool:
    """Whether an attribute is part of its object, or is computed from it by code that is known."""
    kind = type(obj)
    if kind in BUILT_IN or (kind, name) in _own:
        return True
    if isinstance(obj, (ModuleType, type, FunctionType, MethodType)):
        return False
    for owner in kind.__mro__:
        found = vars(owner).get(name, _MISSING)
        if found is not _MISSING:
            break
    else:
        return _is_plain_access(kind) and _keep(kind, name)
    if isinstance(found, (MemberDescriptorType, _tuplegetter)):
        return _keep(kind, name)
    # An object's own attribute hides that of its class, unless the latter is a data descriptor.
    may_be_hidden = not hasattr(type(found), "__set__")
    if is_trusted(owner, name, found) and not (may_be_hidden and not _is_plain_access(kind)):
        return _keep(kind, name)
    if may_be_hidden and name in getattr(obj, "__dict__", ()):
        return _is_plain_access(kind)
    return is_trusted(owner, name, found)


def is_own_in_every(kind: type, name: str) -> bool:
    """Whether :func:`is_own` was found to be true of every object of a class."""
    return (kind, name) in _own


def _keep(kind: type, name: str) -> bool:
    _own.add((kind, name))
    return True


def is_own_method(function: Any) -> bool:
    """Whether a bound method is its object's by the object's class, and :func:`is_own`."""
    owner = getattr(function, "__self__", None)
    if owner is None:
        return False
    name = getattr(function, "__name__", "")
    if not isinstance(function, BuiltinMethodType):
        of_class = getattr(type(owner), name, None)
        if of_class is None or getattr(function, "__func__", None) is not of_class:
            return False
    return is_own(owner, name)


def is_trusted(owner: type, name: str, found: Any) -> bool:
    """Whether an attribute of the class ``owner`` reads nothing but its object."""
    pristine = _PRISTINE.get(owner)
    if pristine is not None:
        return pristine.get(name, _MISSING) is found
    return owner.__module__.partition(".")[0] in _TRUSTED


def replaced() -> str | None:
    """A method of Pelican's that a plugin has replaced; ``None`` where there is none.

    Special methods (``__str__``) are called without being named, so a new one counts as well.
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


class Libraries:
    """Modules that builds import for good, unlike the site's: what they did then is done once."""

    def __init__(self) -> None:
        self._before = frozenset(sys.modules)

    def has_made(self, value: Any) -> bool:
        """Whether a function, or a property, is of such a module."""
        function = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
        module = getattr(function, "__module__", None)
        return module in sys.modules and module not in self._before


class PelicanClasses:
    """Pelican's classes as they are when a build begins."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._before = {kind: _attributes(kind) for kind in _PRISTINE}

    def restore(self) -> None:
        """Undo what plugins have changed in builds: what wraps a method would wrap it once more."""
        for kind, before in self._before.items():
            now = _attributes(kind)
            for name in now.keys() - before.keys():
                if not self._libraries.has_made(now[name]):
                    delattr(kind, name)
            for name, was in before.items():
                is_now = now.get(name, _MISSING)
                if is_now is not was and not self._libraries.has_made(is_now):
                    setattr(kind, name, was)


def _attributes(kind: type) -> dict[str, Any]:
    """Those of the class itself, without what Python keeps there."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("__") or callable(value)
    }


def has_special_methods(kind: type) -> bool:
    """Whether a plugin's code decides how objects of a class look, or what they contain."""
    return any(
        _is_written_by_hand(function)
        for owner in kind.__mro__
        for name, function in vars(owner).items()
        if name.startswith("__") and name not in _SILENT and not is_trusted(owner, name, function)
    )


def _is_written_by_hand(function: Any) -> bool:
    """Whether it is code, and was not generated by ``dataclass`` or ``NamedTuple``."""
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
    """Whether a class looks up attributes as ``object`` does, or by code that is trusted."""
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
