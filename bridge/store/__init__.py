"""The content store: the site's files, as versions of a tree. Knows nothing of Micropub.

The words of the caller: a *version* is a commit id, a *blob id* names the exact bytes of a file,
and a commit carries what its author had seen, so that nothing is overwritten unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NewType, Protocol

from msgspec import Struct

from bridge.runtime.private import is_full

Version = NewType("Version", str)
BlobId = NewType("BlobId", str)


class Blob(Struct, frozen=True):
    """A file's bytes, and the id that names them."""

    id: BlobId
    data: bytes


class Change(Struct, frozen=True):
    """One file written (``content``) or deleted (``content`` is ``None``).

    ``path`` is relative to the repo's root, with ``/``. ``expected`` is the blob id that the
    author of the change has seen there, ``None`` where there was no file. ``executable``
    applies to a new file; an existing one keeps its mode. Where there is a symbolic link, the file
    that it leads to is written, but only the link is deleted. ``link`` makes one that leads there,
    if the file there has this content.
    """

    path: str
    content: bytes | None
    expected: BlobId | None
    executable: bool = False
    link: str = ""


class Commit(Struct, frozen=True):
    """Changes that become one commit.

    ``message`` is the whole commit message, trailers included. ``base`` is the version in which the
    author has checked the whole site (which addresses are taken); ``None`` for an empty branch.
    Later commits through the same store do not make it stale: users of one store make sure that no
    two of them take the same address.
    """

    changes: tuple[Change, ...]
    message: str
    base: Version | None


class Difference(Struct, frozen=True):
    """A path that differs between two versions, by its blob or by its mode; ``None`` where it is no
    file: it does not exist, or is a symbolic link or a submodule.
    """

    path: str
    old: BlobId | None
    new: BlobId | None


class Removal(Struct, frozen=True):
    """A file that was removed in history; ``version`` removed it, at a ``time`` in seconds since
    the epoch. ``link``: it was a symbolic link, which led there; ``blob`` is what was there.
    """

    path: str
    blob: BlobId
    version: Version
    time: float
    executable: bool = False
    link: str = ""


class LoggedCommit(Struct, frozen=True):
    """One commit of history: when it was made, in seconds since the epoch, and its message."""

    version: Version
    time: float
    message: str


class StoreError(Exception):
    """Base class of the store's errors; nothing was written."""


class FileChanged(StoreError):
    """The file has changed since the author of the change read it. ``path`` says which."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} has changed since")
        self.path = path


class BranchMoved(StoreError):
    """The branch has moved since ``base``: read again and retry."""


class StoreBusy(StoreError):
    """The store cannot commit now; the same request may succeed later."""


class StoreFull(StoreError):
    """No space left, or over quota."""


class StoreBroken(StoreError):
    """The repo cannot be read or written: gone, read-only, no permission, damaged."""


@contextmanager
def translated(full: str, broken: str) -> Iterator[None]:
    """Turns the system's errors into :class:`StoreFull` or :class:`StoreBroken`, whose texts begin
    with ``full`` or ``broken``.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StoreFull(f"{full}: {error}") from error
        raise StoreBroken(f"{broken}: {error}") from error


class ContentStore(Protocol):
    """Versions of a tree of files. Every method blocks and may be called from any thread."""

    def head(self) -> Version | None:
        """The newest version of the branch; ``None`` before its first commit."""
        ...

    def read(self, path: str, at: Version) -> Blob | None:
        """One file; ``None`` where there is none."""
        ...

    def files(self, folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
        """Every file below a folder (``""`` is the root), sorted by path."""
        ...

    def links(self, folder: str, at: Version) -> Mapping[str, str]:
        """The symbolic links below a folder that lead to a file or folder in the repo, and to which
        one. :meth:`read` and :meth:`commit` follow them, :meth:`files` and :meth:`diff` do not.
        """
        ...

    def blobs(self, ids: Iterable[BlobId]) -> Iterator[Blob]:
        """The contents of many blobs, in their order, of which few are in memory at once. An
        unknown id raises ``StoreBroken``.
        """
        ...

    def diff(self, old: Version, new: Version) -> Sequence[Difference]:
        """Every path that differs, without rename detection."""
        ...

    def removals(self, places: Collection[str], at: Version) -> Iterator[Removal]:
        """Files that commits on the way to ``at`` have removed, the newest first: each that is at
        one of these paths, or below it.

        A path appears once for each content that was removed there, even if ``at`` has another file
        there.
        """
        ...

    def log(self, at: Version, *, path: str = "", since: float = 0.0) -> Iterator[LoggedCommit]:
        """The commits that led to ``at``, newest first: those that changed ``path``, if that is
        given, and none from before ``since``."""
        ...

    def commit(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        """Commit each on top of the one before; one answer each, in order.

        When this returns, every version in the answer is on disk, safe from a power cut. One that
        fails leaves the others alone. Raises only what concerns all of them (``StoreBusy``,
        ``StoreFull``, ``StoreBroken``).
        """
        ...


def has_files(store: ContentStore, folder: str, at: Version) -> bool:
    """Whether there are files below a folder. Raises StoreBroken."""
    return next(iter(store.files(folder, at)), None) is not None


def why_misplaced(store: ContentStore, folder: str, before: Version | None, now: Version) -> str:
    """Why there are no files below a folder any more: where they are, if it has been renamed.

    ``""`` if there are some, or if they are nowhere else. Raises StoreBroken.
    """
    if not folder or before is None or has_files(store, folder, now):
        return ""
    prefix = f"{folder.strip('/')}/"
    differences = store.diff(before, now)
    gone = {each.old: each.path for each in differences if each.path.startswith(prefix)}
    moved = ((gone[each.new], each.path) for each in differences if each.new and each.new in gone)
    old, new = next(moved, ("", ""))
    if not new:
        return ""
    inside = old.removeprefix(prefix)
    other = new.removesuffix(f"/{inside}") if new.endswith(f"/{inside}") else "FOLDER"
    return (
        f"the folder {folder} is gone, and its files are elsewhere ({new}): write"
        f' folder = "{other}" into [content] of bridge.toml, see that PATH in Pelican\'s settings'
        " says the same, and restart the bridge"
    )
