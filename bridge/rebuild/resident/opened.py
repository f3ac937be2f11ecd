"""Which files of the content folder are opened, by whatever runs in this process.

Python tells its audit hooks of every file that it opens: a setting, a plugin, an extension of
Markdown or of Jinja cannot read one without being noticed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Watch:
    """One folder that is watched, and who wants to know; a hook cannot be taken away again."""

    def __init__(self) -> None:
        self.root = ""
        self.noting: list[set[str]] = []
        self.hooked = False

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not self.noting:
            return
        path = arguments[0]
        if isinstance(path, (str, bytes, os.PathLike)):
            whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - called very often
            if whole.startswith(self.root):
                self.noting[-1].add(whole)


_watch = _Watch()


def watch(folder: Path) -> None:
    """Watch a folder, and no other, from here on."""
    _watch.root = f"{folder}/"
    if not _watch.hooked:
        _watch.hooked = True
        sys.addaudithook(_watch.heard)


@contextmanager
def noting() -> Iterator[set[str]]:
    """The whole paths of the files that are opened in the meantime, existing or not."""
    opened: set[str] = set()
    _watch.noting.append(opened)
    try:
        yield opened
    finally:
        _watch.noting.pop()
