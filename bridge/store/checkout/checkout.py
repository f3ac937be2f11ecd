"""Checks out the site's files, as ``git clone --recurse-submodules`` would.

git itself writes them: modes, symbolic links, line ends and filters are as in any clone, and a
tree with a name that git refuses (``.git``, ``..``) never gets here. The checkout has a ``.git``
of its own (:mod:`bridge.store.checkout.git_dir`), in which ``git log`` works.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from bridge.runtime.confinement import Grants, Outside, run_confined
from bridge.store import StoreBroken, Version
from bridge.store.checkout.git_dir import ATTRIBUTES, CheckoutRepo, TrackedFile
from bridge.store.checkout.lfs_pointers import LargeFiles, NoLargeFiles, Pointers

_T = TypeVar("_T")

_LINK, _MODULE = "120000", "160000"


class SubmoduleMissing(Exception):
    """The files of a submodule are not available, for the reason in the text."""


class Submodules(Protocol):
    """Where a checkout gets the objects of its submodules."""

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        """The folder of objects that has a commit, and where *its* submodules come from.

        ``name`` and ``url`` are as ``.gitmodules`` has them, ``url`` perhaps relative. Blocks;
        raises :class:`SubmoduleMissing`.
        """
        ...


class NoSubmodules:
    """For a repo whose submodules are not checked out."""

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        """Refuse."""
        raise SubmoduleMissing(f"{name} was not fetched")


class Checkout:
    """The files of one version below ``folder``.

    ``objects`` is the folder of objects to borrow. A symbolic link may lead to a file inside of
    ``root`` (by default ``folder``), or where ``may_read`` allows it; others are removed, since a
    build would publish what they name. Methods block, and are not for two threads at once.
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
        within: Checkout | None = None,
    ) -> None:
        """``keep``: patterns of files that builds leave behind and that stay, as caches do.
        ``git_dir`` is the folder for what git keeps, which the site's code may not write to.
        ``within`` is the checkout whose submodule this is."""
        self.folder = folder
        own = (git_dir or folder.with_name(f"{folder.name}.git")).absolute()
        self._repo = CheckoutRepo(objects, folder, own)
        self._within = within
        self._outside: Outside = lambda function: function()
        self._pointers = Pointers(self._repo, _FoundOutside(self, large_files or NoLargeFiles()))
        self._submodules = submodules or NoSubmodules()
        self._may_read = may_read
        self._keep = keep
        self._root = root or folder
        #: Exists while the folder is between two versions.
        self._moving = own / "bridge-moving"
        self._compared: tuple[Version, Version, list[TrackedFile]] | None = None
        self._known = False  # whether the next two tell of what is on disk
        self._modules: dict[str, str] = {}  # path to commit
        self._links: set[str] = set()
        self._attributes: set[str] = set()  # every .gitattributes
        self._below: dict[str, Checkout] = {}
        self._left_out: frozenset[str] = frozenset()
        self._warnings: dict[str, str] = {}

    @property
    def version(self) -> Version | None:
        """The version that is completely checked out; ``None`` if that is not known."""
        try:
            head = self._repo.git_dir.joinpath("HEAD").read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if self._moving.exists() or head.startswith("ref:") or not self._repo.is_linked:
            return None
        return Version(head)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What this checkout lacks and a clone would have, each with its path and the reason."""
        below = (
            f"{path}/{each}" for path, checkout in self._below.items() for each in checkout.warnings
        )
        return (*(f"{path}: {text}" for path, text in self._warnings.items()), *below)

    @property
    def lacks(self) -> bool:
        """Whether a clone would have submodules or links that this checkout does not."""
        below = any(checkout.lacks for checkout in self._below.values())
        return below or any(path != ATTRIBUTES for path in self._warnings)

    def changes(self, version: Version) -> tuple[str, ...]:
        """The paths that differ between the disk and a version; all of them, where the disk is in
        an unknown state. A submodule is one path. Raises StoreBroken.
        """
        self._repo.prepare()
        if before := self.version:
            try:
                return tuple(path for path, _, _ in self._differences(before, version))
            except StoreBroken:
                # Damaged, or the repo was recreated and does not know what is on disk.
                self._repo.start_over()
        return tuple(path for path, _, _ in self._repo.files(version))

    def bring_to(self, version: Version, *, exact: bool = True) -> None:
        """Check out a version.

        ``exact``: also remove whatever builds have left there. Otherwise only what differs between
        the versions, or was changed by builds, is written, which takes a fraction of the time.
        Raises StoreBroken, OSError.
        """
        self._repo.prepare()
        before = None if exact or not self._known else self.version
        try:
            self._confined(lambda: self._move(before, version))
        except StoreBroken:
            if before is None:
                self._repo.start_over()
            self._confined(lambda: self._move(None, version))

    def outside(self, function: Callable[[], _T]) -> _T:
        """Run something that is not confined to the checkout, while the checkout is being
        updated."""
        if self._within is not None:
            return self._within.outside(function)
        found: _T = self._outside(function)
        return found

    def _confined(self, function: Callable[[], None]) -> None:
        """Write to the checkout's own folders only, whatever links the site's code puts there."""
        if self._within is not None:
            function()
            return
        places = (self.folder.resolve(), self._repo.git_dir.resolve(), os.devnull)

        def run(outside: Outside) -> None:
            self._outside = outside
            function()

        run_confined(Grants(("/",), tuple(map(str, places))), run)

    def paths(self) -> tuple[str, ...]:
        """Every path of the version on disk."""
        return tuple(self._repo.tracked())

    def leave_out(self, paths: Iterable[str]) -> None:
        """Remove files of the version from disk, and restore those left out before."""
        self._confined(lambda: self._leave_out(frozenset(paths)))

    def _leave_out(self, paths: frozenset[str]) -> None:
        self._repo.restore(self._left_out - paths)
        for path in paths:
            place = self.folder / path
            if place.is_symlink() or place.is_file():
                place.unlink()
        self._left_out = paths
        self._hide()

    def _move(self, before: Version | None, version: Version) -> None:
        # Only a git process that was killed leaves its lock behind: no other one runs here.
        self._repo.git_dir.joinpath("index.lock").unlink(missing_ok=True)
        self._known = False
        self._moving.touch()
        self._repo.expect(self._repo.hidden)
        if before is None:
            self._reset(version)
        else:
            self._undo()
            if before != version:
                self._step(before, version)
        # Not a branch: HEAD names the version itself, which is how a version is known to be here.
        self._repo.git_dir.joinpath("HEAD").write_text(f"{version}\n", "ascii")
        self._repo.copy_tags()
        self._warnings = {}
        self._check_links()
        self._fill_submodules(version, exact=before is None)
        if warning := self._pointers.fill(version, self._attributes):
            self._warnings[ATTRIBUTES] = warning  # it names the large files
        self._hide()
        self._moving.unlink()
        self._known = True

    @property
    def modules(self) -> Mapping[str, str]:
        """The folders of submodules, each with its commit."""
        return self._modules

    def _hide(self) -> None:
        """Make ``git status`` ignore files that are left out."""
        links = {path for path in self._links if not (self.folder / path).is_symlink()}
        self._repo.hide([p for p in self._left_out | links if not (self.folder / p).exists()])

    def _reset(self, version: Version) -> None:
        self._left_out = frozenset()
        special = list(self._repo.special(version))
        self._modules = {path: oid for path, mode, oid in special if mode == _MODULE}
        self._links = {path for path, mode, _ in special if mode == _LINK}
        self._attributes = {path for path, _, _ in special if _is_attributes(path)}
        is_new = all(each.name == ".git" for each in self.folder.iterdir())
        for folder in self._repo.repos_inside():
            if folder not in self._modules:
                shutil.rmtree(self.folder / folder)
        self._pointers.empty()
        self._repo.git("reset", "--quiet", "--hard", version)
        if not is_new:
            keep = (f"--exclude={each}" for each in self._keep)
            self._repo.git("clean", "--quiet", "-ffdx", *keep)

    def _undo(self) -> None:
        """Restore what the site's code has changed or removed of the version's files."""
        self._repo.restore([path for path in self._repo.modified() if path not in self._modules])
        for below in self._below.values():
            below._undo()

    def _step(self, before: Version, version: Version) -> None:
        """What ``git checkout`` does: files that differ between the two are written."""
        differences = self._differences(before, version)
        self._compared = None
        self._pointers.empty([path for path, _, _ in differences])
        for path, mode, oid in differences:
            if self._modules.pop(path, None) and mode != _MODULE:
                # git leaves the files of a submodule behind, where other files are to be written.
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
        self._repo.git("read-tree", "-u", "-m", before, version)

    def _differences(self, before: Version, version: Version) -> list[TrackedFile]:
        """What differs between two versions; cached, since :meth:`bring_to` follows
        :meth:`changes`."""
        known = self._compared
        if known is None or known[:2] != (before, version):
            known = (before, version, list(self._repo.differences(before, version)))
            self._compared = known
        return known[2]

    def _check_links(self) -> None:
        self._repo.restore([path for path in self._links if not (self.folder / path).is_symlink()])
        # Judged together, since a link may lead through another.
        for path in [path for path in self._links if not self._is_allowed(self.folder / path)]:
            link = self.folder / path
            self._warnings[path] = (
                f"a symbolic link that leads outside of the repo, to {link.readlink()}"
            )
            link.unlink()

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
                find = partial(self._submodules.find, name, url, commit)
                objects, submodules = self.outside(find)
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
                git_dir=self._repo.git_dir / "modules" / quote(path, safe=""),
                within=self,
            )
            self._below[path].bring_to(Version(commit), exact=exact)

    def _described(self, version: Version) -> Mapping[str, tuple[str, str]]:
        """Name and URL of each submodule, by its path."""
        try:
            listed = self._repo.git("config", "--null", f"--blob={version}:.gitmodules", "--list")
        except StoreBroken:
            # There is none, or git cannot read it: a clone would still have the other files.
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


class _FoundOutside:
    """Large files, which may have to be fetched into folders outside of the checkout."""

    def __init__(self, checkout: Checkout, large_files: LargeFiles) -> None:
        self._checkout = checkout
        self._large_files = large_files

    def find(self, version: str, digests: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """See :class:`LargeFiles`."""
        return self._checkout.outside(partial(self._large_files.find, version, digests))


def _is_attributes(path: str) -> bool:
    return path.rpartition("/")[2] == ATTRIBUTES
