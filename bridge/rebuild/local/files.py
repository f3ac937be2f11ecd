"""Writes files below one folder and never outside it, atomically, and keeps what they contained
before a build until it has succeeded.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bridge.runtime import beneath

_COUNTER = itertools.count()
_TEMPORARY = ".bridge-"


class OutsideFolder(Exception):
    """A path that leads outside of the folder. Nothing was written."""


class Tree:
    """A folder whose files are replaced atomically.

    Every path is relative, with ``/``. A symbolic link on the way is never followed: it could lead
    anywhere.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._real: set[Path] = set()

    def place(self, path: str) -> Path:
        """Where a path is on disk; raises :class:`OutsideFolder`."""
        names = path.split("/")
        if any(name in {"", ".", ".."} or "\0" in name for name in names):
            raise OutsideFolder(f"{path!r} is not a path inside a folder")
        return self.folder.joinpath(*names)

    def read(self, path: str) -> bytes | None:
        """A file's bytes; ``None`` where there is no regular file."""
        self.place(path)
        try:
            return beneath.read(self.folder, path)
        except OSError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically, by a temporary file beside it and a rename."""
        place = self._ready(path)
        temporary = place.with_name(f"{_TEMPORARY}{os.getpid()}-{next(_COUNTER)}")
        try:
            temporary.write_bytes(data)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def remove(self, path: str) -> None:
        """Remove a file, if it exists, and the folders that are empty without it."""
        place = self.place(path)
        try:
            if not self._reaches(place.parent):
                return
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                place.unlink()
        except (OSError, UnicodeEncodeError) as error:
            if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                raise
            return  # no file has such a name
        for folder in place.parents:
            if folder == self.folder:
                break
            try:
                folder.rmdir()
            except OSError:
                break
            self._real.discard(folder)

    def walk(self) -> Iterator[str]:
        """Every file, links to files included, in no particular order."""
        return (path for path, _ in self._entries())

    def files_and_others(self) -> tuple[set[str], set[str]]:
        """The files, and what is none that can be published: pipes, sockets, and links that lead
        nowhere, or to what may not be read.
        """
        files, others = set[str](), set[str]()
        for path, entry in self._entries():
            is_file = entry.is_file(follow_symlinks=False) or (
                entry.is_symlink() and _may_be_opened(self.folder / path)
            )
            (files if is_file else others).add(path)
        return files, others

    def _entries(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        # os.walk takes twice as long, which counts for a large site.
        root, folders = os.fspath(self.folder), [""]
        while folders:
            inside = folders.pop()
            try:
                with os.scandir(f"{root}/{inside}") as found:
                    entries = list(found)
            except OSError:
                continue
            for entry in entries:
                if not _is_folder(entry):
                    yield inside + entry.name, entry
                elif not entry.is_symlink():
                    folders.append(f"{inside}{entry.name}/")

    def sweep(self) -> None:
        """Remove the temporary files of a process that was killed."""
        for path in list(self.walk()):
            if path.rpartition("/")[2].startswith(_TEMPORARY):
                self.remove(path)

    def forget(self) -> None:
        """Drop what is cached about the folder: another process may have changed it."""
        self._real.clear()

    def _ready(self, path: str) -> Path:
        """The place of a file, after creating its folders and removing what is not a file there."""
        place = self.place(path)
        self._make(place.parent)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(place.lstat().st_mode):
                shutil.rmtree(place)
                self.forget()
        return place

    def _make(self, folder: Path) -> None:
        if folder in self._real:
            return
        if folder != self.folder:
            self._make(folder.parent)
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                folder.unlink()
        folder.mkdir(parents=folder == self.folder, exist_ok=True)
        self._real.add(folder)

    def _reaches(self, folder: Path) -> bool:
        """Whether the path to a folder contains no symbolic links."""
        way = [folder, *folder.parents]
        inside = way[: way.index(self.folder)]
        return not any(step.is_symlink() for step in inside)


_INDEX = "index"


class _Entry(msgspec.Struct, frozen=True):
    """A file that was written or removed; ``kept`` names a copy of its earlier contents, if it had
    any.
    """

    path: str
    kept: str | None = None


class Journal:
    """Restores a folder to its state after the last successful build.

    The journal is on disk, and two processes may use it in turn. The site's code can write to it,
    so no link in it is followed.
    """

    def __init__(self, folder: Path, tree: Tree) -> None:
        """``folder`` is the journal's own; ``tree`` is the one to restore."""
        self._folder = folder
        self._files = Tree(folder)
        self._tree = tree
        self._noted = set[str]()
        self.reload()

    def reload(self) -> None:
        """Read the journal again: another process may have used it."""
        self._noted = {entry.path for entry in self._entries()}

    def note(self, path: str, before: bytes | None) -> None:
        """Record a file that is about to be written or removed; ``before`` is what it contains."""
        if path in self._noted:
            return
        self._noted.add(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = None
        if before is not None:
            kept = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
            place = self._folder / kept
            place.unlink(missing_ok=True)
            try:
                os.link(self._tree.place(path), place, follow_symlinks=False)
            except OSError:
                # On another disk, or one that has no hard links.
                place.write_bytes(before)
        with (self._folder / _INDEX).open("ab") as index:
            # The standard library's, which can write names that are not UTF-8.
            index.write(json.dumps(msgspec.to_builtins(_Entry(path, kept))).encode() + b"\n")

    def is_empty(self) -> bool:
        """Whether nothing has changed."""
        return next(self._entries(), None) is None

    def restore(self) -> tuple[set[str], set[str]]:
        """Restore everything; returns the files that are back, and new ones that were removed."""
        again, new = set[str](), set[str]()
        for entry in list(self._entries()):
            data = self._files.read(entry.kept) if entry.kept else None
            with contextlib.suppress(OutsideFolder):
                if data is not None:
                    self._tree.write(entry.path, data)
                    again.add(entry.path)
                elif entry.kept is None:
                    self._tree.remove(entry.path)
                    new.add(entry.path)
        self.clear()
        return again, new

    def clear(self) -> None:
        """The build has succeeded: keep what it wrote."""
        self._noted.clear()
        if self._folder.is_symlink():
            self._folder.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def _entries(self) -> Iterator[_Entry]:
        for line in (self._files.read(_INDEX) or b"").splitlines():
            # The last line may have been cut off.
            with contextlib.suppress(ValueError):
                yield msgspec.convert(json.loads(line), _Entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _may_be_opened(place: Path) -> bool:
    try:
        os.close(beneath.open_anywhere(place))
    except OSError:
        return False
    return True
