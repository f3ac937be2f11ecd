"""Reads objects by id and files by path, and writes the trees of a changed version.

One ``git cat-file --batch`` serves for the life of the store. GitPython starts it, but its answers
are read here, because GitPython does not support SHA-256.
"""

from __future__ import annotations

import os
import posixpath
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from subprocess import PIPE
from typing import Any, BinaryIO

from git import GitError, Repo

from bridge.store import FileChanged, StoreBroken, StoreError
from bridge.store.objects import (
    EMPTY,
    FILE_MODES,
    FOLDER,
    LINK,
    Format,
    Kind,
    Listing,
    Object,
    TreeEntry,
)
from bridge.store.repo import kill, receive

_TOGETHER = 256  # questions: 17 kB at the most, where a pipe holds 64
_MOMENT = 0.05  # seconds
_COMMITS = 1_000  # commits whose trees are known
#: How many symbolic links the path of a file may lead through.
_LINKS_ALONG_A_PATH = 10
_REMEMBERED = 50_000  # entries of trees: those along the paths of new posts are at hand


class ObjectDatabase:
    """The objects of a repo, by id. Threads may share it.

    Trees that have just been written are kept by :meth:`remember`, so that the next commit does not
    read them back.
    """

    def __init__(self, repo: Repo, fmt: Format, *, seconds: float = 20.0) -> None:
        """``seconds`` is how long git may take to answer, or to go on with an answer, before it is
        ended.
        """
        self._git = repo.git
        self._seconds = seconds
        self._format = fmt
        self._lock = threading.Lock()
        self._process: Any = None  # GitPython's, which it does not annotate
        self._answers: _Answers | None = None  # of that process
        self._closed = False
        self._trees: OrderedDict[bytes, Listing] = OrderedDict()
        self._entries = 0
        self._roots: dict[bytes, bytes] = {}

    def read(self, oid: bytes, kind: Kind) -> bytes:
        """The bytes of an object. Raises :class:`StoreBroken` if it is missing or of another
        kind.
        """
        with self._lock:
            found, data = self._read(oid.hex())
        if found != kind:
            raise StoreBroken(f"object {oid.hex()} is a {found}, and not a {kind}")
        return data

    def read_many(self, oids: Iterable[bytes], kind: Kind) -> Iterator[bytes]:
        """The bytes of many objects, in order. Questions are sent in groups, which is several
        times as fast as one by one. Raises as :meth:`read`.
        """
        waiting = iter(oids)
        while group := [oid.hex() for oid in islice(waiting, _TOGETHER)]:
            with self._lock:
                answers = self._read_group(group)
            for name, (found, data) in zip(group, answers, strict=True):
                if found != kind:
                    raise StoreBroken(f"object {name} is a {found}, and not a {kind}")
                yield data

    def tree(self, oid: bytes) -> Listing:
        """The entries of a tree."""
        with self._lock:
            listing = self._trees.get(oid)
            if listing is not None:
                self._trees.move_to_end(oid)
                return listing
        listing = self._format.listing(self.read(oid, "tree"))
        self.remember(oid, listing)
        return listing

    def tree_with(self, oid: bytes, part: bytes) -> Listing:
        """The entries of a tree, or none of them where neither is a folder nor has ``part`` in its
        name: such a tree is not parsed.
        """
        data = self.read(oid, "tree")
        return self._format.listing(data) if part in data or FOLDER + b" " in data else EMPTY

    def tree_of(self, commit: bytes) -> bytes:
        """The id of a commit's tree."""
        tree = self._roots.get(commit)
        if tree is None:
            data = self.read(commit, "commit")
            tree = bytes.fromhex(data[len(b"tree ") : data.index(b"\n")].decode("ascii"))
            self.remember_commit(commit, tree)
        return tree

    def parents_of(self, commit: bytes) -> list[bytes]:
        """The ids of a commit's parents."""
        head = self.read(commit, "commit").partition(b"\n\n")[0]
        return [
            bytes.fromhex(line[len(b"parent ") :].decode("ascii"))
            for line in head.split(b"\n")
            if line.startswith(b"parent ")
        ]

    def remember_commit(self, commit: bytes, tree: bytes) -> None:
        """Cache the id of a commit's tree."""
        with self._lock:
            self._roots[commit] = tree
            while len(self._roots) > _COMMITS:
                del self._roots[next(iter(self._roots))]

    def remember(self, oid: bytes, listing: Listing) -> None:
        """Cache a tree; the least recently used ones are dropped."""
        with self._lock:
            if oid in self._trees:
                return
            self._trees[oid] = listing
            self._entries += len(listing)
            while self._entries > _REMEMBERED:
                self._entries -= len(self._trees.popitem(last=False)[1])

    def close(self) -> None:
        """End the git process. A thread that reads then or later gets an error, so that it starts
        no process that nothing would end.
        """
        self._closed = True
        # A thread that waits for an answer of git's, even of one that hangs, holds the lock.
        while not self._lock.acquire(timeout=_MOMENT):
            if (process := self._process) is not None:
                process.kill()
        self._end_process()
        self._lock.release()

    def _read_group(self, names: list[str]) -> list[tuple[str, bytes]]:
        try:
            answers = self._ask(*names)
            return [answers.next() for _ in names]
        except (_Missing, OSError):
            self._end_process()
            return [self._read(name) for name in names]

    def _read(self, name: str) -> tuple[str, bytes]:
        try:
            return self._ask(name).next()
        except (_Missing, OSError):
            # The git process has died, or its repo was moved away and back: a new process either
            # finds the object, or is certain that it is missing.
            self._end_process()
        try:
            return self._ask(name).next()
        except (_Missing, OSError, GitError) as error:
            self._end_process()
            raise StoreBroken(f"object {name} cannot be read: {error}") from error

    def _ask(self, *names: str) -> _Answers:
        """Send names, one a line, and return what the answers come from. Together they must fit
        into the pipe, or both sides would wait.
        """
        if self._closed:
            raise StoreBroken("the store is closed")
        if self._process is None or self._answers is None:
            self._process = self._git.cat_file("--batch", as_process=True, istream=PIPE)
            self._answers = _Answers(self._process.stdout, self._seconds)
        self._process.stdin.write("".join(f"{name}\n" for name in names).encode())
        self._process.stdin.flush()
        return self._answers

    def _end_process(self) -> None:
        """End the process; the next question starts another."""
        process, self._process, self._answers = self._process, None, None
        if process is not None:
            kill(process)


class _Missing(Exception):
    """Git did not answer with an object."""


class _Answers:
    """The answers of ``git cat-file --batch``: each is an id, a kind, a size, a newline, the bytes,
    and a newline.
    """

    def __init__(self, back: BinaryIO, seconds: float) -> None:
        """``seconds`` is how long each wait for more bytes may take."""
        self._file = back.fileno()
        self._seconds = seconds
        self._received = bytearray()

    def next(self) -> tuple[str, bytes]:
        """The kind and the bytes of the next object.

        Raises :class:`_Missing`, and :class:`TimeoutError` where git stops, be it in the middle.
        """
        while (end := self._received.find(b"\n")) < 0:
            self._receive()
        header = self._take(end + 1).split()
        if len(header) != 3:
            raise _Missing(b" ".join(header).decode("utf-8", "replace"))
        return header[1].decode(), self._take(int(header[2]) + 1)[:-1]

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        taken = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return taken

    def _receive(self) -> None:
        if not (more := receive(self._file, self._seconds)):
            raise _Missing("git has ended")
        self._received += more


def check_path(path: str, *, exists: bool = False) -> None:
    """Raise :class:`StoreError` if a path cannot be that of a file in a repo.

    ``exists``: it is that of a file that is there already, which may have a backslash in its name.
    Callers choose valid paths; this is the last check before the disk.
    """
    # git fsck: no empty name, no "." or "..", no ".git" in any case, none that Windows or macOS
    # would read as ".git" (a trailing dot or space, "git~1").
    for name in path.split("/"):
        plain = name.lower().rstrip(". ")
        # git writes a backslash in a name everywhere but on Windows, where it separates folders.
        unclear = "\0" in name or ("\\" in name and not exists)
        if not plain or plain in {".git", "git~1"} or unclear:
            raise StoreError(f"{path!r} cannot be the path of a file in a repo")


def is_below(path: str, folder: str) -> bool:
    """Whether a path is inside a folder; everything is inside ``""``."""
    return not folder or path.startswith(folder.rstrip("/") + "/")


def find(database: ObjectDatabase, tree: bytes, path: str) -> TreeEntry | None:
    """The entry at a path (a file, folder or symlink); ``None`` if there is none."""
    entry = TreeEntry(FOLDER, tree)
    for name in os.fsencode(path).split(b"/"):
        if not entry.is_folder:
            return None
        below = database.tree(entry.oid).get(name)
        if below is None:
            return None
        entry = below
    return entry


def resolve(database: ObjectDatabase, tree: bytes, path: str) -> str | None:
    """Where a path leads through symbolic links inside the repo, whether there is a file or not;
    ``None`` if there can be none.
    """
    for _ in range(_LINKS_ALONG_A_PATH):
        parts = path.split("/")
        entry, followed = TreeEntry(FOLDER, tree), 0
        while entry.is_folder and followed < len(parts):
            below = database.tree(entry.oid).get(os.fsencode(parts[followed]))
            if below is None:
                return path
            entry, followed = below, followed + 1
        if entry.mode != LINK:
            return path if entry.is_file and followed == len(parts) else None
        target = _target(database, "/".join(parts[:followed]), entry.oid)
        if target is None:
            return None
        path = "/".join([target, *parts[followed:]])
    return None


def links(database: ObjectDatabase, tree: bytes, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every symbolic link below a tree that leads somewhere in the repo, and where."""
    listing = database.tree_with(tree, LINK + b" ")
    for name, mode, oid in listing.items():
        path = f"{prefix}{os.fsdecode(name)}"
        if mode == FOLDER:
            yield from links(database, oid, f"{path}/")
        elif mode == LINK and (target := _target(database, path, oid)):
            yield path, target


def _target(database: ObjectDatabase, link: str, oid: bytes) -> str | None:
    """Where a symbolic link leads; ``None`` if that is outside of the repo, or all of it."""
    where = os.fsdecode(database.read(oid, "blob"))
    target = posixpath.normpath(posixpath.join(posixpath.dirname(link), where))
    return None if target in {".", ".."} or target.startswith(("../", "/")) else target


def walk(
    database: ObjectDatabase, tree: bytes, prefix: bytes = b"", *, part: bytes = b""
) -> Iterator[tuple[str, bytes]]:
    """Every file below a tree (with ``part`` in its name), by path, with its id. Git's order of
    trees makes the result sorted.
    """
    entries = database.tree_with(tree, part) if part else database.tree(tree)
    for name, mode, oid in entries.items():
        if mode == FOLDER:
            yield from walk(database, oid, prefix + name + b"/", part=part)
        elif mode in FILE_MODES and part in name:
            yield os.fsdecode(prefix + name), oid


def compare(
    database: ObjectDatabase, old: bytes | None, new: bytes | None, prefix: bytes = b""
) -> Iterator[tuple[str, TreeEntry | None, TreeEntry | None]]:
    """Everything except folders that differs between two trees; equal folders are skipped."""
    if old == new:
        return
    before = database.tree(old) if old else EMPTY
    after = database.tree(new) if new else EMPTY
    for name in sorted(before.differing(after)):
        was, now = before.get(name), after.get(name)
        yield from compare(database, _folder(was), _folder(now), prefix + name + b"/")
        leaf_was, leaf_now = _leaf(was), _leaf(now)
        if leaf_was != leaf_now:
            yield os.fsdecode(prefix + name), leaf_was, leaf_now


def _folder(entry: TreeEntry | None) -> bytes | None:
    return entry.oid if entry and entry.is_folder else None


def _leaf(entry: TreeEntry | None) -> TreeEntry | None:
    return None if entry and entry.is_folder else entry


@dataclass
class _Folder:
    """A folder that is being changed: its entries, its id before, and its changed subfolders."""

    listing: Listing
    oid: bytes | None = None
    below: dict[bytes, _Folder] = field(default_factory=dict)


class TreeEditor:
    """Changes files in a tree. Only the folders along their paths are read and rewritten."""

    def __init__(self, database: ObjectDatabase, fmt: Format, tree: bytes | None) -> None:
        self._database = database
        self._format = fmt
        self._root = _Folder(database.tree(tree), tree) if tree else _Folder(EMPTY)

    def get(self, path: str) -> TreeEntry | None:
        """What is at a path now."""
        folder, name = self._go(path, make=False)
        return folder.listing.get(name) if folder else None

    def put(self, path: str, entry: TreeEntry) -> None:
        """Write a file. Raises :class:`FileChanged` if its path is a folder, or leads through a
        file.
        """
        folder, name = self._go(path, make=True)
        present = folder.listing.get(name) if folder else None
        if folder is None or name in folder.below or (present and present.is_folder):
            raise FileChanged(path)
        folder.listing = folder.listing.replaced(name, entry)

    def remove(self, path: str) -> None:
        """Delete a file."""
        folder, name = self._go(path, make=False)
        if folder:
            folder.listing = folder.listing.replaced(name, None)

    def write(self) -> tuple[bytes, list[Object]]:
        """The new tree's id, and the tree objects that have to be written."""
        objects: list[Object] = []
        return self._write(self._root, objects), objects

    def _go(self, path: str, *, make: bool) -> tuple[_Folder | None, bytes]:
        """The folder of a file, and the file's name; ``None`` if there is no such folder, or
        (``make``) if there can be none.
        """
        *folders, name = os.fsencode(path).split(b"/")
        current = self._root
        for folder in folders:
            if folder not in current.below:
                entry = current.listing.get(folder)
                if entry is None and make:
                    current.below[folder] = _Folder(EMPTY)
                elif entry is None or not entry.is_folder:
                    return None, name
                else:
                    current.below[folder] = _Folder(self._database.tree(entry.oid), entry.oid)
            current = current.below[folder]
        return current, name

    def _write(self, folder: _Folder, objects: list[Object]) -> bytes:
        for name, below in folder.below.items():
            oid = self._write(below, objects)
            # Git has no empty folders.
            entry = TreeEntry(FOLDER, oid) if len(below.listing) else None
            folder.listing = folder.listing.replaced(name, entry)
        tree = self._format.tree(folder.listing, folder.oid)
        self._database.remember(tree.oid, folder.listing)
        if len(folder.listing) or folder is self._root:
            objects.append(tree)
        return tree.oid
