"""The builder's own copy of the site's files: always those of one version, made from commits.

The owner's working tree is never looked at. A small file beside the folder says which version is
on disk, so that going on to the next costs what differs between the two; where that file is lost,
damaged, or says that somebody was interrupted, the truth is found by comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import msgspec

from bridge.rebuild.files import OutsideFolder, Tree
from bridge.store import Blob, BlobId, ContentStore, StoreBroken, Version

#: When a file may be built first, from its path and bytes; ``None``: at any time.
Due: TypeAlias = Callable[[str, bytes], datetime | None]


class Waiting(msgspec.Struct, frozen=True):
    """A file that is committed, but not on disk before its time."""

    blob: str
    due: datetime


class _State(msgspec.Struct, frozen=True):
    """What is on disk: ``version``, and some files of ``towards`` if somebody was interrupted."""

    version: str | None = None
    towards: tuple[str, ...] = ()
    waiting: dict[str, Waiting] = {}
    left_out: frozenset[str] = frozenset()


@dataclass
class _Step:
    """One way from what is on disk to a version."""

    now: datetime
    left_out: frozenset[str]
    waiting: dict[str, Waiting]
    changed: list[str] = field(default_factory=list)


def _nothing(path: str) -> bool:
    del path
    return False


def _at_once(path: str, data: bytes) -> datetime | None:
    del path, data
    return None


class Checkout:
    """The files of one version below ``folder``.

    ``exclude`` says which paths never come there, ``hold_back`` which come at what time.
    """

    def __init__(
        self,
        store: ContentStore,
        folder: Path,
        *,
        exclude: Callable[[str], bool] = _nothing,
        hold_back: Due = _at_once,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self._store = store
        self._tree = Tree(folder)
        self._exclude = exclude
        self._hold_back = hold_back
        self._clock = clock
        self._note = folder.with_name(folder.name + ".json")
        self._state = self._load()

    @property
    def version(self) -> Version | None:
        """What is wholly on disk; ``None`` where nothing is, or nobody knows."""
        settled = None if self._state.towards else self._state.version
        return Version(settled) if settled else None

    @property
    def waiting(self) -> Mapping[str, datetime]:
        """Files held back, and until when."""
        return {path: entry.due for path, entry in self._state.waiting.items()}

    @property
    def next_due(self) -> datetime | None:
        """When :meth:`bring_to` has something to do without a new version."""
        return min(self.waiting.values(), default=None)

    def bring_to(self, version: Version, *, left_out: Iterable[str] = ()) -> tuple[str, ...]:
        """Have the files of a version on disk, without those ``left_out`` or not yet due.

        Returns the paths that are other than before. Raises what the store raises, and
        ``OSError``; the next call makes good what was left undone.
        """
        self._tree.forget()
        if self._state.towards:
            self._tree.sweep()
        step = _Step(self._clock(), frozenset(left_out), dict(self._state.waiting))
        before = self._state
        wanted = self._wanted(before, version, step)
        either = before.left_out | step.left_out
        towards = (*before.towards, version)
        self._save(msgspec.structs.replace(before, towards=towards, left_out=either))
        if wanted is None:
            self._compare(version, step)
        else:
            self._go(wanted, step)
        self._save(_State(version, (), step.waiting, step.left_out))
        return tuple(step.changed)

    def _wanted(
        self, before: _State, version: Version, step: _Step
    ) -> dict[str, BlobId | None] | None:
        """What to look at on the way to a version; ``None``: at everything."""
        if before.version is None or not self.folder.is_dir():
            return None
        try:
            wanted = dict(self._moved(before, version))
        except StoreBroken:
            # The repo was made anew, and does not know what is on disk.
            return None
        for path, entry in before.waiting.items():
            if path not in wanted and entry.due <= step.now:
                wanted[path] = BlobId(entry.blob)
        for path in self._reconsidered(before, step):
            if path not in wanted:
                blob = self._store.read(path, version)
                wanted[path] = blob.id if blob else None
        return wanted

    def _go(self, wanted: Mapping[str, BlobId | None], step: _Step) -> None:
        """Remove, then write: what was a file may have become a folder."""
        for path, blob in wanted.items():
            if blob is None:
                self._apply(path, None, step)
        written = {path: blob for path, blob in wanted.items() if blob is not None}
        for path, content in zip(written, self._store.blobs(written.values()), strict=True):
            self._apply(path, content, step)

    def _reconsidered(self, before: _State, step: _Step) -> frozenset[str]:
        """Paths that are left out now and were not, or the other way round."""
        either, changed = before.left_out | step.left_out, before.left_out ^ step.left_out
        return either if before.towards else changed

    def _moved(self, before: _State, version: Version) -> Iterator[tuple[str, BlobId | None]]:
        """Paths that differ between the disk and a version, as far as versions tell."""
        old = Version(before.version or "")
        # Interrupted on the way to another version: some of its files may be on disk.
        for other in before.towards:
            for difference in self._store.diff(old, Version(other)):
                yield difference.path, difference.old
        for difference in self._store.diff(old, version) if old != version else ():
            yield difference.path, difference.new

    def _compare(self, version: Version, step: _Step) -> None:
        """Look at every file: for the first time, and whenever the state cannot be trusted."""
        step.waiting.clear()
        files = self._store.files("", version)
        wanted = {path: blob for path, blob in files if not self._exclude(path)}
        for link in list(self._tree.linked_folders()):
            (self.folder / link).unlink()
        for path in list(self._tree.walk()):
            if path not in wanted:
                self._drop(path, step)
        for path, blob in zip(wanted, self._store.blobs(wanted.values()), strict=True):
            self._apply(path, blob, step)

    def _apply(self, path: str, blob: Blob | None, step: _Step) -> None:
        step.waiting.pop(path, None)
        if blob is None or path in step.left_out or self._exclude(path):
            self._drop(path, step)
            return
        moment = self._hold_back(path, blob.data)
        if moment is not None and moment > step.now:
            step.waiting[path] = Waiting(blob.id, moment)
            self._drop(path, step)
            return
        try:
            if self._tree.read(path) != blob.data:
                self._tree.write(path, blob.data)
                step.changed.append(path)
        except OutsideFolder:
            # A tree made by hand can name what no honest tree does; such a file is nobody's post.
            return

    def _drop(self, path: str, step: _Step) -> None:
        try:
            there = self._tree.place(path)
        except OutsideFolder:
            return
        if there.is_symlink() or there.exists():
            self._tree.remove(path)
            step.changed.append(path)

    def _load(self) -> _State:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_State)
        except (OSError, msgspec.DecodeError):
            return _State()

    def _save(self, state: _State) -> None:
        Tree(self._note.parent).write(self._note.name, msgspec.json.encode(state))
        self._state = state
