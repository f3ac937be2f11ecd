"""Checks out the site's files, as ``git clone --recurse-submodules`` would.

git itself writes them: modes, symbolic links, line ends and filters are as in any clone, and a
tree with a name that git refuses (``.git``, ``..``) never gets here. The checkout has a ``.git``
of its own, in which ``git log`` works: it borrows the repo's objects and has nothing else of it,
no remote and no configuration. It is a link to a folder elsewhere: the site's code may write to the
checkout, and git runs the programs that a configuration names.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from git import Git, GitCommandError

from bridge.store import StoreBroken, Version

_LINK, _MODULE = "120000", "160000"
_SECONDS = 300

#: The owner's and the system's configuration say how *they* like a working tree to be.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
#: No program is started on git's behalf, and nothing is kept that only a person would look for.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.logAllRefUpdates": "false",
    "gc.auto": "0",
}


class SubmoduleMissing(Exception):
    """The files of a submodule are not available. The text says why."""


class Submodules(Protocol):
    """Where a checkout gets the objects of its submodules."""

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        """The folder of objects that has a commit, and where *its* submodules come from.

        ``name`` and ``url`` are as ``.gitmodules`` has them, ``url`` perhaps relative. Blocks;
        raises :class:`SubmoduleMissing`.
        """
        ...


class LargeFiles(Protocol):
    """Where a checkout gets what git-lfs keeps beside git's own objects."""

    def find(self, version: str, wanted: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """The files of a version with these SHA-256 hashes, and why others are missing. Blocks."""
        ...


class NoLargeFiles:
    """For a checkout that does without."""

    def find(self, version: str, wanted: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """None."""
        del version, wanted
        return {}, "commit them without git-lfs"


class NoSubmodules:
    """For a repo whose submodules are not wanted."""

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        """Refuse."""
        raise SubmoduleMissing(f"{name} was not fetched")


_ERRORS = "surrogateescape"
#: How a pointer of git-lfs begins, and the largest that its specification allows.
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024
_OBJECT = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_NAMED = 3
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Under which file the warning about large files stands.
_LARGE = ".gitattributes"


class Checkout:
    """The files of one version below ``folder``.

    ``objects`` is the folder of objects to borrow. A symbolic link may lead to a file inside of
    ``root`` (by default ``folder``), or where ``may_read`` allows it; others are taken away, since
    a build would publish what they name. Methods block, and are not for two threads at once.
    """

    def __init__(
        self,
        objects: Path,
        folder: Path,
        *,
        submodules: Submodules | None = None,
        may_read: Callable[[Path], bool] = lambda _: False,
        keep: Sequence[str] = (),
        root: Path | None = None,
        large_files: LargeFiles | None = None,
        git_dir: Path | None = None,
    ) -> None:
        """``keep``: patterns of files that builds leave behind and that stay, as caches do.
        ``git_dir`` is the folder for what git keeps, which the site's code may not write to."""
        self.folder = folder
        self._objects = objects
        self._submodules = submodules or NoSubmodules()
        self._large_files = large_files or NoLargeFiles()
        self._may_read = may_read
        self._keep = keep
        self._root = root or folder
        self._git_dir = (git_dir or folder.with_name(f"{folder.name}.git")).absolute()
        #: Exists while the folder is between two versions.
        self._moving = self._git_dir / "bridge-moving"
        self._known = False  # whether the next two tell of what is on disk
        self._modules: dict[str, str] = {}  # path to commit
        self._links: set[str] = set()
        self._attributes: set[str] = set()  # every .gitattributes
        self._below: dict[str, Checkout] = {}
        self._left_out: frozenset[str] = frozenset()
        #: The paths of which git is told not to expect them on disk, each followed by a NUL.
        self._hidden = self._git_dir / "bridge-left-out"
        #: The same of paths that git-lfs keeps elsewhere, and whose files are here.
        self._filled = self._git_dir / "bridge-large-files"
        self._warnings: dict[str, str] = {}

    @property
    def version(self) -> Version | None:
        """The version that is completely checked out; ``None`` if that is not known."""
        try:
            head = self._git_dir.joinpath("HEAD").read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if self._moving.exists() or head.startswith("ref:") or not self._is_linked():
            return None
        return Version(head)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a clone has and this checkout lacks, each with its path and the reason."""
        below = (
            f"{path}/{each}" for path, checkout in self._below.items() for each in checkout.warnings
        )
        return (*(f"{path}: {text}" for path, text in self._warnings.items()), *below)

    @property
    def lacks(self) -> bool:
        """Whether a clone would have submodules or links that this checkout does not."""
        below = any(checkout.lacks for checkout in self._below.values())
        return below or any(path != _LARGE for path in self._warnings)

    def changes(self, version: Version) -> tuple[str, ...]:
        """The paths that differ between the disk and a version; all of them, where the disk is in
        an unknown state. A submodule is one path. Raises StoreBroken.
        """
        self._prepare()
        if before := self.version:
            try:
                return tuple(path for path, _, _ in self._differences(before, version))
            except StoreBroken:
                # Damaged, or the repo was made anew and does not know what is on disk.
                self._begin_anew()
        return tuple(path for path, _, _ in self._listed(version))

    def bring_to(self, version: Version, *, exact: bool = True) -> None:
        """Check out a version.

        ``exact``: also undo whatever builds have left there. Otherwise only what differs between
        the versions is written, which takes a fraction of the time. Raises StoreBroken, OSError.
        """
        self._prepare()
        before = None if exact or not self._known else self.version
        try:
            self._move(before, version)
        except StoreBroken:
            if before is None:
                self._begin_anew()
            self._move(None, version)

    def paths(self) -> tuple[str, ...]:
        """Every path of the version on disk."""
        return tuple(filter(None, self._git("ls-files", "-z").split("\0")))

    def leave_out(self, paths: Iterable[str]) -> None:
        """Remove files of the version from disk, and restore those left out before."""
        wanted = frozenset(paths)
        self._restore(self._left_out - wanted)
        for path in wanted:
            place = self.folder / path
            if place.is_symlink() or place.is_file():
                place.unlink()
        self._left_out = wanted
        self._hide()

    def _begin_anew(self) -> None:
        """Start from an empty folder: the checkout is incomplete or damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._git_dir, ignore_errors=True)
        self._prepare()

    def _prepare(self) -> None:
        """An empty repo that borrows the objects of the other, where there is none yet."""
        alternates = self._git_dir / "objects" / "info" / "alternates"
        lender = f"{self._objects.resolve()}\n"
        if alternates.is_file() and alternates.read_text() == lender and self._is_linked():
            return
        for place in (self.folder, self._git_dir):
            if place.is_symlink() or place.is_file():
                place.unlink()
            elif place.exists():
                shutil.rmtree(place)
            place.mkdir(parents=True)
        kind = "sha256" if _uses_sha256(self._objects) else "sha1"
        self._git("init", "--quiet", "--template=", f"--object-format={kind}")
        for name, value in _SETTINGS.items():
            self._git("config", name, value)
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(lender)
        self.folder.joinpath(".git").symlink_to(self._git_dir)

    def _is_linked(self) -> bool:
        """Whether the folder is the one that git knows of: no one has put another in its place."""
        link = self.folder / ".git"
        return link.is_symlink() and link.readlink() == self._git_dir

    def _move(self, before: Version | None, version: Version) -> None:
        # Only a git that was killed leaves its lock behind: no other works here.
        self._git_dir.joinpath("index.lock").unlink(missing_ok=True)
        self._known = False
        self._moving.touch()
        self._expect(self._not_expected())
        if before is None:
            self._reset(version)
        elif before != version:
            self._step(before, version)
        # Not a branch: HEAD names the version itself, which is how a version is known to be here.
        self._git_dir.joinpath("HEAD").write_text(f"{version}\n", "ascii")
        self._copy_tags()
        self._warnings = {}
        self._check_links()
        self._fill_submodules(version, exact=before is None)
        self._fill_pointers(version)
        self._hide()
        self._moving.unlink()
        self._known = True

    def _copy_tags(self) -> None:
        """A clone has the repo's tags, too: settings may ask ``git describe`` for a version."""
        repo = self._objects.parent
        packed = repo / "packed-refs"
        lines = packed.read_text("utf-8", _ERRORS).splitlines() if packed.is_file() else []
        tags: dict[str, str] = {}
        for line, after in pairwise([*lines, ""]):
            oid, _, name = line.partition(" ")
            if name.startswith("refs/tags/"):
                # What an annotated tag is of, on a line of its own.
                tags[name] = f"{oid} {name}\n" + (f"{after}\n" if after.startswith("^") else "")
        for file in (repo / "refs" / "tags").rglob("*"):
            if file.is_file():
                name = file.relative_to(repo).as_posix()
                tags[name] = f"{file.read_text('ascii').strip()} {name}\n"
        text, ours = "".join(tags.values()), self._git_dir / "packed-refs"
        if text != (ours.read_text("utf-8", _ERRORS) if ours.is_file() else ""):
            ours.write_text(text, "utf-8", _ERRORS)

    def _hide(self) -> None:
        """Make ``git status`` ignore files that are left out."""
        links = {path for path in self._links if not (self.folder / path).is_symlink()}
        absent = [path for path in self._left_out | links if not (self.folder / path).exists()]
        listed = self._git("ls-files", "-z", "--", *absent) if absent else ""
        wanted, before = set(filter(None, listed.split("\0"))), self._not_expected()
        self._expect(before - wanted)
        if new := sorted(wanted - before):
            # Noted first: what is marked and not noted would never be put back.
            self._hidden.write_text("".join(f"{path}\0" for path in wanted), "utf-8", _ERRORS)
            self._git("update-index", "--skip-worktree", "--", *new)

    def _expect(self, paths: Set[str]) -> None:
        """Undo :meth:`_hide` for some paths."""
        if not paths:
            return
        listed = self._git("ls-files", "-z", "--", *paths)
        if present := list(filter(None, listed.split("\0"))):
            self._git("update-index", "--no-skip-worktree", "--", *present)
        left = self._not_expected() - paths
        self._hidden.write_text("".join(f"{path}\0" for path in left), "utf-8", _ERRORS)

    def _not_expected(self) -> Set[str]:
        return _listed_in(self._hidden)

    def _reset(self, version: Version) -> None:
        self._left_out = frozenset()
        listed = list(self._listed(version))
        self._modules = {path: oid for path, mode, oid in listed if mode == _MODULE}
        self._links = {path for path, mode, _ in listed if mode == _LINK}
        self._attributes = {path for path, _, _ in listed if _is_attributes(path)}
        for folder in self._repos_inside():
            if folder not in self._modules:
                shutil.rmtree(self.folder / folder)
        self._empty_pointers(_listed_in(self._filled))
        self._git("reset", "--quiet", "--hard", version)
        self._git("clean", "--quiet", "-ffdx", *(f"--exclude={each}" for each in self._keep))

    def _step(self, before: Version, version: Version) -> None:
        """What ``git checkout`` does: files that differ between the two are written."""
        differences = list(self._differences(before, version))
        self._empty_pointers([path for path, _, _ in differences])
        for path, mode, oid in differences:
            if self._modules.pop(path, None) and mode != _MODULE:
                # git leaves the files of a submodule behind, in the way of what comes instead.
                shutil.rmtree(self.folder / path)
                self._below.pop(path, None)
            self._links.discard(path)
            self._attributes.discard(path)
            if _is_attributes(path) and int(mode):
                self._attributes.add(path)
            if mode == _MODULE:
                self._modules[path] = oid
            elif mode == _LINK:
                self._links.add(path)
        self._git("read-tree", "-u", "-m", before, version)

    def _differences(self, before: str, version: str) -> Iterator[tuple[str, str, str]]:
        """Path, mode and object of each difference; mode ``000000`` where a path is gone."""
        parts = self._git("diff-tree", "-r", "-z", "--raw", "--no-renames", before, version)
        fields = parts.split("\0")
        for about, path in zip(fields[0:-1:2], fields[1::2], strict=True):
            _, mode, _, oid, _ = about.split(" ")
            yield path, mode, oid

    def _listed(self, version: str) -> Iterator[tuple[str, str, str]]:
        """Path, mode and object of each file of a version."""
        for line in filter(None, self._git("ls-tree", "-r", "-z", version).split("\0")):
            about, _, path = line.partition("\t")
            mode, _, oid = about.split(" ")
            yield path, mode, oid

    def _repos_inside(self) -> list[str]:
        """Folders below this one that have a ``.git``: submodules of the version before."""
        found = []
        for folder, names, _ in os.walk(self.folder):
            if folder != str(self.folder) and ".git" in names:
                found.append(os.path.relpath(folder, self.folder))
                names.clear()
            elif ".git" in names:
                names.remove(".git")
        return found

    def _restore(self, paths: Collection[str]) -> None:
        """Put files that were taken away back, as far as this version has them."""
        self._expect(self._not_expected() & frozenset(paths))
        listed = self._git("ls-files", "-z", "--", *paths) if paths else ""
        if present := list(filter(None, listed.split("\0"))):
            self._git("checkout-index", "--force", "--", *present)

    def _check_links(self) -> None:
        self._restore([path for path in self._links if not (self.folder / path).is_symlink()])
        # Judged together, since a link may lead through another.
        for path in [path for path in self._links if not self._is_allowed(self.folder / path)]:
            link = self.folder / path
            self._warnings[path] = (
                f"a symbolic link that leads outside of the repo, to {link.readlink()}"
            )
            link.unlink()

    def _fill_pointers(self, version: Version) -> None:
        """Put the files that git-lfs keeps elsewhere in the place of its pointers."""
        uses_lfs = any(_names_lfs(self.folder / path) for path in self._attributes)
        named = {path: self._object_of(path) for path in self.paths()} if uses_lfs else {}
        pointers = {path: name for path, name in named.items() if name}
        if not pointers:
            return
        files, reason = self._large_files.find(version, set(pointers.values()))
        filled = [path for path, name in pointers.items() if name in files]
        there = _listed_in(self._filled) - pointers.keys()
        for path in filled:
            self._replace(path, files[pointers[path]])
        if filled:
            # Noted first: what is marked and not noted would be in the way of the next version.
            self._filled.write_text(
                "".join(f"{path}\0" for path in [*there, *filled]), "utf-8", _ERRORS
            )
            # It is what the owner has there, and git would call it a change without its filter.
            self._git("update-index", "--assume-unchanged", "--", *filled)
        if lacking := [path for path in pointers if path not in set(filled)]:
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            self._warnings[_LARGE] = (
                f"git-lfs keeps {', '.join(lacking[:_NAMED])}{more} elsewhere, and pages get its"
                f" pointers instead of these files: {reason}"
            )

    def _replace(self, path: str, source: Path) -> None:
        """Put a copy of a file in the place of another, whose mode it gets.

        The site's code may write to the checkout: no symbolic link is followed on the way.
        """
        *parents, name = path.split("/")
        half = f".{name}.bridge"
        with contextlib.ExitStack() as stack:
            folder = os.open(self.folder, _FOLDER)
            stack.callback(os.close, folder)
            for each in parents:
                folder = os.open(each, _FOLDER, dir_fd=folder)
                stack.callback(os.close, folder)
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            with contextlib.suppress(FileNotFoundError):
                os.unlink(half, dir_fd=folder)
            copy = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            with os.fdopen(copy, "wb") as target, source.open("rb") as data:
                shutil.copyfileobj(data, target)
                os.fchmod(copy, stat.S_IMODE(mode))
            os.replace(half, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _empty_pointers(self, paths: Collection[str]) -> None:
        """Have the pointers themselves for these paths, as far as :meth:`_fill_pointers` put
        files in their place: git writes over nothing that it has not written."""
        noted = _listed_in(self._filled)
        listed = self._git("ls-files", "-z", "--", *sorted(noted & set(paths))) if noted else ""
        if emptied := list(filter(None, listed.split("\0"))):
            self._git("update-index", "--no-assume-unchanged", "--", *emptied)
            self._git("checkout-index", "--force", "--", *emptied)

    def _object_of(self, path: str) -> str:
        """The hash of the file that a pointer of git-lfs stands for; ``""`` if it is none."""
        place = self.folder / path
        try:
            found = place.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _POINTER_BYTES:
                return ""
            data = place.read_bytes()
        except OSError:
            return ""
        match = _OBJECT.search(data) if data.startswith(_POINTER) else None
        return match[1].decode() if match else ""

    def _is_allowed(self, link: Path) -> bool:
        root, target = self._root.resolve(), Path(os.path.realpath(link))
        if not target.is_relative_to(root):
            return self._may_read(target)
        return ".git" not in target.relative_to(root).parts

    def _fill_submodules(self, version: Version, *, exact: bool) -> None:
        for path in [path for path in self._below if path not in self._modules]:
            del self._below[path]
        known = self._described(version) if self._modules else {}
        for path, commit in self._modules.items():
            below = self._below.get(path)
            if below and below.version == commit and not exact:
                continue
            if path not in known:
                self._warnings[path] = "a submodule that .gitmodules does not describe"
                continue
            name, url = known[path]
            try:
                objects, submodules = self._submodules.find(name, url, commit)
            except SubmoduleMissing as error:
                self._warnings[path] = f"a submodule whose files are missing: {error}"
                continue
            self._below[path] = Checkout(
                objects,
                self.folder / path,
                submodules=submodules,
                may_read=self._may_read,
                keep=self._keep,
                root=self._root,
                git_dir=self._git_dir / "modules" / quote(path, safe=""),
            )
            self._below[path].bring_to(Version(commit), exact=exact)

    def _described(self, version: Version) -> Mapping[str, tuple[str, str]]:
        """Name and URL of each submodule, by its path."""
        try:
            listed = self._git("config", "--null", f"--blob={version}:.gitmodules", "--list")
        except StoreBroken:
            # There is none, or git cannot read it: a clone has the rest of the files all the same.
            return {}
        settings: dict[str, dict[str, str]] = {}
        for line in filter(None, listed.split("\0")):
            key, _, value = line.partition("\n")
            section, _, name = key.rpartition(".")
            if section.startswith("submodule."):
                settings.setdefault(section.removeprefix("submodule."), {})[name] = value
        return {
            each["path"]: (name, each["url"])
            for name, each in settings.items()
            if "path" in each and "url" in each
        }

    def _git(self, *arguments: str) -> str:
        command = ["git", f"--git-dir={self._git_dir}", f"--work-tree={self.folder}", *arguments]
        try:
            out = Git(str(self.folder)).execute(
                command,
                env=_ENVIRONMENT,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=_SECONDS,
            )
        except GitCommandError as error:
            raise StoreBroken(f"git {arguments[0]}: {git_said(error)}") from error
        return os.fsdecode(out)


def _is_attributes(path: str) -> bool:
    return path.rpartition("/")[2] == ".gitattributes"


def _names_lfs(attributes: Path) -> bool:
    try:
        return b"filter=lfs" in attributes.read_bytes()
    except OSError:
        return False


def _listed_in(file: Path) -> Set[str]:
    """Paths that a file has, each followed by a NUL."""
    try:
        text = file.read_text("utf-8", _ERRORS)
    except FileNotFoundError:
        return frozenset()
    return frozenset(filter(None, text.split("\0")))


def git_said(error: GitCommandError) -> str:
    """Git's own error message, without GitPython's wrapping."""
    lines = error.stderr.strip().removeprefix("stderr: '").removesuffix("'").splitlines()
    said = [line.strip(" .") for line in lines if not line.startswith("hint:")]
    return "; ".join(filter(None, said))[:1000]


def _uses_sha256(objects: Path) -> bool:
    found = Git(str(objects)).execute(
        ["git", f"--git-dir={objects.parent}", "rev-parse", "--show-object-format"],
        env=_ENVIRONMENT,
    )
    return found == "sha256"
