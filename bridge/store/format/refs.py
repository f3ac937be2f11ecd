"""The branch's ref: reading it, and moving it under git's own lock."""

from __future__ import annotations

from pathlib import Path

from bridge.store import StoreBroken
from bridge.store.commit.disk import Disk
from bridge.store.commit.locks import GitLock

_ABANDONED = 600.0  # git itself holds the lock of a ref for milliseconds


class Branch:
    """A branch of the repo whose shared git folder is ``common``."""

    def __init__(self, common: Path, name: str) -> None:
        self._common = common
        self.name = name
        self.ref = f"refs/heads/{name}"
        self.path = common / self.ref
        self.log = common / "logs" / self.ref

    def read(self) -> bytes | None:
        """Where it stands; ``None`` before its first; :class:`StoreBroken` without a repo."""
        try:
            text = self.path.read_text("ascii").strip()
        except (FileNotFoundError, IsADirectoryError):
            return self._packed()
        except UnicodeDecodeError as error:
            raise StoreBroken(f"{self.path} is damaged") from error
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise StoreBroken(f"{self.path} does not hold a commit id") from error

    def lock(self, disk: Disk, own: Path) -> GitLock:
        """The branch's lock, made of the file ``own``, which holds :meth:`line`."""
        if not self.path.parent.is_dir():
            for folder in reversed(self.path.relative_to(self._common).parents[:-1]):
                disk.mkdir(self._common / folder)
        return GitLock(disk, self.path, own, lambda age: age > _ABANDONED)

    @staticmethod
    def line(commit: bytes) -> bytes:
        """What the ref's file says when it stands at a commit."""
        return commit.hex().encode() + b"\n"

    def _packed(self) -> bytes | None:
        """The same from ``packed-refs``, where ``git gc`` puts refs."""
        try:
            text = (self._common / "packed-refs").read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            text = ""
        for line in text.splitlines():
            commit, _, ref = line.partition(" ")
            if ref == self.ref:
                return bytes.fromhex(commit)
        if not (self._common / "HEAD").exists():
            raise StoreBroken(f"there is no repo at {self._common}")
        return None
