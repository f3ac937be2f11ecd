"""A working tree goes along with commits that were made elsewhere, as with ``git pull``.

This is git's own ``read-tree -m -u``: it knows symlinks, submodules and filters, and refuses
where the owner has edited what would change.
"""

from __future__ import annotations

import re

from git import Git, GitCommandError

from bridge.store import OwnersEdit, StoreBroken, StoreBusy
from bridge.store.worktree import Checkout

_IN_THE_WAY = re.compile(r"(?:Entry|file) '(.+?)'(?: not uptodate| would be)")


def follow(checkout: Checkout, old: bytes, new: bytes) -> None:
    """Bring files and index from one commit (or tree) to another; the owner's edits stay.

    Raises :class:`OwnersEdit`, :class:`StoreBusy` while git has the index locked, and
    :class:`StoreBroken` with what else git says; then nothing has changed. Where all is done
    already nothing happens.
    """
    git = Git(checkout.root)
    git.set_persistent_git_options(
        git_dir=str(checkout.git_dir), work_tree=str(checkout.root), c="core.fsync=all"
    )
    try:
        # Files that were touched, but not changed, would look edited. Exit 1: some are edited.
        git.update_index("-q", "--refresh", with_exceptions=False)
        git.read_tree("-m", "-u", old.hex(), new.hex())
    except GitCommandError as error:
        if match := _IN_THE_WAY.search(error.stderr):
            raise OwnersEdit(match[1]) from error
        kind = StoreBusy if "index.lock" in error.stderr else StoreBroken
        raise kind(f"{checkout.root} cannot follow: {error.stderr.strip()}") from error
