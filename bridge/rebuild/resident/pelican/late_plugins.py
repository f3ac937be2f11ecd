"""Plugins that work on what is written, and that nothing more is known about.

They get what a clean build gives them, and when it does: every page is there, none is left over
from an earlier build, and none is as such a plugin has left it in the build before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican.generators import Generator, PagesGenerator
from pelican.plugins import signals
from pelican.writers import Writer

from bridge.rebuild.resident.pelican import plugins
from bridge.rebuild.resident.pelican.generators import WarmArticles
from bridge.rebuild.resident.reuse.staged_site import StagedSite

#: What these make of a file depends on that file alone: one that has not changed they need not see
#: again. By the last two parts of their names, since old plugins lie in a folder of the site's.
_FILE_BY_FILE = {
    "gzip_cache.create_gzip_cache",
    "htmlmin.minify.run",
    "minification.Minification",
    "minify.minify.Minify",
    "optimize_images.optimize_images",
    "precompress.compress_files",
}
#: Sent by the generator of articles, and by that of pages.
_WRITTEN = (signals.article_writer_finalized, signals.page_writer_finalized)
_Receiver = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class LatePlugins:
    """What plugins do at the end of a build.

    ``writers`` are receivers of the signals that the generators of articles and of pages send when
    they have written. ``holds`` says whether pages are only published when plugins have seen the
    whole output: what they do to it may be anything.
    """

    writers: tuple[tuple[int, _Receiver], ...]
    holds: bool
    file_by_file: bool

    @classmethod
    def take_off(cls) -> LatePlugins:
        """Find these plugins; the signals of generators no longer reach them by themselves."""
        found = tuple(
            (kind, receiver)
            for kind, signal in enumerate(_WRITTEN)
            for receiver in plugins.receivers(signal)
        )
        unknown = [
            receiver
            for receiver in plugins.receivers(signals.finalized)
            if not plugins.is_known_at_the_end(receiver)
        ]
        by_file = [receiver for receiver in unknown if _is_file_by_file(receiver)]
        late = cls(found, len(by_file) < len(unknown), bool(by_file))
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
            signals.finalized.send(site)
            return
        for receiver in plugins.receivers(signals.finalized):
            if _is_file_by_file(receiver):
                with staged.only_new() as folder, _writing_to(site, folder):
                    receiver(site)
            else:
                receiver(site)


def _is_file_by_file(receiver: _Receiver) -> bool:
    name = f".{plugins.name_of(receiver)}"
    return any(name.endswith(f".{known}") for known in _FILE_BY_FILE)


@contextmanager
def _writing_to(site: Pelican, folder: Path) -> Iterator[None]:
    """The site, as if this was its output folder."""
    before = site.output_path
    site.output_path = site.settings["OUTPUT_PATH"] = str(folder)
    try:
        yield
    finally:
        site.output_path = site.settings["OUTPUT_PATH"] = before
