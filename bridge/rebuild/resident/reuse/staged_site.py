"""The folder that Pelican writes into, from which finished files are published to the output."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output

_PROBE = ".build"


class StagedSite:
    """A complete copy of the site that is not served.

    What plugins write by themselves is recognised by its time. It is removed before the next build,
    which so finds what a clean build would find: pages and copied files, or nothing.
    """

    def __init__(self, folder: Path, output: Output) -> None:
        self._folder = folder
        self._tree = Tree(folder)
        self._output = output
        self._began = 0
        self._published: dict[str, int] = {}
        self._by_plugins: set[str] = set()
        if folder.exists():
            # An earlier process wrote it, maybe with other settings.
            shutil.rmtree(folder)

    def begin(self) -> None:
        """A build begins."""
        for name in self._by_plugins:
            self._tree.remove(name)
        self._by_plugins.clear()
        self._published.clear()
        self._output.begin()
        self._folder.mkdir(parents=True, exist_ok=True)
        # By the clock of the file system, which is not that of the process.
        probe = self._folder / _PROBE
        probe.write_bytes(b"")
        self._began = probe.stat().st_ctime_ns
        probe.unlink()

    def settle(self) -> None:
        """Keep what was published."""
        self._output.settle()

    def expect(self, names: Iterable[str]) -> None:
        """Record files that are about to be published."""
        self._output.expect(names)

    def publish(self, name: str) -> bool:
        """Publish a finished file; returns whether it differs from before."""
        file = self._folder / name
        self._published[name] = file.stat().st_ctime_ns
        return self._output.put(name, file.read_bytes())

    def is_published(self, name: str) -> bool:
        """Whether a file of this name is published, however old."""
        return self._output.has(name)

    def below(self, folder: str) -> set[str]:
        """The files in one folder."""
        names = Tree(self._folder / folder).walk() if folder else self._tree.walk()
        return {f"{folder}/{name}" if folder else name for name in names}

    def prune(self, known: Collection[str]) -> None:
        """Remove what was not written in this build and is not ``known``."""
        for name in list(self._tree.walk()):
            if name not in known and (self._folder / name).stat().st_ctime_ns < self._began:
                self._tree.remove(name)

    def finish(self, known: Collection[str]) -> list[str]:
        """Publish what was written besides, remove what was not written and is not ``known``.

        Returns the output files that differ from before.
        """
        changed = []
        for name in list(self._tree.walk()):
            written = (self._folder / name).stat().st_ctime_ns
            if written < self._began:
                if name not in known:
                    self._tree.remove(name)
                continue
            if name not in known:
                self._by_plugins.add(name)
            if self._published.get(name) != written:
                self.expect([name])
                changed += [name] if self.publish(name) else []
        return changed + self._output.keep_only({*known, *self._by_plugins})
