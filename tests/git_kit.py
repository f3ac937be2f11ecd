"""For tests of the store: git as used by the owner, and posts of the bridge."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge.store import Change, Commit, ContentStore, StoreError, Version

PATIENCE = 300.0
_OVERTAKEN = re.compile(
    r"fetch first|non-fast-forward|failed to update ref|waiting: (locked|moved)|\.lock'"
    r"|cannot lock ref"
)
ADA = "Ada <ada@example.com>"
#: Whatever the settings of the person are who runs the tests.
_SETTINGS = (
    "-c", "user.name=Owner", "-c", "user.email=owner@example.com",
    "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false",
)  # fmt: skip


class _Copy(NamedTuple):
    """What is at a path: the bytes of a file, where a link leads to, or ``None`` for a folder."""

    path: str
    data: bytes | str | None
    mode: int
    changed: int


#: What :func:`set_up` has set up: the folder's name, and what was in it.
_SET_UP: dict[Hashable, tuple[str, list[_Copy]]] = {}


def git(folder: Path, *arguments: str) -> str:
    """Run git as the owner in a folder; returns its output without the last newline."""
    command = ["git", *_SETTINGS, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def files_in(repo: Path, below: str = "") -> dict[str, bytes]:
    """The files of ``main`` by their paths, or those below a folder, from one process of git."""
    command = ["git", "archive", "main"]
    packed = subprocess.run(command, cwd=repo, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {
            member.name: opened.read()
            for member in archive
            if member.name.startswith(below) and (opened := archive.extractfile(member))
        }


def set_up(folder: Path, how: Callable[..., None], *given: Hashable) -> None:
    """Have ``how(folder, *given)`` make repos in a folder. It is called once in a process: after
    that, what it has made is copied, which takes a tenth of the time that git does.
    """
    if (how, given) not in _SET_UP:
        before = {*folder.rglob("*")}
        how(folder, *given)
        made = [place for place in sorted(folder.rglob("*")) if place not in before]
        copies = [_copy_of(place, folder) for place in made if place.suffix != ".sample"]
        _SET_UP[how, given] = str(folder), copies
        return
    name, copies = _SET_UP[how, given]
    for copy in copies:
        _paste(copy, f"{folder}/{copy.path}", name.encode(), os.fsencode(folder))
    for copy in copies:
        if copy.path.endswith("/index"):
            # Git compares more of a file's status than can be copied.
            git(Path(folder, copy.path).parents[1], "update-index", "-q", "--refresh")


def _copy_of(place: Path, folder: Path) -> _Copy:
    status, path = place.lstat(), place.relative_to(folder).as_posix()
    if place.is_symlink():
        return _Copy(path, str(place.readlink()), 0, 0)
    data = place.read_bytes() if place.is_file() else None
    return _Copy(path, data, status.st_mode & 0o7777, status.st_mtime_ns)


def _paste(copy: _Copy, place: str, before: bytes, folder: bytes) -> None:
    """Put a copy at a place; where it names the folder that it was in, it names this one."""
    if copy.data is None:
        os.mkdir(place, copy.mode)  # noqa: PTH102 # a third faster
        return
    if isinstance(copy.data, str):
        os.symlink(copy.data, place)  # noqa: PTH211
        return
    file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, copy.mode)
    try:
        os.write(file, copy.data.replace(before, folder))
        os.utime(file, ns=(copy.changed, copy.changed))
    finally:
        os.close(file)


def new_repo(folder: Path, *, bare: bool = False, kind: str = "sha1") -> Path:
    """An empty repo with the branch ``main``, in a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    set_up(folder, _init, bare, kind)
    return folder


def _init(folder: Path, bare: bool, kind: str) -> None:
    plain = [] if kind == "sha1" else [f"--object-format={kind}"]
    git(folder, "init", "-q", "-b", "main", *(["--bare"] if bare else []), *plain)


def commit_all(clone: Path, message: str = "Begin") -> None:
    """Commit everything in the owner's clone."""
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", message)


def bare_copy(clone: Path, bare: Path) -> Path:
    """A bare repo with the branches of a clone, as the bridge has one, but without a remote."""
    new_repo(bare, bare=True)
    bring_objects(clone, bare)
    shutil.copytree(clone / ".git/refs/heads", bare / "refs/heads", dirs_exist_ok=True)
    return bare


def bring_objects(clone: Path, bare: Path) -> None:
    """Copy to a bare repo what it lacks of a clone's objects: a push is eight processes."""
    objects = clone / ".git/objects"
    found = (*objects.glob("[0-9a-f][0-9a-f]/*"), *objects.glob("pack/*"))
    for file in sorted(found, reverse=True):  # a pack before its index
        copy = bare / "objects" / file.relative_to(objects)
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            # A process that reads there finds all of it, or nothing.
            part = copy.with_name("tmp_copy")
            shutil.copy2(file, part)
            part.replace(copy)


def push(clone: Path, remote: str = "origin") -> None:
    """Push ``main`` as the owner, who does it again where the bridge has pushed in between, or does
    so just now: git itself does not wait.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            git(clone, "push", "-q", remote, "HEAD:main")
        except subprocess.CalledProcessError as error:
            if not _OVERTAKEN.search(error.stderr) or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.05)
        git(clone, "pull", "-q", "--rebase", "--autostash", remote, "main")


@contextmanager
def started(folder: Path) -> Iterator[list[str]]:
    """The commands of git (``push``, ``config``) that are started in the block, in order: those
    that git starts on its own behalf are not counted. ``folder`` is for their traces.
    """
    folder.mkdir()
    commands: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_TRACE2_EVENT", str(folder))
        yield commands
    found: list[tuple[str, str]] = []
    for trace in folder.iterdir():
        events = [json.loads(line) for line in trace.read_text().splitlines()]
        start = next(event for event in events if event["event"] == "start")
        named = [event["name"] for event in events if event["event"] == "cmd_name"]
        if "/" not in start["sid"]:
            found.append((start["time"], named[0]))
    commands += [name for _, name in sorted(found)]


def assert_sound(repo: Path) -> None:
    """Nothing in the bridge's repo is broken or missing.

    Small packs are not joined while git looks: it would miss those that have gone since it began.
    """
    folder = os.open(repo / "objects", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        command = ["git", "fsck", "--strict", "--no-dangling"]
        found = subprocess.run(command, cwd=repo, check=False, capture_output=True, text=True)
    finally:
        os.close(folder)
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def put(store: ContentStore, path: str, text: str | None) -> Version:
    """Commit one file with this content (``None``: delete it). Raises the store's errors."""
    head = store.head()
    seen = store.read(path, head) if head else None
    change = Change(path, None if text is None else text.encode(), seen.id if seen else None)
    (answer,) = store.commit([Commit((change,), f"Write {path}\n\nPost: x\n", head)])
    if isinstance(answer, StoreError):
        raise answer
    return answer
