"""The content store in a bare git repo: durable, one commit a request."""

from __future__ import annotations

import logging
import os
import posixpath
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import tee
from pathlib import Path

from git import GitCommandError, Repo

from bridge.store import (
    Blob,
    BlobId,
    BranchMoved,
    Change,
    Commit,
    Difference,
    FileChanged,
    LoggedCommit,
    Removal,
    StoreBroken,
    StoreBusy,
    StoreError,
    Version,
    translated,
)
from bridge.store.history import LinkRemoval, removed_files
from bridge.store.history import commits as logged_commits
from bridge.store.object_database import (
    ObjectDatabase,
    TreeEditor,
    check_path,
    compare,
    find,
    links,
    resolve,
    walk,
)
from bridge.store.objects import EXECUTABLE, FILE, FOLDER, LINK, Format, Object, TreeEntry
from bridge.store.repo import Housekeeper, open_bare_repo
from bridge.store.transaction import Disk, Transaction, writer

_log = logging.getLogger(__name__)
_translated = partial(translated, "the disk is full", "the repo cannot be used")
#: An author as git and ``[publish] author`` write it.
AUTHOR = re.compile(r"\s*([^<>\n]*[^<>\s])\s*<([^<>\s]+)>\s*")
_ATTEMPTS = 20
_OWN_COMMITS = 10_000
_LINKS_KEPT = 4  # versions whose symbolic links are known


class GitStore:
    """A :class:`~bridge.store.ContentStore` in a git repo.

    ``repo`` is the bridge's own bare clone; ``branch`` is by default the one that its ``HEAD``
    names; ``author`` is ``Name <address>``, by default git's own, and ``fallback_author`` where
    git has none. Opening raises :class:`StoreBroken`, which says what to do.
    """

    def __init__(
        self,
        repo: Path,
        *,
        branch: str = "",
        author: str = "",
        fallback_author: str = "",
        patience: float = 5.0,
        disk: Disk | None = None,
    ) -> None:
        """``patience`` is how many seconds a commit waits for one of git's locks."""
        self.bare_repo = bare_repo = open_bare_repo(repo, branch)
        self.disk = disk or Disk()
        self._patience = patience
        self.database = ObjectDatabase(bare_repo.repo, bare_repo.format)
        self._turn = threading.Lock()
        self._mine: dict[Version | None, None] = {}  # in order
        self._links: dict[tuple[str, bytes], Mapping[str, str]] = {}
        self._packs = bare_repo.common / "objects" / "pack"
        self._housekeeper = Housekeeper(bare_repo)
        self._transaction = Transaction(bare_repo, self.disk, patience)
        with _translated():
            self.author = _author_of_commits(bare_repo.repo, author, fallback_author)
            # A bridge that was killed may have left something unfinished. If another one is writing
            # right now, it has cleaned up already.
            with suppress(StoreBusy), self._writing():
                self._transaction.unlock()

    def close(self) -> None:
        """End the processes and threads behind the store."""
        self._housekeeper.close()
        self.database.close()
        self.bare_repo.repo.close()
        self.disk.close()

    def head(self) -> Version | None:
        """The newest version of the branch."""
        with _translated():
            return _version(self.bare_repo.branch.read())

    def read(self, path: str, at: Version) -> Blob | None:
        """One file."""
        with _translated():
            tree = self._tree_of(at)
            entry = find(self.database, tree, path)
            if entry is None or entry.mode == LINK:
                real = resolve(self.database, tree, path)
                entry = find(self.database, tree, real) if real else None
            if entry is None or not entry.is_file:
                return None
            return Blob(BlobId(entry.oid.hex()), self.database.read(entry.oid, "blob"))

    def files(self, folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
        """Every file below a folder."""
        with _translated():
            tree, prefix = self._tree_of(at), folder.strip("/")
            if prefix:
                entry = find(self.database, tree, prefix)
                if entry is None or not entry.is_folder:
                    return
                tree = entry.oid
            start = os.fsencode(f"{prefix}/" if prefix else "")
            for path, oid in walk(self.database, tree, start):
                yield path, BlobId(oid.hex())

    def links(self, folder: str, at: Version) -> Mapping[str, str]:
        """Symbolic links below a folder, and where in the repo they lead."""
        with _translated():
            tree, known = self._tree_of(at), self._links
            if (folder, tree) not in known:
                # Hardly any commit changes a link.
                before = next((each for each in reversed(known) if each[0] == folder), None)
                if before is None or self._links_differ(before[1], tree):
                    found = self._links_in(tree, folder.strip("/"))
                else:
                    found = known[before]
                known[folder, tree] = found
                while len(known) > _LINKS_KEPT:
                    del known[next(iter(known))]
            return known[folder, tree]

    def _links_differ(self, old: bytes, new: bytes) -> bool:
        differing = compare(self.database, old, new)
        return any(each and each.mode == LINK for _, *pair in differing for each in pair)

    def _links_in(self, tree: bytes, folder: str) -> Mapping[str, str]:
        entry = find(self.database, tree, folder) if folder else TreeEntry(FOLDER, tree)
        if entry is None or not entry.is_folder:
            return {}
        return dict(links(self.database, entry.oid, f"{folder}/" if folder else ""))

    def listed(self, at: Version) -> Iterator[tuple[str, str]]:
        """Mode and id of everything except folders, by path, including links and submodules."""
        with _translated():
            for path, _, entry in compare(self.database, None, self._tree_of(at)):
                if entry is not None:
                    yield path, f"{entry.mode!r} {entry.oid.hex()}"

    def blobs(self, ids: Iterable[BlobId]) -> Iterator[Blob]:
        """The contents of many blobs."""
        with _translated():
            names, asked = tee(ids)
            found = self.database.read_many(map(_oid, asked), "blob")
            for blob, data in zip(names, found, strict=True):
                yield Blob(blob, data)

    def diff(self, old: Version, new: Version) -> Sequence[Difference]:
        """Every path that differs."""
        with _translated():
            found = compare(self.database, self._tree_of(old), self._tree_of(new))
            changed = [
                Difference(
                    path,
                    BlobId(was.oid.hex()) if was and was.is_file else None,
                    BlobId(now.oid.hex()) if now and now.is_file else None,
                )
                for path, was, now in found
            ]
            return sorted(changed, key=lambda pair: os.fsencode(pair.path))

    def removals(self, places: Collection[str], at: Version) -> Iterator[Removal]:
        """Files that were removed, newest removal first."""
        with _translated():
            self._tree_of(at)
            seen = set[tuple[str, BlobId]]()
            for found in removed_files(self.bare_repo.repo, places, at):
                removal = self._behind(found) if isinstance(found, LinkRemoval) else found
                if removal is not None and (removal.path, removal.blob) not in seen:
                    seen.add((removal.path, removal.blob))
                    yield removal

    def _behind(self, link: LinkRemoval) -> Removal | None:
        """The removal of a link, with the file that it led to; ``None`` if it led to none."""
        where = os.fsdecode(self.database.read(_oid(link.blob), "blob"))
        for parent in link.parents:
            tree = self._tree_of(parent)
            target = resolve(self.database, tree, link.path)
            entry = find(self.database, tree, target) if target else None
            if entry is not None and entry.is_file:
                blob = BlobId(entry.oid.hex())
                return Removal(link.path, blob, link.version, link.time, link=where)
        return None

    def log(self, at: Version, *, path: str = "", since: float = 0.0) -> Iterator[LoggedCommit]:
        """Commits with their messages, newest first."""
        with _translated():
            self._tree_of(at)
            yield from logged_commits(self.bare_repo.repo, at, path, since)

    def commit(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        """Commit each on top of the one before, all of them in one round of syncs.

        Raises :class:`StoreBusy` if other programs keep moving the branch, and other errors of the
        store.
        """
        with _translated(), self._writing():
            for _ in range(_ATTEMPTS):
                answers = self._attempt(commits)
                if answers is not None:
                    with _after_commit("small packs are not joined"):
                        self._housekeeper.committed()
                    return answers
                self._transaction.sweep()
        raise StoreBusy("another program keeps committing to the repo")

    def advance_to_remote(self, old: Version | None, new: bytes, objects: Sequence[Object]) -> bool:
        """Move the branch to a commit that came from elsewhere.

        ``objects`` are those that the repo lacks. ``False`` if the branch is no longer at ``old``.
        """
        with _translated(), self._writing():
            head = _oid(old) if old else None
            ident = f"{self.author} {int(time.time())} {time.strftime('%z')}"
            return self._transaction.advance(head, new, objects, f"{ident}\tpull: from the remote")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer among all threads and bridges, after cleaning up what a killed bridge
        has left.
        """
        with self._turn, writer(self._packs, self._patience):
            self._transaction.recover()
            try:
                yield
            finally:
                with _after_commit("temporary files are left for the next commit to sweep"):
                    self._transaction.sweep()

    def _attempt(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError] | None:
        """Commit on top of the branch's present commit; ``None`` if the branch has moved in
        between.
        """
        head = self.bare_repo.branch.read()
        self._notice(_version(head))
        chain = _Chain(self.database, self.bare_repo.format, self.author, head)
        made: dict[Version | None, None] = {}
        answers: list[Version | StoreError] = []
        for commit in commits:
            answer = chain.add(commit, lambda base: base in self._mine or base in made)
            answers.append(answer)
            if not isinstance(answer, StoreError):
                made[answer] = None
        reflog = f"{chain.ident}\tcommit: {chain.subject}"
        move = self._transaction.advance
        if chain.tip and made and not move(head, chain.tip, chain.objects, reflog):
            return None
        self._mine |= made
        while len(self._mine) > _OWN_COMMITS:
            del self._mine[next(iter(self._mine))]
        return answers

    def _notice(self, head: Version | None) -> None:
        """Remember the versions after which only our own commits have come."""
        if head not in self._mine:
            self._mine = {head: None}

    def _tree_of(self, at: Version) -> bytes:
        return self.database.tree_of(_oid(at))


class _Chain:
    """Commits on top of ``tip``, each on the one before, as objects that are not written yet."""

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
        """Add one more commit on top; an error leaves the chain as it was.

        ``known`` tells whether only our own commits have come since a version.
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
        """Make one change in the tree; return the objects that it needs."""
        check_path(change.path, exists=change.expected is not None)
        path, present = change.path, editor.get(change.path)
        if self._tree and (present is None or present.mode == LINK):
            path = resolve(self._database, self._tree, path) or path
            # A link may lead to ".git", which is in no tree.
            check_path(path, exists=True)
            present = editor.get(path)
        found = present.oid.hex() if present and present.is_file else None
        if found != change.expected or (present and not present.is_file):
            raise FileChanged(change.path)
        if change.content is None:
            if present:
                # A link is the post; where it leads may be something else, too.
                is_link = path != change.path and editor.get(change.path) is not None
                editor.remove(change.path if is_link else path)
            return []
        if change.link and (link := self._link(editor, change)):
            editor.put(path, TreeEntry(LINK, link.oid))
            return [link]
        blob = self._format.object("blob", change.content)
        # A file that was executable stays so.
        new = EXECUTABLE if change.executable else FILE
        editor.put(path, TreeEntry(present.mode if present else new, blob.oid))
        return [blob]

    def _link(self, editor: TreeEditor, change: Change) -> Object | None:
        """The link that a change makes; ``None`` if what it led to is not there any more."""
        folder = posixpath.dirname(change.path)
        target = posixpath.normpath(posixpath.join(folder, change.link))
        there = None if target.startswith(("..", "/")) else editor.get(target)
        blob = self._format.object("blob", change.content or b"")
        if there is None or not there.is_file or there.oid != blob.oid:
            return None
        return self._format.object("blob", os.fsencode(change.link))


def _version(commit: bytes | None) -> Version | None:
    return Version(commit.hex()) if commit else None


def _oid(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise StoreBroken(f"{text!r} is not an object's id") from error


@contextmanager
def _after_commit(what: str) -> Iterator[None]:
    """Guards what follows a durable commit: an error here must not suggest that nothing was
    written.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        _log.warning("%s: %s", what, error)


def _author_of_commits(repo: Repo, configured: str, fallback: str) -> str:
    """``Name <address>`` for commits: ``configured``, else git's own, else ``fallback``.

    Raises :class:`StoreBroken` where there is none.
    """
    if configured:
        return _author(configured)
    try:
        return _author(repo.git.var("GIT_AUTHOR_IDENT").rpartition(">")[0] + ">")
    except GitCommandError as error:
        if fallback:
            return _author(fallback)
        raise StoreBroken(
            "git does not know whose the commits are; set [publish] author ="
            ' "Name <you@example.com>", or run: git config --global user.name and user.email'
        ) from error


def _author(text: str) -> str:
    match = AUTHOR.fullmatch(text)
    if match is None:
        raise StoreBroken(f'the author {text!r} does not read "Name <you@example.com>"')
    return f"{match[1]} <{match[2]}>"
