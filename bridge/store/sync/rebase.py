"""Rebases our commits onto the remote's.

A file that only one side has changed is taken from that side; one that both have is merged line by
line, also where they have moved it. Where that fails nothing is lost: theirs stays at its path, and
ours is kept beside it as ``NAME.conflict-ID``, which Pelican does not take for a post.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path, PurePosixPath

from git import GitCommandError
from msgspec import Struct

from bridge.store import StoreBroken
from bridge.store.object_database import ObjectDatabase, TreeEditor, compare
from bridge.store.objects import Object, TreeEntry
from bridge.store.repo import BareRepo

#: The mark in the names of files that conflicts have left.
MARK = ".conflict-"
_MARKED = re.compile(r"(.+)\.conflict-[0-9a-f]{8}")
#: The exit statuses of ``git merge-file`` where both have changed the same lines: the number of
#: conflicts, or 255 for files that it cannot compare.
_NOT_MERGED = (*range(1, 128), 255)
#: The smallest share of equal text for a new file to be a moved one (as in git).
_LIKE = 0.5
#: Among more new files than this only one with the same bytes is looked for.
_MOST_MOVED = 200
#: A longer front matter that both sides have changed is not merged: the time for that grows with
#: the square of its length.
_MOST_LINES = 500
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_TRAILER = re.compile(r"[A-Za-z][A-Za-z-]*: ")
_TIME = re.compile(r"(\d+) [-+]\d{4}$")


def conflicted(path: str) -> str | None:
    """The file that ``path`` is the other version of; ``None`` for any other file."""
    match = _MARKED.fullmatch(path)
    return match[1] if match else None


class _Commit(Struct, frozen=True):
    """What is needed of a commit of ours to rebase it."""

    oid: bytes
    tree: bytes
    parents: tuple[bytes, ...]
    author: str
    committer: str
    message: str


class Replay:
    """Rebases commits onto another one; nothing is written yet."""

    def __init__(self, bare_repo: BareRepo, database: ObjectDatabase, author: str) -> None:
        self._repo = bare_repo.repo
        self._format = bare_repo.format
        self._database = database
        self._author = author
        self._theirs: bytes | None = None
        self.objects: list[Object] = []

    def onto(self, theirs: bytes, ours: bytes, without: Container[bytes]) -> bytes:
        """Our commits that ``theirs`` lacks, ``without`` some, on top of it; the new tip.

        A history of ours that itself has merges is not taken apart, but merged as a whole.
        """
        missing = self._missing(ours, theirs)
        commits = [self._load(oid) for oid in missing if oid not in without]
        if any(len(commit.parents) > 1 for commit in commits):
            return self._merge(theirs, self._load(ours))
        tip = theirs
        self._theirs = self._database.tree_of(theirs)
        for commit in commits:
            base = self._database.tree_of(commit.parents[0]) if commit.parents else None
            tip = self._rebased(commit, base, tip)
        return tip

    def _rebased(self, commit: _Commit, base: bytes | None, tip: bytes) -> bytes:
        before = self._database.tree_of(tip)
        tree, kept = self._combine(base, commit.tree, before, commit.oid)
        if tree == before:
            return tip  # they have it already
        message = _with_trailers(commit.message, kept)
        # A constant time: a retry writes the same objects.
        made = self._format.commit(tree, [tip], commit.author, self._stamp(commit, tip), message)
        return self._created(made, tree)

    def _merge(self, theirs: bytes, ours: _Commit) -> bytes:
        base = self._repo.git.merge_base(ours.oid.hex(), theirs.hex())
        tree, kept = self._combine(
            self._database.tree_of(bytes.fromhex(base)),
            ours.tree,
            self._database.tree_of(theirs),
            ours.oid,
        )
        stamp = self._stamp(ours, theirs)
        message = _with_trailers("Merge what the remote has\n", kept)
        made = self._format.commit(tree, [ours.oid, theirs], stamp, stamp, message)
        return self._created(made, tree)

    def _created(self, commit: Object, tree: bytes) -> bytes:
        self.objects.append(commit)
        self._database.remember_commit(commit.oid, tree)
        return commit.oid

    def _combine(
        self, base: bytes | None, ours: bytes, theirs: bytes, name: bytes
    ) -> tuple[bytes, Sequence[str]]:
        """Our changes since ``base`` in their tree, and the files kept beside others."""
        editor = TreeEditor(self._database, self._format, theirs)
        kept = []
        for path, was, now in compare(self._database, base, ours):
            there, target = editor.get(path), path
            if there is None and was and (moved := self._moved_to(base, path, was)):
                # Unless an earlier commit of ours has removed it there.
                there = editor.get(moved)
                target = path if there is None else moved
            if there in (was, now):
                _set(editor, target, now)
                continue
            merged = self._merged(was, now, there)
            if merged is not None:
                editor.put(target, merged)
            elif now is not None:
                beside = f"{target}{MARK}{name.hex()[:8]}"
                editor.put(beside, now)
                kept.append(beside)
        tree, objects = editor.write()
        self.objects += objects
        return tree, kept

    def _moved_to(self, base: bytes | None, path: str, was: TreeEntry) -> str | None:
        """The path to which they have moved a text, perhaps with changes, if they have."""
        if not was.is_file or self._theirs is None:
            return None
        text, kind = self._text(was.oid), PurePosixPath(path).suffix
        if b"\0" in text:
            return None
        found = compare(self._database, base, self._theirs)
        new = [
            (each, now)
            for each, before, now in found
            if before is None and now and now.is_file and PurePosixPath(each).suffix == kind
        ]
        exact = [each for each, entry in new if entry.oid == was.oid]
        if exact or len(new) > _MOST_MOVED:
            return next(iter(exact), None)
        likeness = {each: _likeness(text, self._text(entry.oid)) for each, entry in new}
        best = max(likeness, key=likeness.__getitem__, default="")
        return best if likeness.get(best, 0) >= _LIKE else None

    def _merged(
        self, was: TreeEntry | None, now: TreeEntry | None, there: TreeEntry | None
    ) -> TreeEntry | None:
        """The file with the changes of both sides, if git can merge them."""
        if not (was and now and there and was.is_file and now.is_file and there.is_file):
            return None
        texts = [self._text(entry.oid) for entry in (now, was, there)]
        if any(b"\0" in text for text in texts):
            return None
        with tempfile.TemporaryDirectory(prefix="micropub-bridge-") as folder:
            files = [Path(folder, name) for name in ("ours", "base", "theirs")]
            for file, text in zip(files, texts, strict=True):
                file.write_bytes(text)
            both: bytes | None
            try:
                both = self._repo.git.merge_file(
                    "--stdout", *files, stdout_as_string=False, strip_newline_in_stdout=False
                )
            except GitCommandError as error:
                if error.status not in _NOT_MERGED:
                    raise StoreBroken(f"git merge-file has failed: {error.stderr}") from error
                both = _with_both_heads(*texts)
        if both is None:
            return None
        merged = self._format.object("blob", both)
        self.objects.append(merged)
        return TreeEntry(there.mode if now.mode == was.mode else now.mode, merged.oid)

    def _text(self, oid: bytes) -> bytes:
        """A file's bytes; those that the commit before was merged to are not written yet."""
        made = next((item.data for item in self.objects if item.oid == oid), None)
        return self._database.read(oid, "blob") if made is None else made

    def _stamp(self, commit: _Commit, tip: bytes) -> str:
        """The committer of the new commit, with the later time of the two that it is made of."""
        stamps = [commit.committer, self._load(tip).committer]
        times = [match for stamp in stamps if (match := _TIME.search(stamp))]
        return f"{self._author} {max(times, key=lambda match: int(match[1]))[0]}"

    def _missing(self, ours: bytes, theirs: bytes) -> Iterator[bytes]:
        """Our commits that they lack, oldest first."""
        listed = self._repo.git.rev_list(
            "--reverse", "--topo-order", ours.hex(), f"^{theirs.hex()}"
        )
        return (bytes.fromhex(line) for line in listed.split())

    def _load(self, oid: bytes) -> _Commit:
        made = next((item.data for item in self.objects if item.oid == oid), None)
        head, _, message = (made or self._database.read(oid, "commit")).partition(b"\n\n")
        fields = [line.partition(b" ") for line in head.split(b"\n")]

        def first(name: bytes) -> str:
            return next(value for key, _, value in fields if key == name).decode("utf-8", "replace")

        try:
            return _Commit(
                oid,
                bytes.fromhex(first(b"tree")),
                tuple(
                    bytes.fromhex(value.decode()) for key, _, value in fields if key == b"parent"
                ),
                first(b"author"),
                first(b"committer"),
                message.decode("utf-8", "replace"),
            )
        except (StopIteration, ValueError) as error:
            raise StoreBroken(f"commit {oid.hex()} cannot be understood") from error


def _with_trailers(message: str, kept: Sequence[str]) -> str:
    """A commit message that also says which files were kept beside others, as trailers."""
    *_, last = message.rstrip("\n").split("\n")
    gap = "" if _TRAILER.match(last) else "\n"
    return message + (gap if kept else "") + "".join(f"Kept-Beside: {path}\n" for path in kept)


def _likeness(one: bytes, other: bytes) -> float:
    """The share of the longer text that is in lines that both texts have.

    Front matter does not count: that of two notes may differ in the date only.
    """
    texts = [_HEAD_END.split(each, maxsplit=1)[-1].strip() for each in (one, other)]
    lines, others = (Counter(text.splitlines()) for text in texts)
    shared = sum(len(line) * count for line, count in (lines & others).items())
    return shared / max(*map(len, texts), 1)


def _with_both_heads(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """A post whose front matter both have changed, in different lines: for git lines that touch
    are the same place. ``None`` where they are the same lines, or both have changed the text.
    """
    cuts = [
        (found.start() if (found := _HEAD_END.search(each)) else -1)
        for each in (ours, base, theirs)
    ]
    if -1 in cuts:
        return None
    bodies = [text[cut:] for text, cut in zip((ours, base, theirs), cuts, strict=True)]
    if bodies[1] not in (bodies[0], bodies[2]):
        return None
    mine, before, other = (
        text[:cut].split(b"\n") for text, cut in zip((ours, base, theirs), cuts, strict=True)
    )
    if max(map(len, (mine, before, other))) > _MOST_LINES:
        return None
    edits = [*_edits(before, mine), *_edits(before, other)]
    edits = sorted(set(edits))
    for (start, end, _), (later, its_end, _) in pairwise(edits):
        if later < end or (start, end) == (later, its_end):
            return None
    for start, end, lines in reversed(edits):
        before[start:end] = lines
    return b"\n".join(before) + (bodies[2] if bodies[0] == bodies[1] else bodies[0])


def _edits(
    before: Sequence[bytes], after: Sequence[bytes]
) -> Iterator[tuple[int, int, tuple[bytes, ...]]]:
    """The edits: the first line, the one after the last, and the lines in their place."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind != "equal":
            yield start, end, tuple(after[first:last])


def _set(editor: TreeEditor, path: str, entry: TreeEntry | None) -> None:
    if entry is None:
        editor.remove(path)
    else:
        editor.put(path, entry)
