"""Reads the history: removed files, and commit messages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

from git import GitCommandError, Repo
from msgspec import Struct

from bridge.store import BlobId, LoggedCommit, Removal, StoreBroken, Version
from bridge.store.repo import kill, receive

#: How long git may look without finding anything.
_SECONDS = 300.0
_FIRST_TIME = 100_000_000
#: With more paths, git would take longer to compare each folder with all of them than it takes to
#: list every file.
_MOST_PATHS = 20


class LinkRemoval(Struct, frozen=True):
    """A symbolic link that was removed: ``blob`` is its text, ``parents`` are the commits in one of
    which it was there.
    """

    path: str
    blob: BlobId
    version: Version
    time: float
    parents: tuple[Version, ...]


def removed_files(
    repo: Repo, places: Collection[str], at: Version
) -> Iterator[Removal | LinkRemoval]:
    """Every removal of a file or link in these places, newest first, read lazily.

    Raises :class:`StoreBroken` at the end if git fails.
    """
    wanted = frozenset(place.rstrip("/") for place in places)
    paths = sorted(wanted) if "" not in wanted and len(wanted) <= _MOST_PATHS else []
    log = repo.git.log(
        "-z", "--raw", "--no-abbrev", "--no-renames", "--diff-filter=D", "-m", "--format=%H %ct %P",
        at, "--", *paths, as_process=True,
    )  # fmt: skip
    with _reading(log, at):
        for removal in _parse(_pieces(log.stdout)):
            if not wanted.isdisjoint(_ways_to(removal.path)):
                yield removal


def commits(repo: Repo, at: Version, path: str, since: float) -> Iterator[LoggedCommit]:
    """Commits with their messages, newest first, read lazily.

    Raises :class:`StoreBroken` at the end if git fails.
    """
    paths = ["--", path] if path else []
    # Git reads numbers below a certain size as the present time.
    late = [f"--since=@{since:.0f}"] if since > _FIRST_TIME else []
    log = repo.git.log("-z", "--format=%H %ct%n%B", *late, at, *paths, as_process=True)
    with _reading(log, at):
        for piece in _pieces(log.stdout):
            head, _, message = piece.decode(errors="replace").partition("\n")
            version, _, time = head.partition(" ")
            # Git reads a time in the future as the present time.
            if float(time) >= since:
                yield LoggedCommit(Version(version), float(time), message)


@contextmanager
def _reading(log: Any, at: Version) -> Iterator[None]:
    """Read what a ``git log`` prints, and see to its end, however the block ends."""
    try:
        yield
        log.proc.wait(_SECONDS)
        log.wait()
    except (GitCommandError, TimeoutError, subprocess.TimeoutExpired) as error:
        why = error.stderr if isinstance(error, GitCommandError) else error
        raise StoreBroken(f"the history of {at} cannot be read: {why}") from error
    finally:
        kill(log)


def _ways_to(path: str) -> Iterator[str]:
    """A path, and the folders that it is in."""
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path


def _parse(pieces: Iterator[bytes]) -> Iterator[Removal | LinkRemoval]:
    """Parse ``COMMIT TIME PARENT…``, followed by ``:mode mode old new D`` and ``path`` for each of
    its files.
    """
    version, time, parents = Version(""), 0.0, tuple[Version, ...]()
    for piece in pieces:
        text = piece.strip(b"\n").decode("ascii")
        if text.startswith(":"):
            mode, _, old, *_ = text.removeprefix(":").split(" ")
            path = os.fsdecode(next(pieces))
            if mode.startswith("100"):
                yield Removal(path, BlobId(old), version, time, executable=mode == "100755")
            elif mode == "120000":
                yield LinkRemoval(path, BlobId(old), version, time, parents)
        elif text:
            commit, seconds, *before = text.split(" ")
            version, time, parents = Version(commit), float(seconds), (*map(Version, before),)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """The pieces of a stream between NULs."""
    rest = b""
    while chunk := receive(stream.fileno(), _SECONDS):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest
