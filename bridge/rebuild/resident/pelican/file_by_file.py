"""Plugins that make of each file of the output something that depends on that file alone.

They compress files, or minify them. The main site's are given to them when they are new
(:meth:`~bridge.rebuild.resident.reuse.staged_site.StagedSite.only_new`). Where other plugins may
change any file before, and in sites in further languages, everything is written anew in every
build: there a file that has the same bytes as in the build before gets what was made of it then.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import blinker
from blinker import Signal
from pelican import Pelican
from pelican.plugins import signals

from bridge.rebuild.local.files import Tree
from bridge.rebuild.resident.pelican import plugins
from bridge.rebuild.resident.reuse.staged_site import StagedSite, source_of

#: By the last two parts of their names, since old plugins lie in a folder of the site's.
_KNOWN = (
    "gzip_cache.create_gzip_cache",
    "htmlmin.minify.run",
    "minification.Minification",
    "minify.minify.Minify",
    "optimize_images.optimize_images",
    "precompress.compress_files",
)
#: Has ``finalized`` send further signals, by one of which ``precompress`` is called.
_GRANULAR = "granular_signals"
_Receiver = Callable[..., Any]


@dataclass(slots=True)
class _Made:
    """What was made of the files of one folder: by their names, the digests of their bytes and the
    names of what was made. ``tree`` has a copy of that.
    """

    tree: Tree
    digests: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)

    def has(self, name: str, digest: bytes) -> bool:
        """Whether there is still what was made of a file with these bytes."""
        copies = (self.tree.folder / each for each in self.names.get(name, ()))
        return self.digests.get(name) == digest and all(copy.is_file() for copy in copies)


@dataclass(eq=False)
class FileByFile:
    """Stands in for one such plugin at the signal that it listens to.

    ``folder`` is for copies of what it makes. ``staged`` is the main site while that is finished
    with its new files alone, ``None`` otherwise.
    """

    receiver: _Receiver
    folder: Path
    staged: StagedSite | None = None
    _made: dict[str, _Made] = field(default_factory=dict)

    def __call__(self, site: Pelican) -> None:
        """Have the plugin see what is new."""
        if self.staged is not None:
            with self.staged.only_new() as folder:
                self._run(site, folder)
            return
        output = Tree(Path(site.output_path))
        made = self._made.get(str(output.folder))
        if made is None:
            copies = Tree(self.folder / str(len(self._made)))
            made = self._made[str(output.folder)] = _Made(copies)
        self._make(site, output, made)

    def _make(self, site: Pelican, output: Tree, made: _Made) -> None:
        digests = {name: _digest(output, name) for name in output.walk()}
        new = {name for name, digest in digests.items() if not made.has(name, digest)}
        for name in new | (made.digests.keys() - digests.keys()):
            for each in made.names.pop(name, ()):
                made.tree.remove(each)
        for name in {each for names in made.names.values() for each in names}:
            output.write(name, made.tree.read(name) or b"")
        made.digests = digests
        given = Tree(self.folder / "given")
        try:
            given.folder.mkdir(parents=True, exist_ok=True)
            for name in new:
                if (data := output.read(name)) is not None:
                    given.write(name, data)
            self._run(site, given.folder)
            for name in given.walk():
                data = given.read(name)
                if data is None or (name in new and data == output.read(name)):
                    continue
                made.names.setdefault(source_of(name, new), set()).add(name)
                made.tree.write(name, data)
                output.write(name, data)
        finally:
            shutil.rmtree(given.folder, ignore_errors=True)

    def _run(self, site: Pelican, folder: Path) -> None:
        """Run the plugin as if this was the site's output folder."""
        before = site.output_path
        site.output_path = site.settings["OUTPUT_PATH"] = str(folder)
        try:
            self.receiver(site)
        finally:
            site.output_path = site.settings["OUTPUT_PATH"] = before


def _digest(tree: Tree, name: str) -> bytes:
    return hashlib.sha256(tree.read(name) or b"").digest()


def take_places(folder: Path) -> tuple[FileByFile, ...]:
    """Replace each of these plugins by an object of this class, with a folder below ``folder``."""
    # An earlier process made these files, perhaps with other settings.
    shutil.rmtree(folder, ignore_errors=True)
    found: dict[_Receiver, FileByFile] = {}
    for signal in _signals():
        for receiver in plugins.receivers(signal):
            if any(f".{plugins.name_of(receiver)}".endswith(f".{known}") for known in _KNOWN):
                found[receiver] = FileByFile(receiver, folder / str(len(found)))
        # Not by connecting others: each site in a further language connects the plugins once more.
        vars(signal)["receivers_for"] = partial(_instead, signal, found)
    return tuple(found.values())


def _instead(
    signal: Signal, others: Mapping[_Receiver, FileByFile], sender: object
) -> Iterator[_Receiver]:
    for receiver in type(signal).receivers_for(signal, sender):
        yield others.get(receiver, receiver)


def at_the_end() -> list[_Receiver]:
    """Everything that is called when a site is finished."""
    return [receiver for signal in _signals() for receiver in plugins.receivers(signal)]


def is_more_at_the_end() -> bool:
    """Whether a plugin has ``finalized`` do what is not known here."""
    return "send" in vars(signals.finalized) and len(_signals()) == 1


def _signals() -> list[Signal]:
    """``finalized``, and the signals that are sent with it."""
    names = [
        str(name)
        for module, found in list(sys.modules.items())
        if module.rpartition(".")[2] == _GRANULAR
        for name in getattr(found, "signal_names", ())
    ]
    return [signals.finalized, *map(blinker.signal, dict.fromkeys(names))]
