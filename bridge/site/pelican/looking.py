"""Notes which folders the site's settings and plugins look into while they are loaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Looked:
    """What was looked at: folders that were listed, and files or folders that were asked for."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._by_a_program = False

    def into(self, folder: Path) -> bool:
        """Whether anything in this folder may have been looked for. A program that was started may
        look anywhere."""
        inside = f"{folder}/"
        return self._by_a_program or any(path.startswith(inside) for path in self._paths)

    def note(self, path: Any, end: str) -> None:
        """Note a path; ``end`` is a slash where it is listed."""
        if isinstance(path, str | bytes | os.PathLike) or path is None:
            whole = os.path.abspath(os.fsdecode(path or "."))  # noqa: PTH100 - links stay links
            self._paths.add(f"{whole}{end}")
        else:
            self._by_a_program = True

    def note_program(self) -> None:
        """Note that a program was started."""
        self._by_a_program = True


@contextmanager
def looking() -> Iterator[Looked]:
    """What Python's functions look at within the block."""
    looked = Looked()

    def noting(function: Callable[..., Any], end: str) -> Callable[..., Any]:
        def noted(path: Any = None, *args: Any, **options: Any) -> Any:
            looked.note(path, end)
            return function(*(() if path is None else (path,)), *args, **options)

        return noted

    def starting(function: Callable[..., Any]) -> Callable[..., Any]:
        def started(*args: Any, **options: Any) -> Any:
            looked.note_program()
            return function(*args, **options)

        return started

    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (os, "listdir", noting(os.listdir, "/")),
        (os, "scandir", noting(os.scandir, "/")),
        (os, "stat", noting(os.stat, "")),
        (os, "system", starting(os.system)),
        (subprocess.Popen, "__init__", starting(subprocess.Popen.__init__)),
    )
    before = [getattr(owner, name) for owner, name, _ in replaced]
    for owner, name, by in replaced:
        setattr(owner, name, by)
    try:
        yield looked
    finally:
        for (owner, name, _), was in zip(replaced, before, strict=True):
            setattr(owner, name, was)
