"""Opens and reads files below a folder that others may write to at the same time.

The site's code may swap a folder for a symbolic link between a look and the use. So a path is taken
name by name, each relative to the open folder before it, and no link is followed. The folder itself
is trusted, and may be one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: A named pipe is opened without waiting for a writer.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(root: Path, path: str) -> int:
    """A descriptor of the regular file at a relative path with ``/``. Raises ``OSError``."""
    *folders, last = path.split("/")
    if any(name in {"", ".", ".."} or "\0" in name for name in (*folders, last)):
        raise FileNotFoundError(errno.ENOENT, "not a path inside a folder", path)
    folder = os.open(root, _ROOT)
    try:
        for name in folders:
            inner = os.open(name, _ROOT | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return _regular(os.open(last, _FILE | os.O_NOFOLLOW, dir_fd=folder), path)
    finally:
        os.close(folder)


def read(root: Path, path: str, most: int = -1) -> bytes:
    """The bytes of the regular file at a path, at most ``most`` of them. Raises ``OSError``."""
    with os.fdopen(open_file(root, path), "rb") as file:
        return file.read(most)


def open_anywhere(place: Path) -> int:
    """A descriptor of a regular file; links are followed. Raises ``OSError``."""
    return _regular(os.open(place, _FILE), str(place))


def _regular(descriptor: int, path: str) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
