"""Replaces the pointers that git-lfs commits by the large files that they stand for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from bridge.runtime import beneath
from bridge.store.checkout.git_dir import CheckoutRepo, PathList

#: How a pointer begins, and the largest that the specification of git-lfs allows.
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024
_OBJECT = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
#: git itself has a limit for .gitattributes (100 MB); no site's comes near this one.
_ATTRIBUTES_BYTES = 1_000_000
#: How many of the missing files the warning names.
_NAMED = 3
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LargeFiles(Protocol):
    """Where a checkout gets what git-lfs stores outside of git."""

    def find(self, version: str, digests: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """The files of a version with these SHA-256 hashes, and why others are missing. Blocks."""
        ...


class NoLargeFiles:
    """For a checkout that does without."""

    def find(self, version: str, digests: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """None."""
        del version, digests
        return {}, "commit them without git-lfs"


class Pointers:
    """The pointers in a checkout, and which of them the files themselves have replaced."""

    def __init__(self, repo: CheckoutRepo, large_files: LargeFiles) -> None:
        self._repo = repo
        self._large_files = large_files
        self._filled = PathList(repo.git_dir / "bridge-large-files")

    def fill(self, version: str, attributes: Collection[str]) -> str:
        """Replace the pointers by the files that git-lfs stores elsewhere.

        ``attributes``: the paths of every ``.gitattributes``. Returns a warning where files are
        missing, else ``""``.
        """
        uses_lfs = any(_names_lfs(self._repo.folder, path) for path in attributes)
        named = {path: self._object_of(path) for path in self._repo.tracked()} if uses_lfs else {}
        pointers = {path: name for path, name in named.items() if name}
        if not pointers:
            return ""
        files, reason = self._large_files.find(version, set(pointers.values()))
        filled = [path for path, name in pointers.items() if name in files]
        there = self._filled.read() - pointers.keys()
        for path in filled:
            self._replace(path, files[pointers[path]])
        if filled:
            # Recorded first: what is marked but not recorded would be in the way of the next
            # version.
            self._filled.write([*there, *filled])
            # The owner's clone has the same, and git would report it as a change without its
            # filter.
            self._repo.git("update-index", "--assume-unchanged", "--", *filled)
        lacking = [path for path in pointers if path not in set(filled)]
        if not lacking:
            return ""
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        return (
            f"git-lfs keeps {', '.join(lacking[:_NAMED])}{more} elsewhere, and pages get its"
            f" pointers instead of these files: {reason}"
        )

    def empty(self, paths: Collection[str] | None = None) -> None:
        """Put the pointers back for these paths (by default, all), as far as :meth:`fill` put
        files in their place: git writes over nothing that it has not written."""
        filled = self._filled.read()
        to_empty = filled if paths is None else filled & set(paths)
        if emptied := self._repo.tracked(sorted(to_empty)):
            self._repo.git("update-index", "--no-assume-unchanged", "--", *emptied)
            self._repo.git("checkout-index", "--force", "--", *emptied)

    def _replace(self, path: str, source: Path) -> None:
        """Put a copy of a file in the place of another, whose mode it gets.

        The site's code may write to the checkout: no symbolic link is followed on the way.
        """
        *parents, name = path.split("/")
        half = f".{name}.bridge"
        with contextlib.ExitStack() as stack:
            folder = os.open(self._repo.folder, _FOLDER)
            stack.callback(os.close, folder)
            for each in parents:
                folder = os.open(each, _FOLDER, dir_fd=folder)
                stack.callback(os.close, folder)
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            with contextlib.suppress(FileNotFoundError):
                os.unlink(half, dir_fd=folder)
            copy = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            with os.fdopen(copy, "wb") as target, source.open("rb") as data:
                shutil.copyfileobj(data, target)
                os.fchmod(copy, stat.S_IMODE(mode))
            os.replace(half, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _object_of(self, path: str) -> str:
        """The hash of the file that a pointer stands for; ``""`` if this is none."""
        try:
            data = beneath.read(self._repo.folder, path, _POINTER_BYTES + 1)
        except OSError:
            return ""
        is_pointer = data.startswith(_POINTER) and len(data) <= _POINTER_BYTES
        match = _OBJECT.search(data) if is_pointer else None
        return match[1].decode() if match else ""


def _names_lfs(folder: Path, attributes: str) -> bool:
    try:
        return b"filter=lfs" in beneath.read(folder, attributes, _ATTRIBUTES_BYTES)
    except OSError:
        return False
