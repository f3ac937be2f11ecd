"""A content store in memory: for tests, and the shortest description of what a store does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType

from bridge.store import (
    Blob,
    BlobId,
    BranchMoved,
    Commit,
    Difference,
    FileChanged,
    LoggedCommit,
    Removal,
    StoreBroken,
    StoreError,
    Version,
)
from bridge.store.object_database import check_path, is_below

_Files = Mapping[str, BlobId]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a version holds, and the version before it."""

    files: _Files
    parent: Version | None
    message: str
    time: float


@dataclass
class _Branch:
    """What stores that share a branch share."""

    head: Version | None = None
    snapshots: dict[Version, _Snapshot] = field(default_factory=dict)
    blobs: dict[BlobId, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryStore:
    """A :class:`~bridge.store.ContentStore` that forgets everything at the end of the process.

    Two of them ``sharing`` one another share a branch, as two processes share a repo.
    """

    def __init__(self, *, sharing: MemoryStore | None = None) -> None:
        self._branch: _Branch = sharing._branch if sharing else _Branch()
        self._mine: set[Version | None] = {self._branch.head}

    def head(self) -> Version | None:
        """The newest version."""
        return self._branch.head

    def read(self, path: str, at: Version) -> Blob | None:
        """One file."""
        blob = self._files(at).get(path)
        return None if blob is None else Blob(blob, self._branch.blobs[blob])

    def files(self, folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
        """Every file below a folder."""
        for path, blob in sorted(self._files(at).items(), key=lambda item: os.fsencode(item[0])):
            if is_below(path, folder):
                yield path, blob

    def links(self, folder: str, at: Version) -> Mapping[str, str]:
        """No links: this store has files only."""
        del folder, at
        return {}

    def blobs(self, ids: Iterable[BlobId]) -> Iterator[Blob]:
        """The bytes behind many ids."""
        for blob in ids:
            if blob not in self._branch.blobs:
                raise StoreBroken(f"there is no blob {blob}")
            yield Blob(blob, self._branch.blobs[blob])

    def diff(self, old: Version, new: Version) -> Sequence[Difference]:
        """Every path that differs."""
        before, after = self._files(old), self._files(new)
        paths = sorted(before.keys() | after.keys(), key=os.fsencode)
        pairs = ((path, before.get(path), after.get(path)) for path in paths)
        return [Difference(path, was, now) for path, was, now in pairs if was != now]

    def removals(self, places: Collection[str], at: Version) -> Iterator[Removal]:
        """Files that were removed, newest removal first."""
        seen = set[tuple[str, BlobId]]()
        version: Version | None = at
        while version is not None:
            snapshot = self._snapshot(version)
            before = self._files(snapshot.parent) if snapshot.parent else {}
            for path in sorted(before.keys() - snapshot.files.keys()):
                is_new = (path, before[path]) not in seen
                seen.add((path, before[path]))
                if is_new and any(path == place or is_below(path, place) for place in places):
                    yield Removal(path, before[path], version, snapshot.time)
            version = snapshot.parent

    def log(self, at: Version, *, path: str = "", since: float = 0.0) -> Iterator[LoggedCommit]:
        """Commits with their messages, newest first."""
        version: Version | None = at
        while version is not None:
            snapshot = self._snapshot(version)
            before = self._files(snapshot.parent) if snapshot.parent else {}
            changed = not path or before.get(path) != snapshot.files.get(path)
            if changed and snapshot.time >= since:
                yield LoggedCommit(version, snapshot.time, snapshot.message)
            version = snapshot.parent

    def commit(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        """Commit each on top of the one before."""
        with self._branch.lock:
            if self._branch.head not in self._mine:
                self._mine = {self._branch.head}
            return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> Version | StoreError:
        try:
            files = self._changed(commit)
        except StoreError as error:
            return error
        parent = self._branch.head
        blobs = {_blob_id(change.content): change.content for change in commit.changes
                 if change.content is not None}  # fmt: skip
        digest = hashlib.sha256(repr((parent, sorted(files.items()), commit.message)).encode())
        version = Version(digest.hexdigest())
        self._branch.blobs.update(blobs)
        self._branch.snapshots[version] = _Snapshot(
            MappingProxyType(files), parent, commit.message, time.time()
        )
        self._branch.head = version
        self._mine.add(version)
        return version

    def _changed(self, commit: Commit) -> dict[str, BlobId]:
        """The files after a commit; raises when it rests on what is no longer so."""
        if commit.base not in self._mine:
            raise BranchMoved("there is a newer commit")
        files = dict(self._files(self._branch.head)) if self._branch.head else {}
        for change in commit.changes:
            check_path(change.path, exists=change.expected is not None)
            if files.get(change.path) != change.expected:
                raise FileChanged(change.path)
            if change.content is None:
                files.pop(change.path, None)
                continue
            if change.path not in files and _is_taken(change.path, files):
                raise FileChanged(change.path)
            files[change.path] = _blob_id(change.content)
        return files

    def _files(self, at: Version) -> _Files:
        return self._snapshot(at).files

    def _snapshot(self, at: Version) -> _Snapshot:
        if at not in self._branch.snapshots:
            raise StoreBroken(f"there is no version {at}")
        return self._branch.snapshots[at]


def _is_taken(path: str, files: Mapping[str, BlobId]) -> bool:
    """Whether a new path goes through a file, or is a folder: no name is both."""
    above, inside = map(str, PurePosixPath(path).parents), f"{path}/"
    return any(each in files for each in above) or any(each.startswith(inside) for each in files)


def _blob_id(data: bytes) -> BlobId:
    return BlobId(hashlib.sha256(data).hexdigest())
