"""Detects side effects of rendering a text: files or addresses that it opens, raw HTML.

docutils has ``include`` and ``csv-table``, Markdown has snippets, and plugins have more. Which of
them there are depends on the site, so an audit hook (PEP 578) records what Python opens while a
text is rendered. A file only counts if the text names it: what an extension opens for every text is
not the text's doing.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from docutils.parsers.rst import roles
from docutils.parsers.rst.directives import misc

_SHOWN = 60


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
        _Recording.seen.append(("the address", str(arguments[0])[:_SHOWN]))


def _watch_raw_html() -> None:
    """docutils' ``raw`` directive and role say so when they are used."""
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
        _Recording.seen.append(("raw HTML", f"{' '.join(text.split())[:_SHOWN]!r} ({digest})"))
