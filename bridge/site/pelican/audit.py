"""Audit hooks (PEP 578) on the site's code: what the rendering of a text opens
(:func:`effects_of`), which folders settings and plugins look into while they are loaded
(:func:`recorded_lookups`), and which files outside of the site were tried (:class:`Denials`).

docutils has ``include`` and ``csv-table``, Markdown has snippets, and plugins have more. Which of
them there are depends on the site, so what Python opens while a text is rendered is recorded. A
file only counts if the text names it, and an address if its host is not one that any text uses:
what an extension opens for every text is not the text's doing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from docutils.parsers.rst import roles
from docutils.parsers.rst.directives import misc

from bridge.content.rules import RAW_HTML
from bridge.runtime.confinement import Grants
from bridge.site.sandbox import MOST_DENIED, SYSTEM_FOLDERS

_SHOWN = 60
#: So much of an address is kept that all of its host's name is there.
_SHOWN_OF_ADDRESS = 300
_ADDRESS = "the address "


class _Recording:
    """The effects recorded so far; ``None`` while nothing is recorded."""

    seen: list[tuple[str, str]] | None = None


def record() -> None:
    """Install the hooks, for the life of this process. Further calls do nothing."""
    if getattr(_Recording, "installed", False):
        return
    _Recording.installed = True  # type: ignore[attr-defined] # of docutils' class
    sys.addaudithook(_audit)
    _watch_raw_html()


@contextmanager
def effects_of(text: str, own: str) -> Iterator[set[str]]:
    """Fill a set with the effects of a text that is read in the block, from the file ``own``."""
    found: set[str] = set()
    outer, _Recording.seen = _Recording.seen, []
    try:
        yield found
    finally:
        seen, _Recording.seen = _Recording.seen, outer
        folded = text.casefold()
        for kind, what in seen:
            if kind == "file":
                stem = PurePath(what).stem.casefold()
                if stem in folded and os.path.realpath(what) != os.path.realpath(own):
                    found.add(f"the file {PurePath(what).name}")
            else:
                found.add(f"{kind} {what}")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _Recording.seen is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes) and not (flags or 0) & (os.O_WRONLY | os.O_RDWR):
            name = os.fsdecode(path)
            if not name.startswith((sys.prefix, sys.base_prefix, "/usr/")):
                _Recording.seen.append(("file", name))
    elif event == "urllib.Request":
        _Recording.seen.append((_ADDRESS.strip(), str(arguments[0])[:_SHOWN_OF_ADDRESS]))


def host_in(effect: str) -> str:
    """The host of an address that a text has the site's code use; ``""`` for another effect."""
    if not effect.startswith(_ADDRESS):
        return ""
    return effect.removeprefix(_ADDRESS).partition("://")[2].partition("/")[0]


def _watch_raw_html() -> None:
    """Record each use of docutils' ``raw`` directive and role."""
    directive, role = misc.Raw.run, roles.raw_role

    def run(self: Any) -> Any:
        _note_raw("\n".join([*self.arguments, *map(str, self.options.items()), *self.content]))
        return directive(self)

    def raw_role(name: str, rawtext: str, *more: Any, **options: Any) -> Any:
        _note_raw(rawtext)
        return role(name, rawtext, *more, **options)

    misc.Raw.run = run  # type: ignore[method-assign] # in place of its own
    raw_role.options = role.options  # type: ignore[attr-defined] # untyped
    roles.register_canonical_role("raw", raw_role)


def _note_raw(text: str) -> None:
    if _Recording.seen is not None:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        _Recording.seen.append((RAW_HTML, f"{' '.join(text.split())[:_SHOWN]!r} ({digest})"))


# Called for each file that is opened, so that paths are plain strings here.
# ruff: noqa: PTH100, PTH110, PTH120


class Denials:
    """Notes existing files that were tried and are not granted, each once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[str] = []

    def watch(self, grants: Grants) -> None:
        """Check every file that is opened from now on."""
        granted = tuple(os.path.realpath(path) for path in (*grants.read, *grants.write))

        @lru_cache(4096)
        def is_granted(folder: str) -> bool:
            real = os.path.realpath(folder)
            return any(real == place or real.startswith(f"{place}/") for place in granted)

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in {"open", "os.listdir", "os.scandir"} or len(self._known) >= MOST_DENIED:
                return
            path = arguments[0]
            if not isinstance(path, str | bytes) or not path:
                return
            name = os.path.abspath(os.fsdecode(path))
            if name in self._known or is_granted(os.path.dirname(name)) or is_granted(name):
                return
            if not os.path.exists(name) or name.startswith(SYSTEM_FOLDERS) or _lists(grants, name):
                return
            self._known.add(name)
            self._new.append(name)

        sys.addaudithook(audit)

    def new(self) -> tuple[str, ...]:
        """The files noted since the last call."""
        found, self._new = tuple(self._new), []
        return found


def _lists(grants: Grants, path: str) -> bool:
    return os.path.realpath(path) in grants.list


class Lookups:
    """What was looked at: folders that were listed, and files or folders whose status was read."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._by_a_program = False

    def into(self, folder: Path) -> bool:
        """Whether anything in this folder may have been looked for. A program that was started may
        look anywhere."""
        inside = f"{folder}/"
        return self._by_a_program or any(path.startswith(inside) for path in self._paths)

    def note(self, path: Any, end: str) -> None:
        """Note a path; ``end`` is a slash where it is listed."""
        if isinstance(path, str | bytes | os.PathLike) or path is None:
            whole = os.path.abspath(os.fsdecode(path or "."))
            self._paths.add(f"{whole}{end}")
        else:
            self._by_a_program = True

    def note_program(self) -> None:
        """Note that a program was started."""
        self._by_a_program = True


@contextmanager
def recorded_lookups() -> Iterator[Lookups]:
    """Record which files and folders Python's functions look at within the block."""
    lookups = Lookups()

    def noting(function: Callable[..., Any], end: str) -> Callable[..., Any]:
        def noted(path: Any = None, *args: Any, **options: Any) -> Any:
            lookups.note(path, end)
            return function(*(() if path is None else (path,)), *args, **options)

        return noted

    def starting(function: Callable[..., Any]) -> Callable[..., Any]:
        def started(*args: Any, **options: Any) -> Any:
            lookups.note_program()
            return function(*args, **options)

        return started

    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (os, "listdir", noting(os.listdir, "/")),
        (os, "scandir", noting(os.scandir, "/")),
        (os, "stat", noting(os.stat, "")),
        (os, "system", starting(os.system)),
        (subprocess.Popen, "__init__", starting(subprocess.Popen.__init__)),
    )
    before = [getattr(owner, name) for owner, name, _ in replaced]
    for owner, name, by in replaced:
        setattr(owner, name, by)
    try:
        yield lookups
    finally:
        for (owner, name, _), was in zip(replaced, before, strict=True):
            setattr(owner, name, was)
