"""The files that a site has besides its pages: pictures, downloads, and those of its theme."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from pelican.generators import Generator

from bridge.rebuild.resident.pelican.generators import WarmStatic
from bridge.rebuild.resident.pelican.reading import Stamp, stamp
from bridge.rebuild.resident.reuse.staged_site import StagedSite


def _nothing() -> None:
    """Nothing is newer."""


class Copies:
    """Copies such files where they have changed, and puts them where the world sees them.

    ``names`` are those of the site's content, each with the file that it is a copy of; ``theme``
    those of its theme.
    """

    def __init__(
        self, staged: StagedSite, theme: str, shown: Callable[[Iterable[str]], None]
    ) -> None:
        """``theme`` is the folder in the output that a theme's files go to."""
        self.names: dict[str, tuple[str, Stamp]] = {}
        self.theme: set[str] = set()
        self._staged = staged
        self._folder = theme
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
        """Copy what has changed; the output files that are other than before.

        With ``first`` only those files, and what the output does not have at all: nothing that a
        page shows is missing then. ``check_newer`` is called before each file, and may raise.
        """
        names: dict[str, tuple[str, Stamp]] = {}
        copying: list[str] = []

        def wanted(source: str, name: str) -> bool:
            if name.startswith("../"):
                # Pelican puts it beside the folder of pages, where nothing of ours belongs.
                return False
            if not os.path.exists(source):  # noqa: PTH110 - called for every file of a site
                # A post names it; Pelican goes on without it.
                return False
            names[name] = source, stamp(source)
            if self._copied.get(name) == names[name]:
                return False
            if first is not None and source not in first and self._staged.is_published(name):
                return False
            check_newer()
            copying.append(name)
            return True

        try:
            for generator in generators:
                if isinstance(generator, WarmStatic):
                    generator.wanted, generator.with_theme = wanted, not self._has_theme
                    generator.generate_output(None)
        finally:
            # Also what was copied before this was given up: it is not copied again.
            changed = self._publish(dict.fromkeys(copying), names)
        self.names = names
        return changed

    def end(self) -> None:
        """The build is complete: what it has not copied is not a file of the site's."""
        self._copied = self.names

    def _publish(self, copying: Iterable[str], names: dict[str, tuple[str, Stamp]]) -> list[str]:
        new = list(copying)
        if not self._has_theme:
            # Copied once, so published at once: what interrupts this build makes the next one
            # take these files for old ones.
            self._has_theme = True
            self.theme = self._staged.below(self._folder)
            new += sorted(self.theme - set(new))
        self._staged.expect(new)
        changed = [name for name in new if self._staged.publish(name)]
        self._shown(changed)
        self._copied |= {name: names[name] for name in new if name in names}
        return changed
