"""Failing disks: the store's steps are interrupted, refused, or lost in a power cut."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bridge.store.transaction import Disk

_CHANGING = ("write", "append", "sync", "link", "rename", "remove", "mkdir")


class SteppedDisk(Disk):
    """Calls ``before`` ahead of each step; writing a file has two steps, half of it and all."""

    def __init__(self, before: Callable[[str], None]) -> None:
        super().__init__()
        self._before = before

    def __getattribute__(self, name: str) -> object:
        if name in _CHANGING:
            object.__getattribute__(self, "_before")(name)
        return super().__getattribute__(name)

    def _fill(self, file: int, data: bytes) -> None:  # type: ignore[override]  # counts, too
        half = len(data) // 2
        os.write(file, data[:half])
        self._before("half")
        super()._fill(file, data[half:])


def killed_at(step: int) -> SteppedDisk:
    """Kills this process just before a step, as ``kill -9`` would."""
    left = [step]

    def before(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return SteppedDisk(before)


def full_at(step: int, code: int = errno.ENOSPC) -> SteppedDisk:
    """Refuses all steps that need space from one step on; those that free space still work."""
    left = [step]

    def before(name: str) -> None:
        left[0] -= 1
        if left[0] <= 0 and name in {"write", "append", "half", "mkdir", "link"}:
            raise OSError(code, os.strerror(code))

    return SteppedDisk(before)


@dataclass
class _File:
    """A file's content, and the part of it that would survive."""

    data: bytes
    synced: bytes = b""


@dataclass
class _Moment:
    """The state of a disk after a power cut: for each name the earlier and the present content."""

    names: dict[Path, tuple[_File | None, _File | None]] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)


class ForgetfulDisk(Disk):
    """Records, after each step, what a power cut at that moment might leave.

    POSIX only guarantees that content survives after its file was synced, and names after their
    folder was. Everything else may have survived or not, in any combination.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._names: dict[Path, tuple[_File | None, _File | None]] = {}
        self._folders: set[Path] = set()
        self.moments: list[_Moment] = []

    def write(self, path: Path, data: bytes, mode: int = 0o666) -> None:
        super().write(path, data, mode)
        self._name(path, _File(data))

    def append(self, path: Path, data: bytes) -> None:
        super().append(path, data)  # reflogs: no one relies on them after a power cut

    def sync(self, paths: Iterable[Path]) -> None:
        paths = list(paths)
        super().sync(paths)
        for path in paths:
            if path.is_dir():
                for name, (_, now) in self._names.items():
                    if name.parent == path:
                        self._names[name] = (now, now)
            elif file := self._at(path):
                file.synced = file.data
        self._remember()

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._name(target, self._at(source))

    def rename(self, source: Path, target: Path) -> None:
        file = self._at(source)
        self._at(target)
        super().rename(source, target)
        self._names[source] = (self._names[source][0], None)
        self._name(target, file)

    def remove(self, path: Path) -> None:
        if not path.exists():
            return
        self._at(path)
        super().remove(path)
        self._name(path, None)

    def mkdir(self, path: Path) -> None:
        if not path.exists():
            self._folders.add(path)
        super().mkdir(path)

    def _at(self, path: Path) -> _File | None:
        """What a name refers to now; what existed before the first step is safe."""
        if path not in self._names:
            file = None
            if path.exists():
                file = _File(path.read_bytes(), path.read_bytes())
            self._names[path] = (file, file)
        return self._names[path][1]

    def _name(self, path: Path, file: _File | None) -> None:
        safe = self._names[path][0] if path in self._names else None
        self._names[path] = (safe, file)
        self._remember()

    def _remember(self) -> None:
        files = {id(file): _File(file.data, file.synced)
                 for both in self._names.values() for file in both if file}  # fmt: skip
        names = {
            path: (files[id(safe)] if safe else None, files[id(now)] if now else None)
            for path, (safe, now) in self._names.items()
        }
        self.moments.append(_Moment(names, set(self._folders)))

    def cut(self, before: Path, moment: int, target: Path, choose: Random | None) -> None:
        """Make ``target`` the repo as it could be after a power cut.

        ``before`` is the repo as it was at first. Without ``choose`` nothing that was not synced
        has survived; with it, each name and each file's content survives at random.
        """
        shutil.copytree(before, target, symlinks=True)
        state = self.moments[moment]
        for folder in sorted(state.folders):
            (target / folder.relative_to(self._root)).mkdir(exist_ok=True)
        places: dict[int, Path] = {}
        for path, (safe, now) in state.names.items():
            file = now if choose and choose.random() < 0.5 else safe
            place = target / path.relative_to(self._root)
            place.unlink(missing_ok=True)
            if file is None:
                continue
            if id(file) in places:
                place.hardlink_to(places[id(file)])
                continue
            places[id(file)] = place
            survived = choose is not None and choose.random() < 0.5
            place.write_bytes(file.data if survived else file.synced)
            # After a power cut, every file is older than the machine's start.
            if path.suffix == ".lock":
                os.utime(place, (0, 0))
