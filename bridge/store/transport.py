"""``git fetch`` and ``git push`` for one branch of one remote, with nobody there to ask."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from git import Git

from bridge.store.disk import Disk
from bridge.store.git_config import read_settings
from bridge.store.opening import Place

_SECONDS = 300.0
_GRACE = 0.5  # for git to put away what it has begun
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_MOVED = re.compile(r"\((stale info|fetch first|non-fast-forward)\)")
_HINTS = ("hint:", "To ", "Done", "remote: Resolving deltas", "error: failed to push some refs")

# What is fetched stays a pack, and is synced: our commits will rest on it.
_FETCH = ("-c", "core.fsync=all", "-c", "fetch.unpackLimit=1", "-c", "transfer.unpackLimit=1")

# Asked by git as `askpass "Password for 'https://you@example.com': "`. The token is in the
# environment of this one process, and given to no other host than the remote's.
_ASKPASS = """\
#!/bin/sh
case "$1" in
Username*"://$BRIDGE_GIT_HOST'"*) printf '%s\\n' "$BRIDGE_GIT_USER" ;;
Password*"@$BRIDGE_GIT_HOST'"*) printf '%s\\n' "$BRIDGE_GIT_TOKEN" ;;
*) exit 1 ;;
esac
"""


class TransportError(Exception):
    """The remote could not be reached, or would not have it. The text is fit to be shown."""


class RemoteHasMoved(TransportError):
    """The remote has commits that the push did not know of."""


class Transport:
    """The way to the branch of the same name in a remote. Its methods block."""

    def __init__(self, place: Place, name: str, token: str, state: Path, disk: Disk) -> None:
        """``token`` is what an https remote wants as a password, perhaps as ``user:token``."""
        self._place = place
        self._name = name
        self._user, _, self._token = token.rpartition(":")
        self._askpass = state / "askpass"
        self._disk = disk
        self._git: Git = place.repo.git
        self._running: Any = None  # GitPython's process, which it does not annotate
        self._stopped = threading.Event()
        self.is_empty = False  # known to have no such branch
        self.tracking = f"refs/remotes/{name}/{place.branch.name}"
        self.agreed = f"refs/micropub-bridge/{name}/{place.branch.name}"

    def url(self) -> str:
        """Where the remote is, by git's own settings; ``""`` where there is none of that name."""
        settings = read_settings(
            self._place.repo, rf"^remote\.{re.escape(self._name)}\.(push)?url$"
        )
        return settings.get(f"remote.{self._name}.pushurl") or settings.get(
            f"remote.{self._name}.url", ""
        )

    def fetch(self) -> None:
        """Bring the remote's commits here. Raises :class:`TransportError`."""
        ref = self._place.branch.ref
        try:
            self._run(
                *_FETCH, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-"
                "fetch-head", "--no-auto-maintenance", "--", self._name, f"+{ref}:{self.tracking}",
            )  # fmt: skip
        except TransportError as error:
            # A remote that is empty, or has no such branch yet, lacks everything: no failure.
            if "couldn't find remote ref" not in str(error):
                raise
            self._run("update-ref", "-d", self.tracking)
            self.is_empty = True

    def push(self, commit: bytes, seen: str | None) -> None:
        """Give the branch to the remote, up to a commit that follows ``seen``.

        Raises :class:`RemoteHasMoved` where it is no longer at ``seen`` (``None``: not there), and
        :class:`TransportError`.
        """
        ref = self._place.branch.ref
        # Never forced: since the commit follows what was seen, this option, its name aside, only
        # ever refuses more. Without it we would push back what the owner has just taken back.
        lease = f"--force-with-lease={ref}:{seen or ''}"
        try:
            self._run(
                "-c", f"remote.{self._name}.mirror=false", "push", "--quiet", "--porcelain",
                "--no-follow-tags", "--no-recurse-submodules", lease, "--", self._name,
                f"{commit.hex()}:{ref}",
            )  # fmt: skip
        except TransportError as error:
            if _MOVED.search(str(error)):
                raise RemoteHasMoved(str(error)) from error
            raise
        self._run("update-ref", self.tracking, commit.hex())

    def try_push(self) -> None:
        """See whether a push would be let in; nothing is pushed. Raises :class:`TransportError`.

        Tried with a branch of its own name, since a remote that has moved on is no defect.
        """
        trial = f"{self._place.branch.ref}:refs/heads/micropub-bridge-check"
        self._run("push", "--dry-run", "--quiet", "--porcelain", "--", self._name, trial)

    def agree(self, commit: str | None) -> None:
        """Remember what both sides have had."""
        if commit is not None:
            self._run("update-ref", self.agreed, commit)

    def stop(self) -> None:
        """Break off what is running, and begin nothing more."""
        self._stopped.set()
        process = self._running
        if process is not None:
            _end(process)

    def _run(self, *arguments: str) -> str:
        if self._stopped.is_set():
            raise TransportError("the bridge is shutting down")
        command = ["git", f"--git-dir={self._place.repo.git_dir}", *arguments]
        # A group of its own: what git starts (ssh) must not outlive it, and keep its pipes open.
        process = self._git.execute(
            command, as_process=True, env=self._environment(), start_new_session=True
        )
        self._running = process
        if self._stopped.is_set():
            _end(process)
        try:
            out, err = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise TransportError(f"the remote did not answer in {_SECONDS:.0f} seconds") from error
        finally:
            self._running = None
        if process.returncode != 0:
            raise TransportError(self._presentable(out + err))
        return os.fsdecode(out)

    def _environment(self) -> Mapping[str, str]:
        settings = read_settings(self._place.repo, r"^core\.sshcommand$")
        ssh = os.environ.get("GIT_SSH_COMMAND") or settings.get("core.sshcommand", "ssh")
        environment = {"GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes"}
        url = urlsplit(self.url()) if self._token else None
        # A token goes over a secure way, or nowhere; on this machine every way is.
        if url and (url.scheme == "https" or url.hostname in {"127.0.0.1", "localhost", "::1"}):
            if not self._askpass.exists():
                self._disk.write(self._askpass, _ASKPASS.encode(), 0o700)
            environment |= {
                "GIT_ASKPASS": str(self._askpass),
                "BRIDGE_GIT_HOST": url.netloc.rpartition("@")[2],
                "BRIDGE_GIT_USER": self._user or "git",
                "BRIDGE_GIT_TOKEN": self._token,
                # No helper of the owner's gets to see, or to keep, the token.
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "credential.helper",
                "GIT_CONFIG_VALUE_0": "",
            }
        return environment

    def _presentable(self, output: bytes) -> str:
        """What git said, without hints to a person at a terminal, and without secrets."""
        lines = (line.strip() for line in output.decode("utf-8", "replace").splitlines())
        text = "; ".join(line for line in lines if line and not line.startswith(_HINTS))
        if self._token:
            text = text.replace(self._token, "…")
        return _CREDENTIALS.sub("…@", text)[:1000] or "git failed and gave no reason"


def _end(process: Any) -> None:
    """End a git process with all that it has started: asked to at first, then by force."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.proc.wait(_GRACE)
            if kind == signal.SIGTERM:
                continue
            return
