"""Records which files of the content folder this process opens or looks for, which folders of it
are listed, and whether it asks git.

The functions with which Python opens, lists and looks for files are replaced by ones that record
the path, so that reads by settings, plugins, and extensions of Markdown or Jinja are recorded as
well. (An audit hook would be called for every ``id()``, too, which costs a build a third of its
time.)
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Watch:
    """The watched folder, and the sets that record what is opened."""

    def __init__(self) -> None:
        self.root = ""
        self.noting: list[set[str]] = []
        self.git = ""
        self.watching = False
        #: Whether a program was started that may have looked at the repo's history.
        self.asked_git = False
        #: Files that the kernel refused to open for this process.
        self.denied: dict[str, None] = {}

    def heard(self, path: Any) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - called very often
            if f"{whole}/".startswith(self.root) and not f"{whole}/".startswith(self.git):
                self.noting[-1].add(whole)

    def started(self, command: Any) -> None:
        """Note a program: git, a shell that runs it, or a script of the site's own."""
        words = command if isinstance(command, (list, tuple)) else [command]
        named = [os.fsdecode(word) for word in words if isinstance(word, (str, bytes, os.PathLike))]
        files = [Path(word).resolve() for word in named if word]
        self.asked_git |= any("git" in word for word in named) or any(
            file.is_relative_to(Path.cwd()) and file.is_file() for file in files
        )


_watch = _Watch()


def watch(folder: Path) -> None:
    """Watch one folder from now on. For a process that does nothing else."""
    _watch.root = f"{folder}/"
    # Where the content folder is the checkout itself. git's files change with each commit.
    _watch.git = f"{folder}/.git/"
    if not _watch.watching:
        _watch.watching = True
        builtins.open = io.open = _Opening(io.open)
        os.open = _Opening(os.open)
        os.listdir = _Opening(os.listdir)
        os.scandir = _Opening(os.scandir)
        os.stat = _Asking(os.stat)
        popen: Any = subprocess.Popen
        popen.__init__ = _starting(popen.__init__, 1)
        os.system = _starting(os.system)


def asked_git() -> bool:
    """Whether git, or a program that may have started it, was started since the process began."""
    return _watch.asked_git


def _starting(function: Callable[..., Any], place: int = 0) -> Callable[..., Any]:
    """A function that records the program that it starts, its argument at this place."""

    @functools.wraps(function)
    def starting(*args: Any, **options: Any) -> Any:
        _watch.started(args[place] if len(args) > place else options.get("args"))
        return function(*args, **options)

    return starting


class _Opening:
    """A function that records its argument. Not a plain function, which a class would bind."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        if _watch.noting:
            _watch.heard(args[0] if args else options.get("file", options.get("path")))
        try:
            return self._function(*args, **options)
        except PermissionError as error:
            if isinstance(error.filename, str | bytes):
                whole = os.path.abspath(os.fsdecode(error.filename))  # noqa: PTH100 - as above
                _watch.denied[whole] = None
            raise


class _Asking:
    """``os.stat``, which records files and what does not exist. That a folder is there says little:
    nearly every program looks for the content folder.
    """

    def __init__(self, function: Callable[..., os.stat_result]) -> None:
        self._function = function

    def __call__(self, path: Any, **options: Any) -> os.stat_result:
        if not _watch.noting:
            return self._function(path, **options)
        try:
            found = self._function(path, **options)
        except (FileNotFoundError, NotADirectoryError):
            _watch.heard(path)
            raise
        if stat.S_ISREG(found.st_mode):
            _watch.heard(path)
        return found


def note_denied(paths: Iterable[str]) -> None:
    """Folders may not be read either."""
    _watch.denied.update(dict.fromkeys(paths))


def denied() -> tuple[str, ...]:
    """The files that could not be opened for lack of permission since the last call."""
    found = tuple(_watch.denied)
    _watch.denied.clear()
    return found


@contextmanager
def noting() -> Iterator[set[str]]:
    """The absolute paths of the files that are opened or looked for and of the folders that are
    listed within the block, existing or not.
    """
    opened: set[str] = set()
    _watch.noting.append(opened)
    try:
        yield opened
    finally:
        _watch.noting.pop()
