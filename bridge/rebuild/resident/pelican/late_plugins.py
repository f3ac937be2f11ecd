"""Plugins that work on written files, and of which nothing more is known.

They see the same files as in a clean build, at the same time: every page exists, none is left over
from an earlier build, and none is as such a plugin left it in the build before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican.generators import Generator, PagesGenerator
from pelican.plugins import signals
from pelican.writers import Writer

from bridge.rebuild.resident.pelican import plugins
from bridge.rebuild.resident.pelican.file_by_file import (
    FileByFile,
    at_the_end,
    is_more_at_the_end,
    take_places,
)
from bridge.rebuild.resident.pelican.generators import WarmArticles
from bridge.rebuild.resident.reuse.staged_site import StagedSite

#: Sent by the generator of articles, and by that of pages.
_WRITTEN = (signals.article_writer_finalized, signals.page_writer_finalized)
_Receiver = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class LatePlugins:
    """What plugins do at the end of a build.

    ``writers`` are receivers of the signals that the generators of articles and of pages send when
    they have written. ``holds`` says whether pages are only published when plugins have seen the
    whole output: what they do to it may be anything. ``by_file`` work on each file alone.
    """

    writers: tuple[tuple[int, _Receiver], ...]
    holds: bool
    by_file: tuple[FileByFile, ...]

    @classmethod
    def detach(cls, folder: Path) -> LatePlugins:
        """Find these plugins; the signals of generators no longer reach them by themselves.

        ``folder`` is for what those make that work on each file alone.
        """
        found = tuple(
            (kind, receiver)
            for kind, signal in enumerate(_WRITTEN)
            for receiver in plugins.receivers(signal)
        )
        by_file = take_places(folder)
        unknown = [
            receiver
            for receiver in at_the_end()
            if receiver not in by_file and not plugins.is_known_at_the_end(receiver)
        ]
        late = cls(found, bool(unknown) or is_more_at_the_end(), by_file)
        late.disconnect()
        return late

    def connect(self) -> None:
        """Let signals reach them, while Pelican builds a site by itself."""
        for kind, receiver in self.writers:
            _WRITTEN[kind].connect(receiver)

    def disconnect(self) -> None:
        """Let signals not reach them again."""
        for kind, receiver in self.writers:
            _WRITTEN[kind].disconnect(receiver)

    def is_late(self, generator: Generator) -> bool:
        """Whether :meth:`write` does anything for a generator."""
        return plugins.wants_all_pages(generator) or bool(self._after(generator))

    def write(self, generator: Generator, writer: Writer) -> None:
        """Run a plugin's generator, and what plugins do when one of Pelican's has written."""
        if plugins.wants_all_pages(generator) and hasattr(generator, "generate_output"):
            generator.generate_output(writer)
        for receiver in self._after(generator):
            receiver(generator, writer=writer)

    def _after(self, generator: Generator) -> list[_Receiver]:
        sent_by = WarmArticles, PagesGenerator
        return [each for kind, each in self.writers if type(generator) is sent_by[kind]]

    def finalize(self, site: Pelican, staged: StagedSite) -> None:
        """Send ``finalized``."""
        if self.holds:
            staged.keep_as_written()
        for plugin in self.by_file:
            plugin.staged = None if self.holds else staged
        try:
            signals.finalized.send(site)
        finally:
            for plugin in self.by_file:
                plugin.staged = None
