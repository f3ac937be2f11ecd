"""Files that git-lfs stores outside of git, fetched from the remote so that builds can use them."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from git import GitCommandError

from bridge.settings import Settings
from bridge.store import StoreBroken
from bridge.store.checkout.git_dir import git_error
from bridge.store.checkout.submodules import GitUrl, SiteRemote
from bridge.store.git import GitStore
from bridge.store.repo import BoundedGit
from bridge.store.sync.transport import Transport

#: Seconds after which a failed download is tried again.
_PAUSE = 600.0
#: The prefix of temporary folders for copies in progress, and the age in seconds at which such a
#: copy was abandoned.
_COPYING, _ABANDONED = "new-", 24 * 3600.0
_HASH = re.compile(r"[0-9a-f]{64}")
_WITHOUT = "commit them without git-lfs"


class LargeFileCache:
    """The large files of a site, which are kept below ``folder`` as git-lfs keeps them.

    ``repo`` is the bridge's bare repo, ``remote`` tells of its remote. If that is a folder on this
    machine, its files are copied; a server is asked by git-lfs itself.
    """

    def __init__(
        self,
        folder: Path,
        repo: Path,
        remote: Callable[[], SiteRemote],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._repo = repo
        self._remote = remote
        self._clock = clock
        self._failed: dict[frozenset[str], tuple[float, str]] = {}
        self._remove_half_copies()

    def find(self, version: str, digests: Collection[str]) -> tuple[Mapping[str, Path], str]:
        """The files of a version with these SHA-256 hashes, and why others are missing.

        Blocks for as long as it takes to fetch what is not here yet.
        """
        missing = frozenset(each for each in digests if not self._place(each).is_file())
        reason = self._fetch_once(version, missing) if missing else ""
        found = {each: self._place(each) for each in digests if self._place(each).is_file()}
        return found, reason

    def _place(self, sha256: str) -> Path:
        return _place(self._folder, sha256)

    def _fetch_once(self, version: str, missing: frozenset[str]) -> str:
        failed, reason = self._failed.get(missing, (0.0, ""))
        if not reason or self._clock() - failed >= _PAUSE:
            reason = self._fetch(version, missing)
            self._failed = {missing: (self._clock(), reason)} if reason else {}
        return reason

    def _fetch(self, version: str, missing: Collection[str]) -> str:
        """Try to fetch these; returns why some are still missing, ``""`` if none is."""
        remote = self._remote()
        address = GitUrl.parse(remote.url)
        if address is None:
            return f"the repo has no remote to have them from; {_WITHOUT}"
        if address.scheme == "file":
            self._take_from(Path(address.path), missing)
            lacks = f"{address.path} does not have them: run `git lfs fetch` there, or {_WITHOUT}"
            return "" if all(self._place(each).is_file() for each in missing) else lacks
        if shutil.which("git-lfs") is None:
            return f"install git-lfs where the bridge runs (apt install git-lfs), or {_WITHOUT}"
        try:
            self._ask(remote, version)
        except GitCommandError as error:
            return f"git-lfs could not fetch them: {git_error(error)}"
        except StoreBroken as error:
            return f"git-lfs could not fetch them: {error}"
        lacks = f"{address.host} does not have them; {_WITHOUT}"
        return "" if all(self._place(each).is_file() for each in missing) else lacks

    def _take_from(self, clone: Path, missing: Collection[str]) -> None:
        git_dir = clone / ".git" if (clone / ".git").is_dir() else clone
        for each in missing:
            source, place = _place(git_dir / "lfs", each), self._place(each)
            if not source.is_file():
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            # Of its own: ``check`` beside the bridge may copy the same file.
            with tempfile.TemporaryDirectory(prefix=_COPYING, dir=self._folder) as folder:
                half = Path(shutil.copyfile(source, Path(folder, each)))
                with half.open("rb") as file:
                    whole = hashlib.file_digest(file, "sha256").hexdigest() == each
                if whole:
                    half.replace(place)

    def _remove_half_copies(self) -> None:
        """Remove what a killed process has left; newer ones may be in use."""
        for folder in self._folder.glob(f"{_COPYING}*"):
            with contextlib.suppress(FileNotFoundError):
                # One of the future is from before the clock was set back.
                if abs(time.time() - folder.stat().st_mtime) > _ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)

    def _ask(self, remote: SiteRemote, version: str) -> None:
        url = remote.url
        server = f"{url.removesuffix('/').removesuffix('.git')}.git/info/lfs"
        settings = {
            "lfs.storage": str(self._folder),
            # The URL in .lfsconfig is not used: anyone who can commit could choose the host.
            "lfs.url": server if url.startswith("http") else url,
            "lfs.locksverify": "false",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        BoundedGit(str(self._repo)).execute(
            ["git", f"--git-dir={self._repo}", *options, "lfs", "fetch", url, version],
            env={**remote.environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )


def large_files_of(store: GitStore, settings: Settings) -> LargeFileCache:
    """Those of the site's repo, fetched from its remote; stored in the state folder."""
    state, publish = settings.site.state, settings.publish
    transport = Transport(store.bare_repo, publish.remote, publish.token, state, store.disk)
    return LargeFileCache(
        state / "lfs",
        store.bare_repo.common,
        lambda: SiteRemote(transport.url(), transport.environment()),
    )


def _place(storage: Path, sha256: str) -> Path:
    """Where git-lfs stores a file."""
    if not _HASH.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no hash")
    return storage / "objects" / sha256[:2] / sha256[2:4] / sha256
