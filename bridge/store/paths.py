"""Which paths a store takes: what git can hold, and what stays inside the tree."""

from __future__ import annotations

from bridge.store import StoreError


def check_path(path: str) -> None:
    """Raise :class:`StoreError` where a path is not a file's place inside a repo.

    The one who chooses a path chooses a good one; this is the last fence before the disk.
    """
    # git fsck: no empty name, no "." or "..", no ".git" in any case, none that Windows or macOS
    # would read as ".git" (a trailing dot or space, "git~1").
    for name in path.split("/"):
        plain = name.lower().rstrip(". ")
        if not plain or plain in {".git", "git~1"} or "\0" in name or "\\" in name:
            raise StoreError(f"{path!r} cannot be the path of a file in a repo")


def is_below(path: str, folder: str) -> bool:
    """Whether a path is inside a folder; everything is inside ``""``."""
    return not folder or path.startswith(folder.rstrip("/") + "/")
