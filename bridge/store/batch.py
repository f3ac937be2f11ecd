"""Commits that are made together: each on top of the one before, written in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bridge.store import (
    Change,
    ChangedMeanwhile,
    Commit,
    MovedMeanwhile,
    StoreError,
    Version,
)
from bridge.store.object_database import ObjectDatabase
from bridge.store.objects import FILE, Entry, Format, Object
from bridge.store.paths import check_path
from bridge.store.trees import TreeEditor
from bridge.store.worktree import Desk, Edit


class Batch:
    """A chain of commits that begins at ``tip``, as objects that are not written yet."""

    def __init__(
        self,
        database: ObjectDatabase,
        fmt: Format,
        author: str,
        tip: bytes | None,
        desks: Sequence[Desk],
    ) -> None:
        self._database = database
        self._format = fmt
        self.ident = f"{author} {int(time.time())} {time.strftime('%z')}"
        self._tree = database.tree_of(tip) if tip else None
        self._desks = desks
        self.tip = tip
        self.subject = ""
        self.objects: list[Object] = []
        self.edits: dict[str, Edit] = {}

    def add(self, commit: Commit, known: Callable[[Version | None], bool]) -> Version | StoreError:
        """Put one more commit on top; an error leaves the batch as it was.

        ``known`` tells whether nobody else has committed since a version.
        """
        try:
            # The author may have seen that an address was free which somebody has taken since.
            if not known(commit.base):
                raise MovedMeanwhile("somebody else has committed meanwhile")
            return self._add(commit)
        except StoreError as error:
            return error

    def _add(self, commit: Commit) -> Version:
        editor = TreeEditor(self._database, self._format, self._tree)
        edits: dict[str, Edit] = {}
        blobs: list[Object] = []
        for change in commit.changes:
            edit, blob = self._change(editor, change)
            edits[change.path] = edit
            blobs += blob
        tree, trees = editor.write()
        parents = [self.tip] if self.tip else []
        made = self._format.commit(tree, parents, self.ident, self.ident, commit.message)
        self.objects += [*blobs, *trees, made]
        self.edits.update(edits)
        self.subject = commit.message.partition("\n")[0]
        self.tip, self._tree = made.oid, tree
        self._database.remember_commit(made.oid, tree)
        return Version(made.oid.hex())

    def _change(self, editor: TreeEditor, change: Change) -> tuple[Edit, list[Object]]:
        check_path(change.path)
        present = editor.get(change.path)
        found = present.oid.hex() if present and present.is_file else None
        if found != change.expected or (present and not present.is_file):
            raise ChangedMeanwhile(change.path)
        if change.content is None:
            if present:
                editor.remove(change.path)
            return Edit(change.path, self._before(change.path, present), None, None), []
        blob = self._format.object("blob", change.content)
        # A file that was executable stays so.
        after = Entry(present.mode if present else FILE, blob.oid)
        editor.put(change.path, after)
        before = self._before(change.path, present)
        return Edit(change.path, before, after, change.content), [blob]

    def _before(self, path: str, present: Entry | None) -> Entry | None:
        """What working trees hold at a path before the batch; refuses what the owner has edited."""
        if path in self.edits:
            return self.edits[path].before
        for desk in self._desks:
            desk.check(path, present)
        return present
