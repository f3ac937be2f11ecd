"""Reads objects: one ``git cat-file --batch`` for the life of the store.

GitPython starts it; what it answers is read here, because GitPython knows no SHA-256.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from subprocess import PIPE
from typing import Any

from git import GitError, Repo

from bridge.store import StoreBroken
from bridge.store.format.objects import Format, Kind, Listing

_TOGETHER = 256  # questions: 17 kB at the most, where a pipe holds 64
_COMMITS = 1_000  # commits whose trees are known
_REMEMBERED = 50_000  # entries of trees: those along the paths of new posts are at hand


class ObjectDatabase:
    """The objects of a repo, by id. Threads may share it.

    What was just written can be :meth:`remember`-ed, so that the next commit does not read it back.
    """

    def __init__(self, repo: Repo, fmt: Format) -> None:
        self._git = repo.git
        self._format = fmt
        self._lock = threading.Lock()
        self._process: Any = None  # GitPython's, which it does not annotate
        self._closed = False
        self._trees: OrderedDict[bytes, Listing] = OrderedDict()
        self._entries = 0
        self._roots: dict[bytes, bytes] = {}

    def read(self, oid: bytes, kind: Kind) -> bytes:
        """The bytes of an object; :class:`StoreBroken` where it is not there, or something else."""
        with self._lock:
            found, data = self._read(oid.hex())
        if found != kind:
            raise StoreBroken(f"object {oid.hex()} is a {found}, and not a {kind}")
        return data

    def read_many(self, oids: Iterable[bytes], kind: Kind) -> Iterator[bytes]:
        """Many objects, in their order: the questions go out together, which is several times as
        fast as one after the other. Raises as :meth:`read`.
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

    def tree_of(self, commit: bytes) -> bytes:
        """The id of a commit's tree."""
        tree = self._roots.get(commit)
        if tree is None:
            data = self.read(commit, "commit")
            tree = bytes.fromhex(data[len(b"tree ") : data.index(b"\n")].decode("ascii"))
            self.remember_commit(commit, tree)
        return tree

    def remember_commit(self, commit: bytes, tree: bytes) -> None:
        """Keep the tree of a commit at hand."""
        with self._lock:
            self._roots[commit] = tree
            while len(self._roots) > _COMMITS:
                del self._roots[next(iter(self._roots))]

    def remember(self, oid: bytes, listing: Listing) -> None:
        """Keep a tree at hand; the oldest give way."""
        with self._lock:
            if oid in self._trees:
                return
            self._trees[oid] = listing
            self._entries += len(listing)
            while self._entries > _REMEMBERED:
                self._entries -= len(self._trees.popitem(last=False)[1])

    def close(self) -> None:
        """End the git process behind it. A thread that still reads is refused, as no one would
        end the process that it would begin.
        """
        with self._lock:
            self._closed = True
            self._restart()

    def _read_group(self, names: list[str]) -> list[tuple[str, bytes]]:
        try:
            self._ask(*names)
            return [self._answer() for _ in names]
        except (_Missing, OSError):
            self._restart()
            return [self._read(name) for name in names]

    def _read(self, name: str) -> tuple[str, bytes]:
        try:
            self._ask(name)
            return self._answer()
        except (_Missing, OSError):
            # The git process has died, or looks at a repo that has been moved away and back:
            # a new one either finds the object, or says for sure that it is not there.
            self._restart()
        try:
            self._ask(name)
            return self._answer()
        except (_Missing, OSError, GitError) as error:
            self._restart()
            raise StoreBroken(f"object {name} cannot be read: {error}") from error

    def _ask(self, *names: str) -> None:
        """Each name, newline. All of them together have to fit into a pipe, or both would wait."""
        if self._closed:
            raise StoreBroken("the store is closed")
        if self._process is None:
            self._process = self._git.cat_file("--batch", as_process=True, istream=PIPE)
        self._process.stdin.write("".join(f"{name}\n" for name in names).encode())
        self._process.stdin.flush()

    def _answer(self) -> tuple[str, bytes]:
        """Name, kind, size, newline, the bytes, newline."""
        back = self._process.stdout
        header = back.readline().split()
        if len(header) != 3:
            raise _Missing(b" ".join(header).decode("utf-8", "replace") or "git has ended")
        size = int(header[2])
        data: bytes = back.read(size + 1)[:-1]
        if len(data) != size:
            raise _Missing(f"{len(data)} of {size} bytes came")
        return header[1].decode(), data

    def _restart(self) -> None:
        """End the process (GitPython does, once no one has it); the next question begins one."""
        self._process = None


class _Missing(Exception):
    """Git did not answer with an object."""
