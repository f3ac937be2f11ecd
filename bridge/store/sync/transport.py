"""``git fetch`` and ``git push`` for one branch of one remote, without prompts."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import urlsplit

from git import Git, GitCommandError

from bridge.store import StoreBroken
from bridge.store.repo import BareRepo, communicate, kill, read_ref, read_settings, terminate
from bridge.store.sync.local_remote import LocalRemote, local_path
from bridge.store.transaction import Disk, remove_abandoned

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
# "waiting:" is the message of our hook in the owner's clone (push-to-checkout.sh).
_MOVED = re.compile(
    r"\((stale info|fetch first|non-fast-forward|failed to update ref)\)|waiting: moved"
    r"|cannot lock ref .* is at \w+ but expected"
)
# ``git gc --prune=now`` has removed the temporary file of a pack that is being written.
_PRUNED = "unable to rename temporary"
_BUSY = re.compile(rf"waiting: locked|Unable to create '.*\.lock'|cannot lock ref|{_PRUNED}")
# Failures of the moment, for which a retry may succeed; not so a full disk, missing permission, or
# a ref with the name of a folder.
_MET = re.compile(
    r"\.lock': File exists|cannot lock ref .* (is at \w+|is missing) but expected"
    rf"|reference already exists|{_PRUNED}"
)
_TRIES, _MOMENT = 10, 0.2  # a git command beside this one holds a lock for seconds at most
_LOCK = re.compile(r"waiting: locked ([^;]+\.lock)|Unable to create '(.*\.lock)'")
_CHANGED = "{what} in {root} has changes that are not committed. Commit them there, or undo them"
_UNTRACKED = "{what} is there, and git does not track it. Move it away, or delete it"
_UNWRITABLE = (
    "git could not write a file in {root}. Make space on its disk, and let the user that runs the"
    " bridge write to all of it"
)
#: Git's own messages where our hook is not installed.
_REFUSALS = {
    "Working directory has unstaged changes": (
        "{root} has changes that are not committed. Commit them there, or undo them: git status"
    ),
    "Working directory has staged changes": (
        "{root} has staged changes that are not committed. Commit them there: git commit"
    ),
    "Up-to-date check failed": "{root} has changes that are not committed. See there: git status",
    "Could not update working tree": (
        "files in {root} that git does not track are in the way. See there: git status"
    ),
    "push-to-checkout hook declined": (
        "the hook push-to-checkout in {root} does not allow it. See there: git status"
    ),
    "branch is currently checked out": (
        "{root} does not let its branch be moved. Run: git -C {root} config"
        " receive.denyCurrentBranch updateInstead"
    ),
}
_HINTS = ("hint:", "To ", "Done", "remote: Resolving deltas", "error: failed to push some refs")

#: What is not for people in the line of a push that is refused: ``!``, from, and to.
_PORCELAIN = re.compile(r"^!\t\S+\t")

# What is fetched stays in a pack and is synced, since our commits are based on it.
_SYNCED = ("core.fsync=all", "fetch.unpackLimit=1", "transfer.unpackLimit=1")
#: Harmless defects in the history of old repos, for which git would refuse them.
_OLD_FAULTS = (
    "zeroPaddedFilemode", "badTimezone", "badDate", "badDateOverflow", "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail", "missingEmail", "missingNameBeforeEmail", "badName", "badEmail",
    "badTagName", "missingTaggerEntry", "nulInCommit",
)  # fmt: skip
# Trees with names like ".git" or "..", which could never be checked out, are refused.
_CHECKED = ("fetch.fsckObjects=true", *(f"fetch.fsck.{fault}=ignore" for fault in _OLD_FAULTS))
_FETCH = tuple(part for each in (*_SYNCED, *_CHECKED) for part in ("-c", each))

# Asked by git as `askpass "Password for 'https://you@example.com': "`. The token is in the
# environment of this one process, and is only sent to the remote's host.
ASKPASS = """\
#!/bin/sh
case "$1" in
Username*"://$BRIDGE_GIT_HOST'"*) printf '%s\\n' "$BRIDGE_GIT_USER" ;;
Password*"@$BRIDGE_GIT_HOST'"*) printf '%s\\n' "$BRIDGE_GIT_TOKEN" ;;
*) exit 1 ;;
esac
"""


class TransportError(Exception):
    """The remote could not be reached, or refused. The text may be shown to the owner."""


class RemoteHasMoved(TransportError):
    """The remote has commits that the push did not know of."""


class RemoteWaits(TransportError):
    """A clone on this machine cannot be moved forward until its owner has done something: most
    often it has work of theirs that the push would overwrite.

    ``paths`` are the files concerned, as far as they are known.
    """

    def __init__(self, text: str, paths: Sequence[Path] = ()) -> None:
        super().__init__(text)
        self.paths = tuple(paths)


class RemoteIsBusy(TransportError):
    """Another git command is running there; a retry may succeed."""


class Transport:
    """Fetches from, and pushes to, the branch of the same name in a remote. Its methods block."""

    def __init__(self, bare_repo: BareRepo, name: str, token: str, state: Path, disk: Disk) -> None:
        """``token`` is the password for an https remote, or ``user:token``."""
        self._bare_repo = bare_repo
        self._name = name
        self._token = token
        self._askpass = state / "askpass"
        self._disk = disk
        self._git: Git = bare_repo.repo.git
        self._running: Any = None  # GitPython's process, which it does not annotate
        self._stopped = threading.Event()
        self.is_empty = False  # known to have no such branch
        #: The remote, if it is on this machine; known once :meth:`url` was asked for.
        self.local: LocalRemote | None = None
        self.tracking = f"refs/remotes/{name}/{bare_repo.branch.name}"
        self.agreed = f"refs/micropub-bridge/{name}/{bare_repo.branch.name}"

    def url(self) -> str:
        """The remote's URL in git's configuration; ``""`` if there is no remote of that name."""
        try:
            url = str(self._git.remote("get-url", "--push", "--", self._name))
        except GitCommandError:
            return ""
        path = local_path(url, self._bare_repo.common)
        if path is not None and self.local is None:
            self.local = LocalRemote(path, self._bare_repo.branch.name)
        return url

    def fetch(self) -> None:
        """Fetch the remote's commits. Raises :class:`TransportError`."""
        ref = self._bare_repo.branch.ref
        self._refuse_itself()
        if self.local:
            self.local.fetching()
        try:
            self._run_beside_others(
                # With the tags on what comes, as ``git pull`` has it: a site may show a version.
                *_FETCH, "fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head",
                "--no-auto-maintenance", "--", self._name, f"+{ref}:{self.tracking}",
            )  # fmt: skip
        except TransportError as error:
            # A remote that is empty, or has no such branch yet, lacks everything: that is no
            # failure.
            if "couldn't find remote ref" not in str(error):
                raise
            self._run_beside_others("update-ref", "-d", self.tracking, remote=False)
            self.is_empty = True

    def push(self, commit: bytes, seen: str | None) -> None:
        """Push the branch, up to a commit that descends from ``seen``.

        Raises :class:`RemoteHasMoved` where it is no longer at ``seen`` (``None``: not there),
        :class:`RemoteWaits`, :class:`RemoteIsBusy` and :class:`TransportError`.
        """
        self._refuse_itself()
        ref = self._bare_repo.branch.ref
        # Never forced: as the commit descends from what was seen, this option, despite its name,
        # only refuses more. Without it we would push again what the owner has just removed.
        lease = f"--force-with-lease={ref}:{seen or ''}"
        try:
            self._run(
                "-c", f"remote.{self._name}.mirror=false", "push", "--quiet", "--porcelain",
                "--no-follow-tags", "--no-recurse-submodules", lease, "--", self._name,
                f"{commit.hex()}:{ref}", seen=seen,
            )  # fmt: skip
        except TransportError as error:
            if _MOVED.search(str(error)):
                raise RemoteHasMoved(str(error)) from error
            if _BUSY.search(str(error)):
                raise self._busy(str(error)) from error
            raise (self._waits(str(error)) if self.local else None) or error from None
        if self.local:
            self.local.pushed(commit.hex())
        self._note({self.tracking: commit.hex(), self.agreed: commit.hex()})

    def try_push(self) -> None:
        """Find out whether a push would be accepted; nothing is pushed. Raises
        :class:`TransportError`.

        A branch name of its own is used, since a remote with new commits is not a defect.
        """
        trial = f"{self._bare_repo.branch.ref}:refs/heads/micropub-bridge-check"
        self._run("push", "--dry-run", "--quiet", "--porcelain", "--", self._name, trial)

    def main_branch(self) -> str:
        """The branch that the remote's ``HEAD`` names, ``""`` if none. Raises
        :class:`TransportError`.
        """
        listed = self._run("ls-remote", "--quiet", "--symref", "--", self._name, "HEAD")
        found = re.search(r"^ref: refs/heads/(.+)\tHEAD$", listed, re.MULTILINE)
        return found[1] if found else ""

    def agree(self, commit: str | None) -> None:
        """Remember what both sides have had."""
        if commit is not None:
            self._note({self.agreed: commit})

    def _note(self, refs: Mapping[str, str]) -> None:
        """Have refs of ours name these commits; git is only started if some do not yet."""
        common = self._bare_repo.common
        updates = [f"update {ref} {commit}\n" for ref, commit in refs.items()
                  if not _is_at(common, ref, commit)]  # fmt: skip
        if updates:
            self._run_beside_others("update-ref", "--stdin", remote=False, stdin="".join(updates))

    def _refuse_itself(self) -> None:
        """Refuse our own repo: where ``site`` is missing, git uses ``site.git``."""
        if self.local and self.local.is_repo(self._bare_repo.common):
            raise TransportError(f"there is no repo at {self.local.path}")

    def _waits(self, text: str) -> RemoteWaits | None:
        """Why git did not update the owner's working tree, and what they can do about it."""
        root = self.local.path if self.local else Path()
        if found := re.search(r"waiting: (\w+)(?: ([^;]*?))? *(?:;|$)", text):
            what, detail = found[1], found[2] or ""
            if what == "changed":
                tree, _, names = detail.partition(" // ")
                paths = [Path(tree, name) for name in names.split()]
                return RemoteWaits(_CHANGED.format(what=names, root=tree), paths)
            if what == "untracked":
                return RemoteWaits(_UNTRACKED.format(what=detail), [Path(detail)])
            if what == "unwritable":
                return RemoteWaits(_UNWRITABLE.format(root=root))
            return RemoteWaits(f"a git command is under way in {root}. End it there: git status")
        for words, reason in _REFUSALS.items():
            if words in text:
                return RemoteWaits(reason.format(root=root))
        return None

    def _busy(self, text: str) -> RemoteIsBusy:
        """Which process holds the lock, if any: a git command that was killed leaves it."""
        if self.local and (found := _LOCK.search(text)):
            return RemoteIsBusy(
                f"another git command is running in {self.local.path}. If there is none, one that"
                f" was killed has left {found[1] or found[2]}: delete that file"
            )
        return RemoteIsBusy(text)

    def pause(self, seconds: float) -> None:
        """Sleep for some time, unless the bridge shuts down."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Stop what is running, and start nothing new."""
        self._stopped.set()
        process = self._running
        if process is not None:
            terminate(process)

    def _run_beside_others(self, *arguments: str, remote: bool = True, stdin: str = "") -> str:
        """Run git to update refs of our own repo, which another process may update at the same
        moment: ``check`` beside a bridge that pushes, the owner's own ``git fetch``.
        """
        for _ in range(_TRIES - 1):
            try:
                return self._run(*arguments, remote=remote, stdin=stdin)
            except TransportError as error:
                if not _MET.search(str(error)):
                    raise
                if found := _LOCK.search(str(error)):
                    self._remove_abandoned(Path(found[2] or found[1]))
            self.pause(_MOMENT)
        return self._run(*arguments, remote=remote, stdin=stdin)

    def _remove_abandoned(self, lock: Path) -> None:
        """Remove a lock of a ref of ours that a git command has left which was killed."""
        if lock.is_relative_to(self._bare_repo.common / "refs"):
            remove_abandoned(self._disk, lock)

    def _run(
        self, *arguments: str, seen: str | None = None, remote: bool = True, stdin: str = ""
    ) -> str:
        """Run git. ``remote``: it talks to the remote, and has to be let in; ``stdin`` is what it
        reads.
        """
        if self._stopped.is_set():
            raise TransportError("the bridge is shutting down")
        command = ["git", f"--git-dir={self._bare_repo.repo.git_dir}", *arguments]
        environment = self.environment() if remote and self.local is None else {}
        if seen:
            environment = {**environment, "MICROPUB_BRIDGE_SEEN": seen}  # for push-to-checkout.sh
        # A process group of its own: git's children (ssh) must not outlive it and keep its pipes
        # open.
        process = self._git.execute(
            command, as_process=True, istream=PIPE, env=environment, start_new_session=True
        )
        self._running = process
        if self._stopped.is_set():
            terminate(process)
        try:
            out, err = communicate(process, stdin=stdin.encode())
        except TimeoutError as error:
            terminate(process)
            text = f"git {error}"
            if remote:
                text += ": perhaps the remote does not answer, or a program that it runs hangs"
            raise TransportError(text) from error
        finally:
            self._running = None
            kill(process)
        if process.returncode != 0:
            raise TransportError(self._presentable(out + err))
        return os.fsdecode(out)

    def environment(self) -> Mapping[str, str]:
        """The environment in which git can authenticate at the remote, and only there."""
        settings = read_settings(self._bare_repo.repo, r"^core\.sshcommand$")
        ssh = os.environ.get("GIT_SSH_COMMAND") or settings.get("core.sshcommand", "ssh")
        authenticated = authentication(self.url(), self._token, self._askpass)
        if authenticated and not self._askpass.exists():
            self._disk.write(self._askpass, ASKPASS.encode(), 0o700)
        return {"GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes", **authenticated}

    def _presentable(self, output: bytes) -> str:
        """Git's error message, without hints to a person at a terminal, and without secrets."""
        lines = (
            _PORCELAIN.sub("", line.strip())
            for line in output.decode("utf-8", "replace").splitlines()
        )
        text = "; ".join(line for line in lines if line and not line.startswith(_HINTS))
        if secret := self._token.rpartition(":")[2]:
            text = text.replace(secret, "…")
        if "dubious ownership" in text and self.local:
            return other_user(self.local.path)
        return _CREDENTIALS.sub("…@", text)[:1000] or "git failed and gave no reason"


def authentication(url: str, token: str, askpass: Path) -> Mapping[str, str]:
    """The environment in which git sends a token to the host of ``url``, and nowhere else; empty
    where it must not be sent there. ``token`` may be ``user:token``; ``askpass`` is the path of a
    file with :data:`ASKPASS`.
    """
    user, _, secret = token.rpartition(":")
    parts = urlsplit(url) if secret else None
    # A token is only sent encrypted, or within this machine.
    if not parts or (
        parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}
    ):
        return {}
    return {
        "GIT_ASKPASS": str(askpass),
        "BRIDGE_GIT_HOST": parts.netloc.rpartition("@")[2],
        "BRIDGE_GIT_USER": user or "git",
        "BRIDGE_GIT_TOKEN": secret,
        # The owner's credential helpers do not get the token.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "",
    }


def _is_at(common: Path, ref: str, commit: str) -> bool:
    try:
        found = read_ref(common, ref)
    except (StoreBroken, OSError):
        return False
    return found is not None and found.hex() == commit


def other_user(path: Path) -> str:
    """What to do about a repo that belongs to another user."""
    try:
        owner = path.owner()
    except (OSError, KeyError):
        owner = "its owner"
    return (
        f"{path} belongs to another user, and git refuses to work in such a repo. Run the bridge"
        f" as {owner}, or let both push to a repo between them: git init --bare --shared=group"
    )
