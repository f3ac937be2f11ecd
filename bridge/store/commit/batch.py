"""Commits written together, each on top of the one before."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.store import (
    BranchMoved,
    Change,
    Commit,
    FileChanged,
    StoreError,
    Version,
)
from bridge.store.format.object_database import ObjectDatabase
from bridge.store.format.objects import EXECUTABLE, FILE, Format, Object, TreeEntry
from bridge.store.format.trees import TreeEditor
from bridge.store.paths import check_path


class Batch:
    """A chain of commits that begins at ``tip``, as objects that are not written yet."""

    def __init__(
        self, database: ObjectDatabase, fmt: Format, author: str, tip: bytes | None
    ) -> None:
        self._database = database
        self._format = fmt
        self.ident = f"{author} {int(time.time())} {time.strftime('%z')}"
        self._tree = database.tree_of(tip) if tip else None
        self.tip = tip
        self.subject = ""
        self.objects: list[Object] = []

    def add(self, commit: Commit, known: Callable[[Version | None], bool]) -> Version | StoreError:
        """Put one more commit on top; an error leaves the batch as it was.

        ``known`` tells whether no one else has committed since a version.
        """
        try:
            # The author may have seen that an address was free which someone has taken since.
            if not known(commit.base):
                raise BranchMoved("there is a newer commit")
            return self._add(commit)
        except StoreError as error:
            return error

    def _add(self, commit: Commit) -> Version:
        editor = TreeEditor(self._database, self._format, self._tree)
        blobs = [blob for change in commit.changes for blob in self._change(editor, change)]
        tree, trees = editor.write()
        parents = [self.tip] if self.tip else []
        made = self._format.commit(tree, parents, self.ident, self.ident, commit.message)
        self.objects += [*blobs, *trees, made]
        self.subject = commit.message.partition("\n")[0]
        self.tip, self._tree = made.oid, tree
        self._database.remember_commit(made.oid, tree)
        return Version(made.oid.hex())

    def _change(self, editor: TreeEditor, change: Change) -> list[Object]:
        """Make one change in the tree; the objects that it needs."""
        check_path(change.path)
        present = editor.get(change.path)
        found = present.oid.hex() if present and present.is_file else None
        if found != change.expected or (present and not present.is_file):
            raise FileChanged(change.path)
        if change.content is None:
            if present:
                editor.remove(change.path)
            return []
        blob = self._format.object("blob", change.content)
        # A file that was executable stays so.
        new = EXECUTABLE if change.executable else FILE
        editor.put(change.path, TreeEntry(present.mode if present else new, blob.oid))
        return [blob]
