"""After a commit in the owner's clone: commands of theirs that had begun before it.

Git reads the index before it locks it. A command that read the old one in that moment, and locks
and writes it back right after us, takes our entries out again; its own commit then fails, because
the branch has moved, but the next one would delete our posts. So the index is watched for as long
as such a command takes to show itself, and gets our entries back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from bridge.store import StoreError
from bridge.store.disk import Disk
from bridge.store.staging import Index, Indexes
from bridge.store.worktree import Checkout, Edit, at_desk

_log = logging.getLogger(__name__)
_WATCH = 0.004  # seconds; git locks the index within a fraction of this after reading it
_STEP = 0.0005


def settle(
    disk: Disk,
    checkout: Checkout,
    own: Path,
    indexes: Indexes,
    edits: Sequence[Edit],
    *,
    checksum: bytes,
    patience: float,
) -> None:
    """Watch the index of a checkout, which we have just written with this ``checksum``.

    ``own`` is the file that a lock of ours is made of where there is something to mend. A command
    that keeps the lock for longer than ``patience`` (seconds) is an editor that waits for a
    message, not one of those meant here. The commit is made: nothing here makes it fail.
    """
    target = checkout.git_dir / "index"
    lock = target.with_name("index.lock")
    watched, given_up = time.monotonic() + _WATCH, time.monotonic() + patience
    try:
        while (now := time.monotonic()) < watched or (lock.exists() and now < given_up):
            time.sleep(_STEP)
            if indexes.checksum(target) != checksum:
                _mend(disk, checkout, own, indexes, edits, patience)
                return
    except (StoreError, OSError) as error:
        _log.warning("the index of %s was not looked after: %s", checkout.root, error)


def _mend(
    disk: Disk,
    checkout: Checkout,
    own: Path,
    indexes: Indexes,
    edits: Sequence[Edit],
    patience: float,
) -> None:
    """Stage once more what somebody else's index has as it was before us."""
    with at_desk(disk, checkout, own, indexes, patience) as desk:
        undone = [
            edit for edit in edits if edit.before != edit.after and _is_as_before(desk.index, edit)
        ]
        for edit in undone:
            if edit.after is None:
                desk.index.remove(edit.path)
            else:
                file = checkout.root / edit.path
                desk.index.put(edit.path, edit.after, file.stat() if file.is_file() else None)
        if undone:
            disk.overwrite(own, desk.index.dump())
            disk.sync([own])
            desk.commit()


def _is_as_before(index: Index, edit: Edit) -> bool:
    staged = index.get(edit.path)
    return (staged.entry if staged else None) == edit.before
