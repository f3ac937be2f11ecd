"""Reads the files of the mentions folder: JF2 entries with webmention.io's ``wm-*`` names.

A file's ``wm-target`` decides which post it belongs to; the folders' names are for people.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

#: The number of mentions without files, by kind.
_OVERFLOW = "more.json"
#: The likes and reposts of the post's syndicated copies.
_COPY_COUNTS = "counts.json"


class _Stamp(NamedTuple):
    modified: int
    size: int
    inode: int


#: Stamp and ``wm-target`` of each file, kept from build to build; the target is ``None`` for a file
#: that is not a mention.
_KNOWN: dict[str, tuple[_Stamp, str | None]] = {}


def targets(folder: Path) -> dict[str, str]:
    """The ``wm-target`` of each file in the mentions folder, by path. Reads only changed files."""
    root = str(folder)
    there = dict(sorted(_files(root)))
    for path in [path for path in _KNOWN if path.startswith(f"{root}{os.sep}")]:
        if path not in there:
            del _KNOWN[path]
    found = {}
    for path, stamp in there.items():
        known = _KNOWN.get(path)
        if known is None or known[0] != stamp:
            entry = read(path, warn=True)
            known = _KNOWN[path] = (stamp, None if entry is None else entry["wm-target"])
        if known[1] is not None:
            found[path] = known[1]
    return found


def _files(folder: str, *, top: bool = True) -> Iterator[tuple[str, _Stamp]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        # The folder of tombstones and rules.json are not mentions.
        if entry.is_dir(follow_symlinks=False):
            if not (top and entry.name == "gone"):
                yield from _files(entry.path, top=False)
        elif not top and entry.name.endswith(".json"):
            status = entry.stat()
            yield entry.path, _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def stamp_of(path: str) -> tuple[int, ...]:
    """A tuple that differs when a file returned by :func:`targets` has changed."""
    return _KNOWN[path][0]


def read(path: str, *, warn: bool = False) -> dict[str, Any] | None:
    """The JF2 entry in a file; ``None`` where it is not a mention.

    Files with counts give an object with ``wm-target`` and ``more``, their sum. ``warn``: log why a
    file is not a mention.
    """
    try:
        entry = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if warn:
            logger.warning("%s is ignored: %s", path, error)
        return None
    if path.endswith(f"{os.sep}{_OVERFLOW}"):
        return _overflow(path, entry)
    if path.endswith(f"{os.sep}{_COPY_COUNTS}"):
        return _copy_counts(entry)
    if not isinstance(entry, dict) or not isinstance(entry.get("wm-target"), str):
        if warn:
            logger.warning("%s is ignored: it has no wm-target", path)
        return None
    return entry


def _overflow(path: str, counts_by_kind: Any) -> dict[str, Any] | None:
    """The number of mentions without files, of the post whose mentions are in the same folder."""
    counts = counts_by_kind.values() if isinstance(counts_by_kind, dict) else ()
    more = sum(count for count in counts if isinstance(count, int) and count > 0)
    for file in sorted(Path(path).parent.glob("*-*.json")):
        beside = read(str(file))
        if beside is not None:
            return {"wm-target": beside["wm-target"], "more": more}
    return None


def _copy_counts(data: Any) -> dict[str, Any] | None:
    """The number of likes and reposts of a post's syndicated copies."""
    if not isinstance(data, dict) or not isinstance(data.get("wm-target"), str):
        return None
    copies = data.get("counts")
    kinds = copies.values() if isinstance(copies, dict) else ()
    counts = [count for each in kinds if isinstance(each, dict) for count in each.values()]
    more = sum(count for count in counts if isinstance(count, int) and count > 0)
    return {"wm-target": data["wm-target"], "more": more}
