"""Records which files outside of the site its code tried to open (PEP 578).

Called for each file that is opened, so that paths are plain strings here.
"""

# ruff: noqa: PTH100, PTH110, PTH120

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

from bridge.runtime.confinement import Grants

_MOST = 50
#: Where libraries look on any machine; they work without.
_USUAL = ("/proc/", "/sys/", "/etc/", "/run/")


class Denials:
    """Notes existing files that were tried and are not granted, each once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[str] = []

    def watch(self, grants: Grants) -> None:
        """Check every file that is opened from now on."""
        granted = tuple(os.path.realpath(path) for path in (*grants.read, *grants.write))

        @lru_cache(4096)
        def is_granted(folder: str) -> bool:
            real = os.path.realpath(folder)
            return any(real == place or real.startswith(f"{place}/") for place in granted)

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in {"open", "os.listdir", "os.scandir"} or len(self._known) >= _MOST:
                return
            path = arguments[0]
            if not isinstance(path, str | bytes) or not path:
                return
            name = os.path.abspath(os.fsdecode(path))
            if name in self._known or is_granted(os.path.dirname(name)) or is_granted(name):
                return
            if os.path.exists(name) and not _lists(grants, name) and not name.startswith(_USUAL):
                self._known.add(name)
                self._new.append(name)

        sys.addaudithook(audit)

    def new(self) -> tuple[str, ...]:
        """What has been noted since the last time."""
        found, self._new = tuple(self._new), []
        return found


def _lists(grants: Grants, path: str) -> bool:
    return os.path.realpath(path) in grants.list
