"""Finding, listing, comparing and changing files in trees of trees."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bridge.store import ChangedMeanwhile
from bridge.store.database import Database
from bridge.store.objects import FILE, FOLDER, Entry, Format, Object


def find(database: Database, tree: bytes, path: str) -> Entry | None:
    """What is at a path: a file, a folder, a symlink; ``None`` where nothing is."""
    entry = Entry(FOLDER, tree)
    for name in os.fsencode(path).split(b"/"):
        if not entry.is_folder:
            return None
        below = database.tree(entry.oid).get(name)
        if below is None:
            return None
        entry = below
    return entry


def walk(database: Database, tree: bytes, prefix: bytes = b"") -> Iterator[tuple[str, Entry]]:
    """Every file below a tree, by path. Git's order of trees makes this sorted by itself."""
    for name, entry in database.tree(tree).items():
        if entry.is_folder:
            yield from walk(database, entry.oid, prefix + name + b"/")
        elif entry.is_file:
            yield os.fsdecode(prefix + name), entry


def compare(
    database: Database, old: bytes | None, new: bytes | None, prefix: bytes = b""
) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """Every file that differs between two trees; equal folders are not looked into."""
    if old == new:
        return
    before = database.tree(old) if old else {}
    after = database.tree(new) if new else {}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        yield from compare(database, _folder(was), _folder(now), prefix + name + b"/")
        file_was, file_now = _file(was), _file(now)
        if file_was != file_now:
            yield os.fsdecode(prefix + name), file_was, file_now


def _folder(entry: Entry | None) -> bytes | None:
    return entry.oid if entry and entry.is_folder else None


def _file(entry: Entry | None) -> Entry | None:
    return entry if entry and entry.is_file else None


@dataclass
class _Folder:
    """A folder that is being changed."""

    entries: dict[bytes, Entry]
    changed: dict[bytes, _Folder] = field(default_factory=dict)


class TreeEditor:
    """A tree with some files changed. Only the folders along their paths are read and rewritten."""

    def __init__(self, database: Database, fmt: Format, tree: bytes | None) -> None:
        self._database = database
        self._format = fmt
        self._root = _Folder(database.tree(tree) if tree else {})

    def get(self, path: str) -> Entry | None:
        """What is at a path now."""
        *folders, name = os.fsencode(path).split(b"/")
        current = self._root
        for folder in folders:
            below = self._open(current, folder)
            if below is None:
                return None
            current = below
        return None if name in current.changed else current.entries.get(name)

    def put(self, path: str, oid: bytes) -> Entry:
        """Write a file; one that was executable stays so. Raises :class:`ChangedMeanwhile` where a
        folder, or anything that is not a plain file, is in the way."""
        *folders, name = os.fsencode(path).split(b"/")
        current = self._root
        for folder in folders:
            below = self._open(current, folder)
            if below is None:
                if folder in current.entries:
                    raise ChangedMeanwhile(path)
                below = current.changed[folder] = _Folder({})
            current = below
        present = current.entries.get(name)
        if name in current.changed or (present and not present.is_file):
            raise ChangedMeanwhile(path)
        current.entries[name] = Entry(present.mode if present else FILE, oid)
        return current.entries[name]

    def remove(self, path: str) -> None:
        """Delete a file that is there."""
        *folders, name = os.fsencode(path).split(b"/")
        current = self._root
        for folder in folders:
            below = self._open(current, folder)
            if below is None:
                raise ChangedMeanwhile(path)
            current = below
        del current.entries[name]

    def write(self) -> tuple[bytes, Mapping[bytes, Object]]:
        """The new tree's id, and the tree objects that have to be written."""
        objects: dict[bytes, Object] = {}
        return self._write(self._root, objects), objects

    def _open(self, folder: _Folder, name: bytes) -> _Folder | None:
        if name not in folder.changed:
            entry = folder.entries.get(name)
            if entry is None or not entry.is_folder:
                return None
            folder.changed[name] = _Folder(self._database.tree(entry.oid))
        return folder.changed[name]

    def _write(self, folder: _Folder, objects: dict[bytes, Object]) -> bytes:
        for name, below in folder.changed.items():
            oid = self._write(below, objects)
            # Git knows no empty folders.
            if oid == self._format.tree({}).oid:
                folder.entries.pop(name, None)
            else:
                folder.entries[name] = Entry(FOLDER, oid)
        tree = self._format.tree(folder.entries)
        objects[tree.oid] = tree
        return tree.oid
