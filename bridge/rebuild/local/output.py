"""The output folder: files are replaced atomically, and only files that we wrote are removed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from bridge.rebuild.build import BuildFailed
from bridge.rebuild.local.files import Journal, Tree
from bridge.runtime import beneath
from bridge.runtime.confinement import Grants, run_confined

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

#: What pages refer to goes first, what refers to pages last, so that no visitor meets a page
#: whose picture or style is not there yet.
_LAST = (".xml", ".rss", ".atom", ".json", ".txt")
_PAGES = (".html", ".htm")
#: Number of our files that are checked to find out whether the folder was emptied.
_SOME = 20
#: A larger file is not a page or a picture: it would fill the memory.
_LARGEST = 2_000_000_000


class _Note(msgspec.Struct, frozen=True):
    """Which files below ``folder`` are ours."""

    folder: str
    files: tuple[str, ...]


class TooMuchOutput(BuildFailed):
    """A build made the site larger by more than it may."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the build made the site larger by more than {most:,} bytes ([rebuild] max_growth) and"
            " was ended"
        )


def _unconfined(read: Sequence[Path], write: Sequence[Path]) -> None:
    del read, write


class Output:
    """The output folder. ``note`` is the file that records which files are ours.

    ``most`` is by how many bytes one build may make it larger: a theme that lists all tags on the
    page of each tag makes gigabytes of some kilobytes of posts. ``grants`` says how the site's code
    would be confined that may read and write some folders: the bridge confines itself alike while
    it works in these, where that code may put links.
    """

    def __init__(
        self,
        folder: Path,
        note: Path,
        most: int | None = None,
        *,
        grants: Callable[[Sequence[Path], Sequence[Path]], Grants | None] = _unconfined,
    ) -> None:
        self.folder = folder
        self.most = most
        self._left: int | None = None
        self._grants = grants
        self._tree = Tree(folder)
        self.note = note
        self.ours = self._load()
        self._journal = Journal(note.with_name(f"{note.stem}-before"), self._tree)

    def remembered(self) -> set[str]:
        """Our files, as the process that wrote last has recorded them."""
        return self._load()

    def missing(self) -> bool:
        """Whether one of our files is missing, for example since the folder was emptied."""
        self.ours = self._load()
        return not self.ours or any(not (self.folder / path).is_file() for path in self.ours)

    def size(self) -> int | None:
        """How many bytes are ours; ``None`` where none are yet, or some are gone, so that the next
        build is a first one."""
        try:
            sizes = [(self.folder / path).stat().st_size for path in self._load()]
        except OSError:
            return None
        return sum(sizes) if sizes else None

    def begin(self) -> None:
        """Start a build whose files are written one by one."""
        some = [*islice(self.ours, _SOME)]
        there = bool(some) and all((self.folder / path).is_file() for path in some)
        self._left = self.most if there else None

    def expect(self, paths: Iterable[str]) -> None:
        """Record files that are about to be written, so that they can be removed with their post.

        Raises :class:`~bridge.rebuild.local.files.OutsideFolder`.
        """
        new = set(paths) - self.ours
        for path in new:
            self._tree.place(path)
        if new:
            self.ours |= new
            self._save()

    def has(self, path: str) -> bool:
        """Whether this is one of our files, and exists."""
        return path in self.ours and os.path.isfile(f"{self.folder}/{path}")  # noqa: PTH113 - hot

    def put(self, path: str, data: bytes) -> bool:
        """Write a file; returns whether it has changed. Raises :class:`TooMuchOutput`."""
        before = self._tree.read(path)
        if before == data:
            return False
        if self._left is not None:
            self._left -= max(0, len(data) - len(before or b""))
            if self._left < 0:
                raise TooMuchOutput(self.most or 0)
        self._journal.note(path, before)
        self._tree.write(path, data)
        return True

    def keep_only(self, paths: Iterable[str]) -> list[str]:
        """Remove our files except these; return the removed ones."""
        return self.remove(self.ours - set(paths))

    def remove(self, paths: Iterable[str]) -> list[str]:
        """Remove those of these files that are ours; return their names."""
        gone = sorted(self.ours & set(paths))
        for path in gone:
            self._journal.note(path, self._tree.read(path))
            self._tree.remove(path)
        if gone:
            self.ours.difference_update(gone)
            self._save()
        return gone

    def take_over(self, staging: Path) -> tuple[str, ...]:
        """Replace the folder's files with a site built elsewhere; return what changed.

        What is no file is left out, as a web server would. Raises
        :class:`~bridge.rebuild.build.BuildFailed` where a file cannot be read.
        """
        return self._confined([staging], lambda: self._take_over(staging))

    def _take_over(self, staging: Path) -> tuple[str, ...]:
        # Another process may have worked here since.
        self.ours, self._left = self._load(), None
        self._tree.forget()
        self._journal.reload()
        self._tree.sweep()
        files, others = Tree(staging).files_and_others()
        for path in sorted(others):
            _log.warning("%s in the output is left out: it is no file that can be read", path)
        built = sorted(files, key=_importance)
        self.expect(built)
        changed = [path for path in built if self.put(path, self._built(staging / path))]
        changed += self.keep_only(built)
        self.settle()
        return tuple(changed)

    def _built(self, file: Path) -> bytes:
        """What a build has written. A link may lead to a file in the checkout."""
        try:
            with os.fdopen(beneath.open_anywhere(file), "rb") as opened:
                if os.fstat(opened.fileno()).st_size > _LARGEST:
                    raise BuildFailed(f"{file.name} in the output has more than {_LARGEST:,} bytes")
                return opened.read()
        except OSError as error:
            reason = error.strerror or str(error)
            raise BuildFailed(f"{file.name} in the output cannot be read: {reason}") from error

    def settle(self) -> None:
        """Keep what was written: the build has succeeded."""
        self._journal.clear()

    def is_settled(self) -> bool:
        """Whether everything is as the last successful build left it."""
        return self._journal.is_empty()

    def restore(self) -> None:
        """Restore the last good site: a build has failed, and will not be continued."""
        if not self._journal.is_empty():
            self._confined([], self._restore)

    def _restore(self) -> None:
        self._tree.forget()
        again, new = self._journal.restore()
        self.ours = (self._load() | again) - new
        self._save()

    def _confined(self, read: Sequence[Path], function: Callable[[], _T]) -> _T:
        """Do something while confined to these folders, so that no link leads out of them."""
        for folder in (self.folder, self.note.parent):
            folder.mkdir(parents=True, exist_ok=True)
        grants = self._grants(read, [self.folder, self.note.parent])
        return run_confined(grants, lambda _: function())

    def _load(self) -> set[str]:
        try:
            data = beneath.read(self.note.parent, self.note.name)
            note = msgspec.convert(json.loads(data), _Note)
        except FileNotFoundError:
            return set()
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read, pages that should go may stay: %s", self.note, error)
            return set()
        # Another folder than last time: the files in this one are not ours.
        return set(note.files) if note.folder == str(self.folder) else set()

    def _save(self) -> None:
        note = _Note(str(self.folder), tuple(sorted(self.ours)))
        # The standard library's, which can write names that are not UTF-8.
        text = json.dumps(msgspec.to_builtins(note))
        Tree(self.note.parent).write(self.note.name, text.encode())


def _importance(path: str) -> tuple[int, str]:
    rank = 1 if path.endswith(_PAGES) else 2 if path.endswith(_LAST) else 0
    return rank, path
