"""Copies static files to the output: pictures, downloads, and the theme's files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from pelican.generators import Generator

from bridge.rebuild.local.plain_pelican import leads_outside, may_be_published, say_outside
from bridge.rebuild.resident.pelican.generators import WarmStatic
from bridge.rebuild.resident.pelican.reading import Stamp, stamp
from bridge.rebuild.resident.reuse.staged_site import StagedSite


def _nothing() -> None:
    """The default of ``check_newer``."""


class StaticCopies:
    """Copies static files that have changed, and publishes them.

    ``names`` are the output files from the content folder, each with its source; ``theme`` are the
    output files of the theme.
    """

    def __init__(
        self, staged: StagedSite, theme: str, shown: Callable[[Iterable[str]], None]
    ) -> None:
        """``theme`` is the theme's folder in the output, as the settings spell it (``static/``)."""
        self.names: dict[str, tuple[str, Stamp]] = {}
        self.theme: set[str] = set()
        self._staged = staged
        self._folder = os.path.normpath(theme) if theme.strip("./") else ""
        self._shown = shown
        self._has_theme = False
        self._copied: dict[str, tuple[str, Stamp]] = {}

    def copy(
        self,
        generators: Iterable[Generator],
        *,
        first: Collection[str] | None = None,
        check_newer: Callable[[], None] = _nothing,
    ) -> list[str]:
        """Copy what has changed; returns the output files that differ from before.

        With ``first``, copies only those sources, and files that the output lacks, so that no page
        shows a missing picture. ``check_newer`` is called before each file, and may raise.
        """
        names: dict[str, tuple[str, Stamp]] = {}
        copying: list[str] = []

        def wanted(source: str, name: str) -> bool:
            name = os.path.normpath(name) if not name.endswith("/") else ""
            if not self._can_be_copied(source, name):
                return False
            new = []
            for file, target in _files(source, name):
                version = file, stamp(file)
                is_new = self._copied.get(target) != version
                if is_new and not may_be_published(file):
                    continue
                names[target] = version
                waits = first is not None and source not in first
                if is_new and not (waits and self._staged.is_published(target)):
                    new.append(target)
            if new:
                check_newer()
                copying.extend(new)
            return bool(new)

        try:
            for generator in generators:
                if isinstance(generator, WarmStatic):
                    generator.wanted, generator.with_theme = wanted, not self._has_theme
                    generator.generate_output(None)
        finally:
            # What was copied before an interruption is not copied again.
            changed = self._publish(dict.fromkeys(copying), names)
        self.names = names
        return changed

    def _can_be_copied(self, source: str, name: str) -> bool:
        """Whether Pelican would copy this file or folder."""
        if leads_outside(name):
            say_outside(source)
        if not name.strip("./") or leads_outside(name):
            return False
        if self._staged.is_folder(name):
            # Pelican cannot write a file there.
            return os.path.isdir(source)  # noqa: PTH112 - called for every file of a site
        # A post may link to a file that does not exist; Pelican ignores that.
        return os.path.exists(source)  # noqa: PTH110 - called for every file of a site

    def end(self) -> None:
        """The build is complete: forget files that it did not copy."""
        self._copied = self.names

    def _publish(self, copying: Iterable[str], names: dict[str, tuple[str, Stamp]]) -> list[str]:
        new = list(copying)
        if not self._has_theme:
            # Copied once in the life of the process, so published at once: after an interruption
            # the next build would take these files for published ones.
            self._has_theme = True
            self.theme = self._staged.below(self._folder)
            new += sorted(self.theme - set(new))
        self._staged.expect(new)
        changed = [name for name in new if self._staged.publish(name)]
        if not self._staged.holds:
            self._shown(changed)
        self._copied |= {name: names[name] for name in new if name in names}
        return changed


def _files(source: str, name: str) -> Iterable[tuple[str, str]]:
    """A file with its name in the output; all files of a folder, with which Pelican copies them."""
    if not os.path.isdir(source):  # noqa: PTH112 - called for every file of a site
        return [(source, name)]
    below = (
        os.path.join(folder, file)  # noqa: PTH118 - texts, as Pelican has them
        for folder, _, files in os.walk(source, followlinks=True)
        for file in files
    )
    return [
        (path, os.path.normpath(f"{name}/{os.path.relpath(path, source)}"))
        for path in below
        if os.path.isfile(path)  # noqa: PTH113 - as above
    ]
