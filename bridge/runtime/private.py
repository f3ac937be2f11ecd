"""Files and folders that only the bridge's user may access (settings and databases hold secrets,
the state folder drafts), and atomic, durable writes of them.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

_OTHERS = 0o077
_PAUSE = 0.05
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path: Path, text: str) -> None:
    """Write a text file with mode 0600. Raises ``OSError``, and ``UnicodeError`` for what UTF-8
    does not have; then no new file is left.
    """
    was_there = path.exists()
    try:
        create(path)
        path.write_text(text, encoding="utf-8")
    except BaseException:
        if not was_there:
            path.unlink(missing_ok=True)
        raise


def create(path: Path) -> None:
    """Create an empty file with mode 0600, or restrict an existing one. Raises ``OSError``."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    tighten([path])


def make_folder(path: Path) -> None:
    """Create a folder with mode 0700, or restrict an existing one. Raises ``OSError``."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    tighten([path])


class InUse(Exception):
    """Another process holds a folder."""


@contextmanager
def held(folder: Path, patience: float) -> Iterator[None]:
    """Be the only process that holds a folder, which is created like :func:`make_folder` does.

    One that ends has ``patience`` seconds to do so; then this raises :class:`InUse`. The system
    releases the folder when the process dies. Raises ``OSError``.
    """
    make_folder(folder)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience
        while not _locked(opened):
            if time.monotonic() > deadline:
                raise InUse(str(folder))
            time.sleep(_PAUSE)
        yield
    finally:
        # A program that another thread is starting has the folder open until it runs.
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_UN)
        os.close(opened)


def is_held(folder: Path) -> bool:
    """Whether another process holds a folder (:func:`held`). Raises ``OSError``."""
    try:
        with held(folder, 0):
            return False
    except InUse:
        return True


def _locked(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network file systems have no locks.
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL}:
            raise
    return True


def tighten(paths: Iterable[Path]) -> list[Path]:
    """Remove everyone else's permissions on these paths, if they exist; returns those that others
    could access. What cannot be changed, because it belongs to another user, is logged and left.
    """
    opened = [path for path in paths if is_open(path)]
    for path in opened:
        try:
            path.chmod(path.stat().st_mode & 0o7777 & ~_OTHERS)
        except OSError as error:
            log.warning("%s is accessible to other users of this machine: %s", path, error.strerror)
        else:
            log.warning(
                "%s was accessible to other users of this machine, which was corrected", path
            )
    return opened


def closed_to_others(path: Path) -> Path | None:
    """The folder on the way to a file or folder that other users cannot pass, or itself if they
    cannot read it; ``None`` if they can read it.
    """
    for folder in reversed(path.absolute().parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path if path.stat().st_mode & needed != needed else None


def is_open(path: Path) -> bool:
    """Whether other users of this machine have any permission on it; a missing file is not open."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except FileNotFoundError:
        return False


def database_files(path: Path) -> list[Path]:
    """The files of an SQLite database: the file itself, and those beside it while it is open."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]


#: Prefix of temporary files.
TEMPORARY = ".incoming-"


def is_full(error: OSError) -> bool:
    """Whether there is no room left on the disk, or for this user."""
    return error.errno in _NO_ROOM


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
