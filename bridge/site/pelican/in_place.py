"""Puts a text where its file would be, for as long as it is read."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.errors import InvalidRequest

#: Files to lock by, and how often a file is tried where folders come and go.
_LOCKS, _TRIES = 4096, 100


@contextmanager
def in_place(base: Path, source: str, data: bytes, root: Path) -> Iterator[None]:
    """Have a file below ``base`` hold these bytes within the block, as it would in a build.
    ``root`` is the site's own folder, in which ``base`` is.

    So relative names in it (an include, a picture beside it) mean what they mean in a build. Raises
    :class:`InvalidRequest` for a folder that is a link to the outside.
    """
    file = base / source
    if file.is_symlink():
        file = file.resolve()
    with _locked(str(file)):
        if not file.parent.resolve().is_relative_to(root.resolve()):
            raise InvalidRequest(f"{source} is in a folder outside of the site.")
        before = file.read_bytes() if file.is_file() else None
        if before == data:
            yield
            return
        _write(file, data)
        try:
            yield
        finally:
            if before is None:
                file.unlink(missing_ok=True)
            else:
                _write(file, before)
            # Settings may list the folders of posts. git keeps no empty folder: an empty one was
            # made here, or by another copy.
            with suppress(OSError):
                for each in Path(source).parents[:-1]:
                    (base / each).rmdir()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Keep other copies of this process away from the same file."""
    bucket = int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest()[:2]) % _LOCKS
    with (Path(tempfile.gettempdir()) / f"reading-{bucket}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(file: Path, data: bytes) -> None:
    for _ in range(_TRIES):
        # Another copy removes the folders that it has made once they are empty.
        with suppress(FileNotFoundError, FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{os.getpid()}.bridge")
            temporary.write_bytes(data)
            temporary.replace(file)
            return
    raise FileNotFoundError(f"{file.parent} cannot be made")
