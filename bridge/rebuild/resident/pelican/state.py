"""What the site's own code keeps from build to build, and resets it.

A clean build begins with plugins as they are right after ``register`` and ``initialized``, with
modules of the site as they are right after they were imported, and without those that it imports
later.
"""

from __future__ import annotations

import locale
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from jinja2 import Environment
from pelican import Pelican

from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.pelican.kept_values import KeptValues
from bridge.rebuild.resident.pelican.plugins import (
    PLUGINS_OWN,
    is_known_while_reading,
    is_known_while_writing,
)
from bridge.rebuild.resident.pelican.reading import fresh

#: With more items than this, a list in the context is one of posts, tags and the like.
_SHORT = 100
#: Where plugins change their state between files more often than this, it is no longer compared.
_MOST = 200
#: Nor where the site's own code keeps more items than this: that would take as long as reading.
_LARGE = 20_000


class SiteState:
    """The state of plugins, of the settings, and of modules in the ``checkout``.

    That is: the environment, time zone, locale, folder and random numbers of the process, and
    :class:`KeptValues`.
    """

    def __init__(self, site: Pelican, checkout: Path) -> None:
        self._settings = site.settings
        self._environment = dict(os.environ)
        self._folder, self._locale = Path.cwd(), locale.setlocale(locale.LC_ALL)
        self._chance = random.getstate()
        self._now = _SiteModules(site, checkout)
        self._modules = dict(self._now)
        self._values = _values_of(self._modules.values())
        try:
            # What a variable holds as well stays the same object, as in a clean build.
            self._kept_settings = fresh(dict(site.settings), self._values.restored_in_place())
        except (TypeError, ValueError, RecursionError) as error:
            raise UnsupportedSiteError(
                f"a setting keeps what cannot be copied: {error}",
                "Take out that setting, if you can do without it",
            ) from error

    def forget(self) -> None:
        """Restore everything as it was before the first build.

        Raises :class:`UnsupportedSiteError` where that cannot be done.
        """
        _check_iterators(self._values)
        for name, module in list(self._now):
            if name not in self._modules:
                _forget_module(name, module)
        self._reset_process()
        self._values.restore()
        self._settings.clear()
        self._settings.update(fresh(self._kept_settings, self._values.restored_in_place()))

    def before_pages(
        self, context: Mapping[str, Any], environments: Iterable[Environment]
    ) -> StateBeforePages:
        """What pages could change that are written from now on."""
        values = _values_of(
            module for name, module in self._now if not is_known_while_writing(name)
        )
        for environment in environments:
            values.note(environment.globals, ("the globals of", "templates"))
            for kind, known in (
                ("the filter", environment.filters),
                ("the test", environment.tests),
                ("the global", environment.globals),
            ):
                for name, function in known.items():
                    values.note(function, (kind, name))
                    if type(function) is FunctionType:
                        values.note(vars(function).get("__wrapped__"), (kind, name))
            for name, extension in environment.extensions.items():
                values.note(extension, ("the extension", name))
        for name, value in context.items():
            if name in PLUGINS_OWN:
                continue
            short = issubclass(type(value), (list, dict, set)) and len(value) < _SHORT
            if name in self._settings or short or not hasattr(type(value), "__len__"):
                values.note(value, ("the variable", name))
        values.complete()
        return StateBeforePages(values)

    def _reset_process(self) -> None:
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
            time.tzset()
        os.chdir(self._folder)
        random.setstate(self._chance)
        # Where that names a locale, every post has set it.
        if not isinstance(self._kept_settings["DEFAULT_DATE_FORMAT"], tuple):
            locale.setlocale(locale.LC_ALL, self._locale)


class StateWhileReading:
    """Whether reading a file changes what the site's own code keeps.

    Such a file is read in every build: what is made of others may be counted by it.
    """

    def __init__(self, site: Pelican, checkout: Path) -> None:
        self._modules = _SiteModules(site, checkout)
        self._noted = 0
        self._values: KeptValues | None = None

    def begin_build(self) -> None:
        """A build begins."""
        if self._noted <= _MOST:
            self._noted = 0

    def begin(self) -> None:
        """A file is about to be read."""
        if self._noted > _MOST or (self._values is not None and not self._values.is_changed()):
            return
        self._noted += 1
        self._values = _values_of(
            module for name, module in self._modules if not is_known_while_reading(name)
        )
        if self._values.size() > _LARGE:
            self._noted, self._values = _MOST + 1, None

    def is_changed(self) -> bool:
        """Whether anything has changed since then."""
        if self._values is None or self._noted > _MOST:
            return False
        return self._values.is_changed() or self._values.advanced() is not None


class StateBeforePages:
    """The state of the site's own code when the first page is about to be written."""

    def __init__(self, values: KeptValues) -> None:
        self._values = values
        self._environment, self._chance = dict(os.environ), random.getstate()

    def changed(self) -> str | None:
        """The name of what writing pages has changed: a page can depend on those before it.

        Raises :class:`UnsupportedSiteError` where nothing could restore it for the next build.
        """
        _check_iterators(self._values)
        if (name := self._values.changed()) is not None:
            return name
        if os.environ != self._environment:
            return "os.environ"
        return "random" if random.getstate() != self._chance else None


def _values_of(modules: Iterable[ModuleType]) -> KeptValues:
    """What these modules keep."""
    by_name = {module.__name__: module for module in modules}
    values = KeptValues(by_name)
    for module in by_name.values():
        values.note_module(module)
    values.complete()
    return values


def _check_iterators(values: KeptValues) -> None:
    if (advanced := values.advanced()) is not None:
        kind, name = advanced
        raise UnsupportedSiteError(
            f"the site's own code counts over all pages, with an iterator ({kind}): {name}",
            "Let a variable count, or begin anew on each page",
        )


class _SiteModules:
    """The modules of plugins, and those in the checkout, by name.

    They are looked for before each file is read, among more than a thousand modules: what was found
    to be another is not looked at again.
    """

    def __init__(self, site: Pelican, checkout: Path) -> None:
        self._site, self._folder = site, f"{checkout}/"
        self._plugins, self._others = set[str](), dict[str, ModuleType]()

    def __iter__(self) -> Iterator[tuple[str, ModuleType]]:
        names = {each.__name__ for each in self._site.plugins if isinstance(each, ModuleType)}
        if names != self._plugins:
            self._plugins, self._others = names, {}
        inside, others = tuple(f"{name}." for name in names), self._others
        for name, module in list(sys.modules.items()):
            if others.get(name) is module:
                continue
            if (
                name in names
                or name.startswith(inside)
                or str(getattr(module, "__file__", None) or "").startswith(self._folder)
            ):
                yield name, module
            else:
                others[name] = module


def _forget_module(name: str, module: ModuleType) -> None:
    """Have a module imported again when it is next needed."""
    if name.startswith("pelican_indieauth"):
        return
    del sys.modules[name]
    package, _, inside = name.rpartition(".")
    if getattr(sys.modules.get(package), inside, None) is module:
        delattr(sys.modules[package], inside)
