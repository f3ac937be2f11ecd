"""Verifies the output against a clean build, and replaces it where they differ."""

from __future__ import annotations

import filecmp
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from bridge.rebuild.build import Task
from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import LogSummary
from bridge.runtime.process import in_thread


class CleanBuild(Protocol):
    """Builds a whole site into a folder."""

    async def make(self, task: Task, folder: Path) -> LogSummary:
        """Build; raises :class:`~bridge.rebuild.build.BuildFailed`."""
        ...


class BuildVerifier(Struct, frozen=True):
    """Builds the site cleanly below ``folder``, to compare it with ``output``."""

    build: CleanBuild
    output: Output
    folder: Path

    async def verify(self, task: Task) -> list[str]:
        """Returns the output files that differed from a clean build, and replaces them."""
        first, second = self.folder / "first", self.folder / "second"
        await self.build.make(task, first)
        other = await in_thread(differing, first, self.output.folder, self._ours(first))
        if other:
            # A page that shows the time of the build differs between two clean builds as well.
            await self.build.make(task, second)
            missing = {name for name in other if not (self.output.folder / name).is_file()}
            other = await in_thread(stable, first, second, other, missing)
        if other:
            await in_thread(self.output.take_over, second)
        return other

    def _ours(self, clean: Path) -> set[str]:
        """What to compare: not the files in the output that others put there."""
        return self.output.remembered() | set(Tree(clean).walk())


def differing(one: Path, other: Path, names: Iterable[str]) -> list[str]:
    """The names of files that are not the same below both folders, sorted."""
    return sorted(name for name in names if not _same(one / name, other / name))


def stable(
    first: Path, second: Path, names: Iterable[str], missing: Collection[str] = ()
) -> list[str]:
    """The names of files that are the same below both folders; of those ``missing`` in the output,
    the names of files that are below both.
    """
    return [
        name
        for name in names
        if _same(first / name, second / name)
        or (name in missing and (first / name).is_file() and (second / name).is_file())
    ]


def _same(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return not one.is_file() and not other.is_file()
    return filecmp.cmp(one, other, shallow=False)
