"""Atomic and durable writes of files, outside of git's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: Prefix of temporary files.
TEMPORARY = ".incoming-"


def write_durably(target: Path, data: bytes) -> None:
    """Write a file that only this user can read, creating its folders; when this returns, it is on
    disk.

    Readers see either the old contents or all of the new ones. Raises ``OSError``; then nothing
    changed.
    """
    created = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    sync(target.parent)
    for folder in created:
        sync(folder.parent)


def sync(path: Path) -> None:
    """Sync a file to disk, or the names in a folder without its files."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
