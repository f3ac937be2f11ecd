"""A repo of a checkout's own, which borrows another's objects, and the files that git writes there.

It shares nothing else with the other repo, no remote and no configuration, and is outside of the
folder with the files: the site's code may write to those, and git runs the programs that a
configuration names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Set
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from git import GitCommandError

from bridge.store import StoreBroken
from bridge.store.repo import BoundedGit

#: The owner's and the system's configuration are for working trees of *theirs*.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
#: git starts no other program, and writes nothing that only a person would look for. It writes the
#: files by itself: with workers for that, two processors take as long, and work twice as much.
_SETTINGS = """\
[core]
\thooksPath = {null}
\tfsmonitor = false
\tlogAllRefUpdates = false
[gc]
\tauto = 0
"""
#: The file that says how git writes others.
ATTRIBUTES = ".gitattributes"
#: The start of the mode of a file that is no link and no submodule.
_PLAIN = "100"
_ERRORS = "surrogateescape"
_MANY = 200  # paths: the length of a command is limited


class TrackedFile(NamedTuple):
    """A file of a version, as git lists it."""

    path: str
    mode: str
    oid: str


class PathList:
    """Paths noted in a file, each followed by a NUL."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Set[str]:
        """The paths; empty if there is no file."""
        try:
            text = self._file.read_text("utf-8", _ERRORS)
        except FileNotFoundError:
            return frozenset()
        return frozenset(filter(None, text.split("\0")))

    def write(self, paths: Iterable[str]) -> None:
        """Note these, and no others."""
        self._file.write_text("".join(f"{path}\0" for path in paths), "utf-8", _ERRORS)


class CheckoutRepo:
    """The files below ``folder``; what git keeps for them is in ``git_dir``.

    ``objects`` is the folder of objects to borrow. Methods block, and raise StoreBroken where git
    fails.
    """

    def __init__(self, objects: Path, folder: Path, git_dir: Path) -> None:
        self.folder = folder
        self.git_dir = git_dir
        self._objects = objects
        #: The paths that git must not expect on disk.
        self._hidden = PathList(git_dir / "bridge-left-out")

    def prepare(self) -> None:
        """Make an empty repo that borrows the objects of the other, where there is none yet."""
        alternates = self.git_dir / "objects" / "info" / "alternates"
        lender = f"{self._objects.resolve()}\n"
        if alternates.is_file() and alternates.read_text() == lender and self.is_linked:
            return
        for place in (self.folder, self.git_dir):
            if place.is_symlink() or place.is_file():
                place.unlink()
            elif place.exists():
                shutil.rmtree(place)
            place.mkdir(parents=True)
        kind = "sha256" if _uses_sha256(self._objects) else "sha1"
        self.git("init", "--quiet", "--template=", f"--object-format={kind}")
        # Written directly, since nothing else reads it yet: git config would be a process for each
        # line.
        with (self.git_dir / "config").open("a", encoding="ascii") as config:
            config.write(_SETTINGS.format(null=os.devnull))
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(lender)
        self.folder.joinpath(".git").symlink_to(self.git_dir)

    def start_over(self) -> None:
        """Start from an empty folder: the checkout is incomplete or damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.git_dir, ignore_errors=True)
        self.prepare()

    @property
    def is_linked(self) -> bool:
        """Whether the folder is the one that git knows of, and was not replaced by another."""
        link = self.folder / ".git"
        return link.is_symlink() and link.readlink() == self.git_dir

    def files(self, version: str) -> Iterator[TrackedFile]:
        """The files of a version."""
        return map(_tracked, self._listed(version))

    def special(self, version: str) -> Iterator[TrackedFile]:
        """Those files of a version that are no plain files, and every ``.gitattributes``."""
        return (
            _tracked(line)
            for line in self._listed(version)
            if not line.startswith(_PLAIN) or line.endswith(ATTRIBUTES)
        )

    def _listed(self, version: str) -> list[str]:
        return self.git("ls-tree", "-r", "-z", version).split("\0")[:-1]

    def differences(self, before: str, version: str) -> Iterator[TrackedFile]:
        """The files that differ, as ``version`` has them; mode ``000000`` where one is gone."""
        parts = self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", before, version)
        fields = parts.split("\0")
        for about, path in zip(fields[0:-1:2], fields[1::2], strict=True):
            _, mode, _, oid, _ = about.split(" ")
            yield TrackedFile(path, mode, oid)

    def tracked(self, paths: Collection[str] | None = None) -> list[str]:
        """Those of some paths (by default, all) that the version on disk has."""
        if paths is not None and not paths:
            return []
        listed = self.git("ls-files", "-z", "--", *(paths or ()))
        return list(filter(None, listed.split("\0")))

    def modified(self) -> list[str]:
        """The files that are not as the version on disk has them, except for hidden ones. A
        submodule is one path.
        """
        listed = self.git("ls-files", "-z", "--modified")
        # One that was removed is listed twice.
        return [*dict.fromkeys(filter(None, listed.split("\0")))]

    def restore(self, paths: Collection[str]) -> None:
        """Restore files that were removed or changed, as far as this version has them."""
        self.expect(self.hidden & frozenset(paths))
        if len(paths) > _MANY:
            self.git("checkout-index", "--index", "--force", "--all")
        elif present := self.tracked(paths):
            self.git("checkout-index", "--index", "--force", "--", *present)

    @property
    def hidden(self) -> Set[str]:
        """The paths that git does not expect on disk."""
        return self._hidden.read()

    def hide(self, absent: Collection[str]) -> None:
        """Make ``git status`` ignore that these files, and no others, are not on disk."""
        paths, before = set(self.tracked(absent)), self.hidden
        self.expect(before - paths)
        if new := sorted(paths - before):
            # Recorded first: what is marked but not recorded would never be restored.
            self._hidden.write(paths)
            self.git("update-index", "--skip-worktree", "--", *new)

    def expect(self, paths: Set[str]) -> None:
        """Undo :meth:`hide` for some paths."""
        if not paths:
            return
        if present := self.tracked(paths):
            self.git("update-index", "--no-skip-worktree", "--", *present)
        self._hidden.write(self.hidden - paths)

    def copy_tags(self) -> None:
        """A clone has the repo's tags, too: settings may call ``git describe`` for a version."""
        repo = self._objects.parent
        packed = repo / "packed-refs"
        lines = packed.read_text("utf-8", _ERRORS).splitlines() if packed.is_file() else []
        tags: dict[str, str] = {}
        for line, after in pairwise([*lines, ""]):
            oid, _, name = line.partition(" ")
            if name.startswith("refs/tags/"):
                # The target of an annotated tag, on a line of its own.
                tags[name] = f"{oid} {name}\n" + (f"{after}\n" if after.startswith("^") else "")
        for file in (repo / "refs" / "tags").rglob("*"):
            if file.is_file():
                name = file.relative_to(repo).as_posix()
                tags[name] = f"{file.read_text('ascii').strip()} {name}\n"
        text, ours = "".join(tags.values()), self.git_dir / "packed-refs"
        if text != (ours.read_text("utf-8", _ERRORS) if ours.is_file() else ""):
            ours.write_text(text, "utf-8", _ERRORS)

    def repos_inside(self) -> list[str]:
        """Folders below this one that have a ``.git``: submodules of the version before."""
        found = []
        for folder, names, _ in os.walk(self.folder):
            if folder != str(self.folder) and ".git" in names:
                found.append(os.path.relpath(folder, self.folder))
                names.clear()
            elif ".git" in names:
                names.remove(".git")
        return found

    def git(self, *arguments: str) -> str:
        """Run a git command; returns its standard output.

        Raises :class:`StoreBroken` with git's message if it fails.
        """
        command = ["git", f"--git-dir={self.git_dir}", f"--work-tree={self.folder}", *arguments]
        try:
            out = BoundedGit(str(self.folder)).execute(
                command,
                env=_ENVIRONMENT,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except GitCommandError as error:
            raise StoreBroken(f"git {arguments[0]}: {git_error(error)}") from error
        return os.fsdecode(out)


def _tracked(line: str) -> TrackedFile:
    about, _, path = line.partition("\t")
    mode, _, oid = about.split(" ")
    return TrackedFile(path, mode, oid)


def git_error(error: GitCommandError) -> str:
    """Git's own error message, without GitPython's wrapping."""
    lines = error.stderr.strip().removeprefix("stderr: '").removesuffix("'").splitlines()
    parts = [line.strip(" .") for line in lines if not line.startswith("hint:")]
    return "; ".join(filter(None, parts))[:1000]


def _uses_sha256(objects: Path) -> bool:
    """As the repo of these objects says; git itself reads that in no other file than this."""
    config = objects.with_name("config")
    text = config.read_text("utf-8", _ERRORS) if config.is_file() else ""
    return re.search(r"(?im)^\s*objectformat\s*=\s*\"?sha256\b", text) is not None
