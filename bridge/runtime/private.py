"""Files and folders that only the bridge's user may access: settings and databases hold secrets,
the state folder drafts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_OTHERS = 0o077


def write(path: Path, text: str) -> None:
    """Write a text file with mode 0600. Raises ``OSError``."""
    create(path)
    path.write_text(text, encoding="utf-8")


def create(path: Path) -> None:
    """Create an empty file with mode 0600, or restrict an existing one. Raises ``OSError``."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    tighten([path])


def make_folder(path: Path) -> None:
    """Create a folder with mode 0700, or restrict an existing one. Raises ``OSError``."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    tighten([path])


def tighten(paths: Iterable[Path]) -> list[Path]:
    """Take away everyone else's permissions on these paths, where they exist; returns those that
    others could access. What cannot be changed, because it belongs to another user, is logged
    and left.
    """
    opened = [path for path in paths if is_open(path)]
    for path in opened:
        try:
            path.chmod(path.stat().st_mode & 0o7777 & ~_OTHERS)
        except OSError as error:
            log.warning("%s is accessible to other users of this machine: %s", path, error.strerror)
        else:
            log.warning("%s was accessible to other users of this machine; no longer", path)
    return opened


def is_open(path: Path) -> bool:
    """Whether other users of this machine have any permission on it; a missing file is not open."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except FileNotFoundError:
        return False


def database_files(path: Path) -> list[Path]:
    """The files of an SQLite database: the file itself, and those beside it while it is open."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
