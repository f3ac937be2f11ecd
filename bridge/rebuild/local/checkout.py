"""The builder's checkout: which posts it leaves out, and when scheduled ones are due."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import msgspec

from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.scheduled import HEADER_LIMIT
from bridge.runtime import beneath
from bridge.store import Version
from bridge.store.checkout import Checkout, Submodules
from bridge.store.git import GitStore
from bridge.store.lfs_pointers import LargeFiles

#: From a post's path and bytes, the time until which the plugin holds it back, if it does.
Due: TypeAlias = Callable[[str, bytes], datetime | None]


class _State(msgspec.Struct, frozen=True):
    """The version on disk, its scheduled posts with their times, and the posts left out."""

    version: str = ""
    waiting: dict[str, datetime] = {}
    left_out: frozenset[str] = frozenset()


def _at_once(path: str, data: bytes) -> datetime | None:
    del path, data
    return None


class BuilderCheckout:
    """The files of one version below ``folder``, as git lays them out. ``due`` says when a post has
    to be built again.
    """

    def __init__(
        self,
        store: GitStore,
        folder: Path,
        *,
        submodules: Submodules | None = None,
        may_read: Callable[[Path], bool] = lambda _: False,
        keep: Iterable[str] = (),
        large_files: LargeFiles | None = None,
        due: Due = _at_once,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        git_dir: Path | None = None,
    ) -> None:
        """The other parameters are those of :class:`bridge.store.checkout.Checkout`."""
        self.folder = folder
        self._files = Checkout(
            store.bare_repo.common / "objects",
            folder,
            submodules=submodules,
            may_read=may_read,
            keep=tuple(keep),
            large_files=large_files,
            git_dir=git_dir,
        )
        self._due_at = due
        self._clock = clock
        self._note = folder.with_name(folder.name + ".json")
        self._state = self._load()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a clone has and this checkout lacks: submodules, links that lead outside."""
        return self._files.warnings

    @property
    def lacks(self) -> bool:
        """Whether a clone would have submodules or links that this checkout does not."""
        return self._files.lacks

    @property
    def next_due(self) -> datetime | None:
        """When :meth:`bring_to` has something to do without a new version."""
        return min(self._state.waiting.values(), default=None)

    def bring_to(
        self,
        version: Version,
        *,
        left_out: Iterable[str] = (),
        take_away: bool = False,
        is_exact: Callable[[Collection[str]], bool] = lambda _: True,
    ) -> tuple[str, ...]:
        """Check out a version.

        ``left_out`` are files that the site is built without; only with ``take_away`` are they
        removed from disk. ``is_exact`` says, for the paths that change, whether files that builds
        have left behind are removed, too. Returns the paths that have changed, are left out now or
        no longer, or are due. Raises what the store raises, and ``OSError``; then the next call
        completes the work.
        """
        before, now, out = self._state, self._clock(), frozenset(left_out)
        known = before.version and before.version == self._files.version
        changed = set(self._files.changes(version))
        there = {path for path in changed | out if self._exists(path)}
        self._save(_State())
        self._files.bring_to(version, exact=not known or is_exact(changed))
        if not known:
            # Nothing is known of what is on disk: check when each file is due.
            before = _State()
            changed.update(self._files.paths())
        # Also of those that wait: it may depend on the site's time zone, which is only known later.
        waiting = {
            path: due
            for path in changed | before.waiting.keys()
            if (due := self._due(path)) is not None and due > now
        }
        self._files.leave_out(out if take_away else ())
        self._save(_State(version, waiting, out))
        came = before.waiting.keys() - waiting.keys()
        other = changed | came | (out ^ before.left_out)
        return tuple(path for path in other if path in there or self._exists(path))

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.folder / path)

    def _due(self, path: str) -> datetime | None:
        try:
            return self._due_at(path, beneath.read(self.folder, path, HEADER_LIMIT))
        except OSError:
            return None

    def _load(self) -> _State:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_State)
        except (OSError, msgspec.DecodeError):
            return _State()

    def _save(self, state: _State) -> None:
        Tree(self._note.parent).write(self._note.name, msgspec.json.encode(state))
        self._state = state
