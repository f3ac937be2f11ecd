"""The folder that Pelican writes into, and the way of finished files from there to the output."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from bridge.rebuild.files import Tree
from bridge.rebuild.output import Output

_PROBE = ".build"


class Shadow:
    """A whole site that nobody looks at.

    Files that a plugin writes by itself are known by their time: they are written in every build.
    """

    def __init__(self, folder: Path, output: Output) -> None:
        self._folder = folder
        self._tree = Tree(folder)
        self._output = output
        self._began = 0
        self._published: set[str] = set()

    def begin(self) -> None:
        """A build begins."""
        self._published.clear()
        self._folder.mkdir(parents=True, exist_ok=True)
        # By the clock of the file system, which is not that of the process.
        probe = self._folder / _PROBE
        probe.write_bytes(b"")
        self._began = probe.stat().st_ctime_ns
        probe.unlink()

    def expect(self, names: Iterable[str]) -> None:
        """These files are about to be published."""
        self._output.expect(names)

    def publish(self, name: str) -> bool:
        """Put a finished file where the world sees it; whether it is other than before."""
        self._published.add(name)
        return self._output.put(name, (self._folder / name).read_bytes())

    def below(self, folder: str) -> set[str]:
        """The files in one folder."""
        names = Tree(self._folder / folder).walk() if folder else self._tree.walk()
        return {f"{folder}/{name}" if folder else name for name in names}

    def finish(self, known: Collection[str]) -> list[str]:
        """Publish what was written besides, remove what was not written and is not ``known``.

        Returns the output files that are other than before.
        """
        changed = []
        live = set(known)
        for name in list(self._tree.walk()):
            if (self._folder / name).stat().st_ctime_ns >= self._began:
                live.add(name)
                if name not in self._published:
                    self.expect([name])
                    changed += [name] if self.publish(name) else []
            elif name not in live:
                self._tree.remove(name)
        return changed + self._output.keep_only(live)
