"""A remote on this machine, such as the owner's clone, read without starting git.

Git itself moves the owner's working tree with each push (``receive.denyCurrentBranch =
updateInstead``), and refuses while that has changes that are not committed. This finds what git
would accept and should not: an unfinished rebase or the like, and ignored files at the path of a
new post.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

#: In the first lines of our hook for the owner's clone (``push-to-checkout.sh``).
HOOK_MARK = "# Installed by micropub-bridge."
#: The files that mark an unfinished command of several steps, and how the owner ends it.
_OPERATIONS = {
    "rebase-merge": ("rebase", "git rebase --continue, or git rebase --abort"),
    "rebase-apply": ("rebase", "git rebase --continue, or git rebase --abort"),
    "MERGE_HEAD": ("merge", "git merge --continue, or git merge --abort"),
    "CHERRY_PICK_HEAD": ("cherry-pick", "git cherry-pick --continue, or git cherry-pick --abort"),
    "REVERT_HEAD": ("revert", "git revert --continue, or git revert --abort"),
    "sequencer": ("cherry-pick or revert", "git status, which says how to end it"),
    "BISECT_START": ("bisect", "git bisect reset"),
}


def local_path(url: str, base: Path) -> Path | None:
    """The path that a remote's URL names, from ``base`` if it is relative; ``None`` for a network.

    As git reads it: ``host:path`` is ssh unless a slash comes before the colon.
    """
    if "://" in url:
        parts = urlsplit(url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None
    return None if ":" in url.partition("/")[0] else base / url


class WorkingTree(Struct, frozen=True):
    """A working tree, and its own git folder (where its ``HEAD`` and index are)."""

    root: Path
    git_dir: Path

    def operation(self, branch: str | None = None) -> str | None:
        """The unfinished command that will move the branch (``None``: any), and how to end it."""
        for name, (what, how) in _OPERATIONS.items():
            if (self.git_dir / name).exists() and branch in (None, *self._branches(name)):
                return f"a {what} is under way in {self.root}. End it there: {how}"
        return None

    def has(self, branch: str) -> bool:
        """Whether this branch is checked out here."""
        return _text(self.git_dir / "HEAD") == f"ref: refs/heads/{branch}"

    def _branches(self, operation: str) -> Iterator[str]:
        """The branches that an operation is about: ``HEAD`` may be detached for its time."""
        yield (_text(self.git_dir / "HEAD") or "").removeprefix("ref: refs/heads/")
        place = self.git_dir / operation
        place = place / "head-name" if operation.startswith("rebase") else place
        if operation.startswith(("rebase", "BISECT")):
            yield (_text(place) or "").removeprefix("refs/heads/")


class LocalRemote:
    """A bare repo, or a clone with a working tree, and one branch of it."""

    def __init__(self, path: Path, branch: str) -> None:
        self.path = path
        self._branch = branch
        self._known: object = None

    def fetching(self) -> None:
        """Note that whatever arrives from now on has not been fetched yet."""
        self._known = self._position()

    def pushed(self, commit: str) -> None:
        """Note that the branch is where we have pushed it."""
        self._known = commit

    def has_news(self) -> bool:
        """Whether the branch has moved since it was last fetched or pushed to."""
        return self._position() != self._known

    def is_repo(self, common: Path) -> bool:
        """Whether this is the repo whose folder is ``common``."""
        git_dir = _git_dir(self.path)
        return git_dir is not None and _common(git_dir) == common

    def trees(self) -> list[WorkingTree]:
        """The working trees of the repo: its own, and those that were added to it."""
        git_dir = _git_dir(self.path)
        if git_dir is None:
            return []
        common = _common(git_dir)
        found = [WorkingTree(common.parent, common)] if common.name == ".git" else []
        if not found and git_dir == common != self.path:
            # Its .git is a file: it is a submodule, say.
            found = [WorkingTree(self.path, common)]
        linked = sorted(common.glob("worktrees/*"))
        places = [(folder, _text(folder / "gitdir")) for folder in linked]
        added = [WorkingTree((folder / to).parent, folder) for folder, to in places if to]
        return [*found, *added]

    def in_the_way(
        self, added: Sequence[str], is_tracked: Callable[[str], bool]
    ) -> tuple[Path, ...]:
        """What is where the paths of ``added`` files are to be, and is not tracked by git.

        Nothing where our hook looks at that itself: it knows what it has put there before.
        """
        if self._has_hook():
            return ()
        return tuple(
            tree.root / part
            for tree in self.trees()
            if tree.has(self._branch)
            for path in added
            for part in _parts(path)
            if _blocks(tree.root / part, is_file=part == path) and not is_tracked(part)
        )

    def _has_hook(self) -> bool:
        git_dir = _git_dir(self.path)
        hook = _text(_common(git_dir) / "hooks" / "push-to-checkout") if git_dir else None
        return HOOK_MARK in (hook or "")

    def operation(self) -> str | None:
        """The unfinished command in a working tree that will move the branch."""
        found = (tree.operation(self._branch) for tree in self.trees())
        return next(filter(None, found), None)

    def stamp(self, paths: Iterable[Path] = ()) -> object:
        """A value that is equal as long as nothing has changed in the clone, or at ``paths``."""
        trees = [
            (_text(tree.git_dir / "HEAD"), _stat(tree.git_dir / "index"), tree.operation())
            for tree in self.trees()
        ]
        return self._position(), trees, [_stat(path) for path in paths]

    def _position(self) -> object:
        """Where the branch is, as its file says; else when the files of packed refs were changed.

        ``None`` where there is no repo.
        """
        git_dir = _git_dir(self.path)
        if git_dir is None:
            return None
        common = _common(git_dir)
        loose = _text(common / "refs" / "heads" / self._branch)
        return loose or (_stat(common / "packed-refs"), _stat(common / "reftable" / "tables.list"))


def _git_dir(path: Path) -> Path | None:
    """The git folder of a repo, by the names that git itself tries."""
    for place in (path / ".git", path, path.with_name(f"{path.name}.git")):
        if (place / "HEAD").is_file():
            return place
        if place.is_file() and (text := _text(place)) and text.startswith("gitdir: "):
            return (place.parent / text.removeprefix("gitdir: ")).resolve()
    return None


def _common(git_dir: Path) -> Path:
    """The git folder with the branches; another one for a worktree that was added."""
    return (git_dir / (_text(git_dir / "commondir") or ".")).resolve()


def _parts(path: str) -> Iterator[str]:
    """A path, and every folder above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _blocks(place: Path, *, is_file: bool) -> bool:
    """Whether something is where a file, or a folder, is to be."""
    try:
        found = place.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return True
    # Git removes a folder that is empty.
    return is_file and any(place.iterdir())


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
