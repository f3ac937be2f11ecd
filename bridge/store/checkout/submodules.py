"""Fetches and caches the repos of submodules.

A contributor chooses the URLs in ``.gitmodules``. So the credentials of the site's remote go to
that remote's own host in its own scheme, and nowhere else; every other host is contacted over https
without any, and only if all its addresses are public. A path is fetched from where the site's
remote is a path itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from git import GitCommandError
from msgspec import Struct

from bridge.net.address_guard import may_connect
from bridge.runtime.threads import start
from bridge.settings import Settings
from bridge.store import StoreBroken
from bridge.store.checkout.checkout import SubmoduleMissing, Submodules
from bridge.store.checkout.git_dir import git_error
from bridge.store.git import GitStore
from bridge.store.repo import BoundedGit
from bridge.store.sync.transport import Transport

#: Seconds after which a failed download is tried again.
_PAUSE = 600.0

_SCP = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[\w.-]+):(?P<path>(?!:|//)[^\s]+)")
_NAME = re.compile(r"(?!.*(?:^|[/\\])\.\.(?:$|[/\\]))[^\0\n]+")
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # The configuration of a repo on this machine may name programs to run for missing objects.
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
#: No credential helper, no ~/.netrc, no configuration of the owner's that rewrites URLs.
_ANONYMOUS = {
    **_QUIET,
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ASKPASS": "false",
}
_LOOKUP_SECONDS = 5.0


class GitUrl(Struct, frozen=True):
    """A git URL, parsed. ``scheme`` is ``https``, ``http``, ``ssh`` or ``file``."""

    scheme: str
    host: str  # with its port, if any; "" for a path
    path: str
    user: str = ""

    @classmethod
    def parse(cls, url: str) -> GitUrl | None:
        """``None`` for what no submodule is fetched from: ``git://``, ``ext::``, options."""
        if url.startswith("/"):
            return cls("file", "", url)
        if "://" in url:
            parts = urlsplit(url)
            if parts.scheme == "file":
                return cls("file", "", parts.path)
            if parts.scheme not in {"https", "http", "ssh"} or not parts.hostname:
                return None
            user, _, host = parts.netloc.rpartition("@")
            if host.startswith("-") or user.startswith("-"):
                return None
            return cls(parts.scheme, host.lower(), parts.path.lstrip("/"), user.partition(":")[0])
        match = _SCP.fullmatch(url)
        if match is None or match["host"].startswith("-"):
            return None
        return cls("ssh", match["host"].lower(), match["path"].lstrip("/"), match["user"] or "")

    @property
    def url(self) -> str:
        """The address for git, without a password."""
        if self.scheme == "file":
            return self.path
        user = f"{self.user}@" if self.user and self.scheme == "ssh" else ""
        return f"{self.scheme}://{user}{self.host}/{self.path}"

    @property
    def name(self) -> str:
        """The host without its port."""
        return urlsplit(f"//{self.host}").hostname or ""


class SiteRemote(Struct, frozen=True):
    """The remote of the site's repo: its URL, and the environment in which git may use it."""

    url: str
    environment: Mapping[str, str]


class _Try(Struct, frozen=True):
    """One way to a repo: a URL, the environment, and whether a stranger has chosen the host."""

    url: str
    environment: Mapping[str, str]
    guarded: bool = False


class SubmoduleCache:
    """Submodules of a site, whose repos are kept below ``folder``.

    ``remote`` tells of the site's remote, ``may_connect`` whether an IP address is a public one.
    ``never`` is a folder from which nothing is fetched: the site's code writes to parts of it.
    """

    def __init__(
        self,
        folder: Path,
        remote: Callable[[], SiteRemote],
        may_connect: Callable[[str], bool],
        *,
        never: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._remote = remote
        self._may_connect = may_connect
        self._never = never
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        """The objects of a submodule of the site's own repo."""
        remote = self._remote().url
        address = GitUrl.parse(remote)
        if address is None or address.scheme != "file":
            return _Level(self, remote, None).find(name, url, commit)
        # The owner's clone is where its submodules are, too, and where it came from is what
        # relative URLs are relative to.
        clone = Path(address.path)
        git_dir = _git_dir(clone)
        return _Level(self, _origin(git_dir) or remote, git_dir).find(name, url, commit)

    def fetch(self, url: str, commit: str, beside: Path | None) -> Path:
        """The objects of the repo at ``url``, with a commit; raises :class:`SubmoduleMissing`.

        ``beside`` is a repo on this machine that may have it already.
        """
        with self._lock:
            return self._kept(url, commit, beside)

    def _kept(self, url: str, commit: str, beside: Path | None) -> Path:
        repo = self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"
        if (repo / _mark(commit)).exists():
            return repo / "objects"
        failed, text = self._failed.get((url, commit), (0.0, ""))
        if text and self._clock() - failed < _PAUSE:
            raise SubmoduleMissing(text)
        if not (repo / "HEAD").exists():
            _make_repo(repo, "sha256" if len(commit) == 64 else "sha1")
        reasons = [] if _has(repo, commit) else self._fetched(repo, url, commit, beside)
        if reasons:
            address = GitUrl.parse(url)
            shown = address.url if address else url.rpartition("@")[2]
            # Whoever may commit chooses the URL, and the owner's shell runs the line.
            by_hand = shlex.join(["git", f"--git-dir={repo}", "fetch", "--", shown, commit])
            text = f"{shown}: {'; '.join(reasons)}. To fetch it by hand: {by_hand}"
            self._failed[url, commit] = self._clock(), text
            raise SubmoduleMissing(text)
        _git(repo, _QUIET, "update-ref", _mark(commit), commit)
        return repo / "objects"

    def _fetched(self, repo: Path, url: str, commit: str, beside: Path | None) -> list[str]:
        """Try each way; returns an empty list if one succeeded, else why each failed."""
        reasons = []
        for way in self._ways(url, beside):
            try:
                self._fetch_by(way, repo, commit)
            except SubmoduleMissing as error:
                reasons.append(str(error))
            else:
                return []
        return reasons or ["no URL that a submodule is fetched from"]

    def _ways(self, url: str, beside: Path | None) -> Iterator[_Try]:
        remote = self._remote()
        site, target = GitUrl.parse(remote.url), GitUrl.parse(url)
        if beside is not None and (beside / "objects").is_dir():
            yield _Try(str(beside), _QUIET)
        if target is None:
            return
        if target.scheme == "file":
            never = self._never and self._never.resolve()
            refused = never and Path(target.path).resolve().is_relative_to(never)
            if site is not None and site.scheme == "file" and not refused:
                yield _Try(target.url, _QUIET)
            return
        own_host = site is not None and site.name == target.name
        if site is not None and own_host:
            own = GitUrl(site.scheme, site.host, target.path, site.user)
            yield _Try(own.url, {**_QUIET, **remote.environment})
        if target.scheme != "http":
            host = target.host if target.scheme == "https" else target.name
            yield _Try(GitUrl("https", host, target.path).url, _ANONYMOUS, guarded=not own_host)

    def _fetch_by(self, way: _Try, repo: Path, commit: str) -> None:
        scheme = GitUrl.parse(way.url)
        environment = {**way.environment, "GIT_ALLOW_PROTOCOL": scheme.scheme if scheme else ""}
        settings = ["core.fsync=all", "http.lowSpeedLimit=1000", "http.lowSpeedTime=30"]
        if way.guarded:
            settings += self._pinned(way.url)
        options = [part for setting in settings for part in ("-c", setting)]
        fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules",
                 "--no-auto-maintenance", "--no-write-fetch-head", "--", way.url)  # fmt: skip
        try:
            _git(repo, environment, *options, *fetch, commit)
        except SubmoduleMissing:
            # A server may only give what its branches and tags point to.
            refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            _git(repo, environment, *options, *fetch, *refs)
            if not _has(repo, commit):
                raise SubmoduleMissing(f"{way.url} has no commit {commit}") from None

    def _pinned(self, url: str) -> Sequence[str]:
        """Settings that make git connect to the addresses that have just been checked."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        try:
            addresses = look_up(host, port)
        except OSError as error:
            raise SubmoduleMissing(f"{host} cannot be found") from error
        if port != 443 or not all(map(self._may_connect, addresses)):
            raise SubmoduleMissing(f"{host} is not a public server")
        shown = ",".join(f"[{each}]" if ":" in each else each for each in addresses)
        return (f"http.curloptResolve={host}:{port}:{shown}", "http.followRedirects=false")


def submodules_of(store: GitStore, settings: Settings) -> SubmoduleCache:
    """Those of the site's repo, fetched like its remote; stored in the state folder."""
    state, publish = settings.site.state, settings.publish
    transport = Transport(store.bare_repo, publish.remote, publish.token, state, store.disk)
    return SubmoduleCache(
        state / "submodules",
        lambda: SiteRemote(transport.url(), transport.environment()),
        may_connect,
        never=state,
    )


class _Level(Struct, frozen=True):
    """The submodules of one repo: ``base`` is its URL, ``beside`` its git folder if it is here."""

    cache: SubmoduleCache
    base: str
    beside: Path | None

    def find(self, name: str, url: str, commit: str) -> tuple[Path, Submodules]:
        if not _NAME.fullmatch(name):
            raise SubmoduleMissing(f"{name!r} is not a name for a submodule")
        beside = self.beside / "modules" / name if self.beside else None
        full = resolve(url, self.base)
        return self.cache.fetch(full, commit, beside), _Level(self.cache, full, beside)


def resolve(url: str, base: str) -> str:
    """A submodule's URL, which may be relative to that of the repo (gitmodules(5))."""
    if not url.startswith(("./", "../")):
        return url
    base = base.rstrip("/")
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            head, separator, _ = base.rpartition("/")
            # In "host:path", the path is resolved like any other.
            base = head if separator else base.rpartition(":")[0] + ":"
        url = url.partition("/")[2].lstrip("/")
    return f"{base}{url}" if base.endswith(":") else f"{base}/{url}"


def _git_dir(clone: Path) -> Path:
    """Where git keeps what it has of a clone: a submodule or a further working tree names it in a
    file; a bare repo is it."""
    link = clone / ".git"
    if link.is_file():
        return clone / link.read_text("utf-8").partition("gitdir:")[2].strip()
    return link if link.is_dir() else clone


def _origin(git_dir: Path) -> str:
    try:
        return _git(git_dir, _QUIET, "config", "--get", "remote.origin.url").strip()
    except SubmoduleMissing:
        return ""


def _mark(commit: str) -> str:
    """A ref that marks a complete fetch."""
    return f"refs/micropub-bridge/{commit}"


def _make_repo(repo: Path, kind: str) -> None:
    """Make an empty repo; another process (``check`` beside the bridge) may make the same one."""
    init = ("init", "--quiet", "--bare", "--template=", f"--object-format={kind}")
    repo.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=repo.parent) as folder:
        made = Path(folder, repo.name)
        _git(made, _QUIET, *init)
        try:
            made.rename(repo)
        except OSError:
            if not (repo / "HEAD").exists():
                _git(repo, _QUIET, *init)  # an earlier version was killed while it made this one


def _has(repo: Path, commit: str) -> bool:
    try:
        _git(repo, _QUIET, "cat-file", "-e", f"{commit}^{{commit}}")
    except SubmoduleMissing:
        return False
    return True


def _git(repo: Path, environment: Mapping[str, str], *arguments: str) -> str:
    repo.mkdir(parents=True, exist_ok=True)
    try:
        out = BoundedGit(str(repo)).execute(
            ["git", *arguments],
            env=environment,
            stdout_as_string=False,
        )
    except GitCommandError as error:
        raise SubmoduleMissing(git_error(error)) from error
    except StoreBroken as error:
        raise SubmoduleMissing(str(error)) from error
    return os.fsdecode(out)


def look_up(
    host: str,
    port: int,
    *,
    seconds: float = _LOOKUP_SECONDS,
    getaddrinfo: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
) -> list[str]:
    """The IP addresses of a host, looked up in a thread, without aiohttp.

    Raises OSError where it has none, and after ``seconds``: the end of the bridge waits for the
    thread that calls this, and the system's own limits are longer.
    """
    found, reason = set[str](), ["no answer came in time"]

    def work() -> None:
        try:
            answers = getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.update(str(address[0]) for *_, address in answers)
        except (OSError, UnicodeError) as error:
            reason[0] = str(error)

    thread = threading.Thread(target=work, daemon=True)
    start(thread)
    thread.join(seconds)
    if thread.is_alive() or not found:
        raise OSError(reason[0])
    return sorted(found)
