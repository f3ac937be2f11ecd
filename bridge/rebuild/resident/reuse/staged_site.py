"""The folder that Pelican writes into, from which finished files are published to the output."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output
from bridge.rebuild.resident.pelican.reading import CachedFileChanged

_PROBE = ".build"
#: The clock of a file system ticks this slowly, in nanoseconds.
_TICK = 10_000_000


class StagedSite:
    """A complete copy of the site that is not served.

    What plugins write by themselves is recognised by its time, and removed before the next build,
    also after a build that did not finish. So that build finds what a clean one would find: pages
    and copied files, or nothing. Files that plugins change at the end are put back as Pelican wrote
    them, or these plugins do not get them again.

    Where the clock was set back, older files look newer: :meth:`begin` and :meth:`finish` raise
    :class:`~bridge.rebuild.resident.pelican.reading.CachedFileChanged`.
    """

    def __init__(self, folder: Path, output: Output) -> None:
        self._folder = folder
        self._tree = Tree(folder)
        self._output = output
        self._began = 0
        self._clock, _ = _ahead()
        self._published: dict[str, int] = {}
        self._by_plugins: set[str] = set()
        self._at_load: set[str] = set()
        self._finished = True
        #: The names of pages and copied files.
        self._own: set[str] = set()
        #: Whether plugins change files at the end, and whether no file is published before that.
        self.unfinished = self.holds = False
        self._held: set[str] = set()
        self._derived: defaultdict[str, set[str]] = defaultdict(set)
        self._as_written = Tree(folder.with_name(f"{folder.name}-as-written"))
        self._written: dict[str, int] = {}
        self._new = folder.with_name(f"{folder.name}-new")
        self._older = folder.with_name(f"{folder.name}-older")
        self.remove_older()
        for place in (self._as_written.folder, self._new):
            if place.exists():
                shutil.rmtree(place)
        if folder.exists():
            # An earlier process wrote it, maybe with other settings.
            folder.rename(self._older)

    def loaded(self) -> None:
        """Plugins are loaded: what they have written then is part of every build."""
        self._at_load, _ = self._tree.files_and_others()

    def remove_older(self) -> None:
        """Remove what an earlier process wrote, which takes long for a large site."""
        if self._older.exists():
            shutil.rmtree(self._older)

    def begin(self, kept: Collection[str]) -> None:
        """A build begins. ``kept`` are files that plugins wrote for pages that may stay."""
        self._check_clock()
        if not self._finished:
            own = {*self._own, *self._with_derived(self._own), *kept}
            others = (name for name in self._tree.walk() if name not in own)
            self._by_plugins |= {name for name in others if self._time(name) >= self._began}
        self._finished = False
        while self._by_plugins:
            name = self._by_plugins.pop()
            self._tree.remove(name)
            # Nor is it put back: a plugin that builds the site in a further language looks at
            # what is there before anything is pruned.
            self._written.pop(name, None)
            self._by_plugins |= self._derived.pop(name, set())
        self._published.clear()
        self._output.begin()
        self._folder.mkdir(parents=True, exist_ok=True)
        before = self._put_back()
        self._held |= self._at_load
        # By the clock of the file system, which is not that of the process, and ticks slowly.
        probe = self._folder / _PROBE
        while True:
            probe.write_bytes(b"")
            self._began = self._time(_PROBE)
            probe.unlink()
            if self._began > before:
                break
            self._check_clock()

    def settle(self) -> None:
        """Keep what was published."""
        self._output.settle()

    def expect(self, names: Iterable[str]) -> None:
        """Record files that are about to be published."""
        self._output.expect(names)

    def publish(self, name: str) -> bool:
        """Publish a finished file, unless plugins are yet to change it; returns whether it differs
        from before.
        """
        self._own.add(name)
        if self.unfinished:
            self._held.add(name)
            if self.holds:
                return False
        return self._put(name)

    def is_published(self, name: str) -> bool:
        """Whether a file of this name is published, however old."""
        return self._output.has(name)

    def is_folder(self, name: str) -> bool:
        """Whether there is a folder of this name."""
        return (self._folder / name).is_dir()

    def below(self, folder: str) -> set[str]:
        """The files in one folder."""
        names = Tree(self._folder / folder).walk() if folder else self._tree.walk()
        return {f"{folder}/{name}" if folder else name for name in names}

    def prune(self, known: Collection[str]) -> None:
        """Remove what was not written in this build and is not ``known``."""
        known = self._with_derived(known) | self._at_load
        for name in list(self._tree.walk()):
            if name not in known and self._time(name) < self._began:
                self._tree.remove(name)

    def keep_as_written(self) -> None:
        """Keep every file as it is, for the next build: plugins are about to change some."""
        files, _ = self._tree.files_and_others()
        self._written = {name: self._keep(name) for name in files if not self._is_link(name)}
        for name in list(self._as_written.walk()):
            if name not in self._written:
                self._as_written.remove(name)

    @contextmanager
    def only_new(self) -> Iterator[Path]:
        """A folder with the new files alone, for a plugin to change them or make others of them."""
        files, _ = self._tree.files_and_others()
        new = {
            name
            for name in files
            if (name in self._held or self._time(name) >= self._began) and not self._is_link(name)
        }
        self._new.mkdir(parents=True, exist_ok=True)
        try:
            for name in new:
                _copy(self._folder / name, self._new / name)
            yield self._new
            made, _ = Tree(self._new).files_and_others()
            for name in made:
                data, before = (self._new / name).read_bytes(), self._tree.read(name)
                if name not in new:
                    self._derived[source_of(name, new)].add(name)
                elif data == before:
                    continue
                self._tree.write(name, data)
        finally:
            shutil.rmtree(self._new)

    def finish(self, known: Collection[str]) -> list[str]:
        """Publish what was written besides, remove what was not written and is not ``known``.

        Returns the output files that differ from before.
        """
        self._check_clock()
        changed = []
        known = self._with_derived(known) | self._at_load
        there, others = self._tree.files_and_others()
        for name in there | others:
            written = self._time(name)
            if written < self._began:
                if name not in known:
                    self._tree.remove(name)
                    continue
                if name not in self._held:
                    continue
            elif name not in known:
                self._by_plugins.add(name)
            if name in there and self._published.get(name) != written:
                self.expect([name])
                changed += [name] if self._put(name) else []
        self._held.clear()
        self._own &= known
        self._finished = True
        stay = {*known, *self._by_plugins} - others
        # What a plugin has removed at the end is not in a clean build either.
        return changed + self._output.keep_only(stay & there if self.unfinished else stay)

    def _check_clock(self) -> None:
        before = self._clock
        self._clock, most = _ahead()
        if most < before - _TICK:
            raise CachedFileChanged("the clock was set back")

    def _put(self, name: str) -> bool:
        self._published[name] = self._time(name)
        return self._output.put(name, (self._folder / name).read_bytes())

    def _time(self, name: str) -> int:
        file = self._folder / name
        try:
            return file.stat().st_ctime_ns
        except OSError:
            return file.lstat().st_ctime_ns  # a link that leads nowhere

    def _is_link(self, name: str) -> bool:
        return (self._folder / name).is_symlink()

    def _keep(self, name: str) -> int:
        written = self._time(name)
        if self._written.get(name) != written:
            _copy(self._folder / name, self._as_written.folder / name)
        return written

    def _put_back(self) -> int:
        """Put back the files as they were written; returns the time of the last one."""
        last = 0
        for name, written in self._written.items():
            file = self._folder / name
            if not file.is_file() or self._time(name) != written:
                _copy(self._as_written.folder / name, file)
                last = self._written[name] = self._time(name)
                self._held.add(name)
        return last

    def _with_derived(self, known: Collection[str]) -> set[str]:
        """These files, and what plugins have made of each: not what they made of an older form."""
        found = set(known)
        for source, names in self._derived.items():
            if not (self._folder / source).is_file():
                continue
            is_new = self._time(source) >= self._began
            if source in found or is_new:
                there = {name for name in names if (self._folder / name).is_file()}
                found |= {name for name in there if not is_new or self._time(name) >= self._began}
        return found


def _ahead() -> tuple[int, int]:
    """By how much the clock is ahead of one that is never set, at least and at most."""
    first, now, last = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return now - last, now - first


def source_of(name: str, files: Collection[str]) -> str:
    """Of which of these files a plugin has made another: ``x.html`` for ``x.html.gz``."""
    parts = (name[:end] for end in range(len(name), 0, -1))
    return next((part for part in parts if part in files), "")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    shutil.copy2(source, target)
