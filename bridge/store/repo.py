"""The bridge's bare repo: opened, and checked for what would break the guarantees; its branch is
read, and its packs are combined in the background.

Git runs with limits of time. A git process that hangs is terminated, and is never mistaken for one
that failed. GitPython's own limit looks like a failure of the command, which may have a meaning: a
merge with conflicts, a setting that is not there. It also leaves a thread behind that the end of
the bridge would wait for.

Each round of commits leaves a pack. ``git repack --geometric`` combines them, so that their number
only grows with the logarithm of the history. Objects are moved and never dropped, so that it does
not matter what is being committed in the meantime; readers that had an old pack look again, as git
does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from git import Git, GitCommandError, GitError, InvalidGitRepositoryError, NoSuchPathError, Repo
from msgspec import Struct

from bridge.runtime.command_name import command
from bridge.runtime.process import processor_time, signal_group
from bridge.runtime.threads import start
from bridge.store import StoreBroken
from bridge.store.objects import Format

#: How long a command may stall: no use of the processor, by it or its children. One that makes
#: progress may take longer: a large file over a slow connection takes hours.
SECONDS = 300.0
_LONGEST = 6 * 3600.0
_LOOK = 5.0
_GRACE = 0.5  # for git to clean up
_UNKILLABLE = 5.0
_CHUNK = 1 << 16  # bytes: as many as a pipe holds
#: The bridge's own repos run no hooks that the owner has for every repo: they are for work, and may
#: ask, wait or refuse. Nor does git sign a push, which asks for a password.
_UNATTENDED = ("-c", f"core.hooksPath={os.devnull}", "-c", "push.gpgSign=false")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LONGEST_REF = 1024
#: The settings that tell whether a repo can be used, and how it names objects.
_OPENED = r"^core\.bare$|^extensions\.|^remote\..*\.promisor$"
#: The folder inside the repo that earlier versions used in place of ``[site] state``.
EARLIER_STATE = "micropub-bridge"
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",  # there is no person to answer
    "GIT_OPTIONAL_LOCKS": "0",  # reading takes no lock
    "GIT_NO_REPLACE_OBJECTS": "1",  # an id means its own bytes
    "GIT_LITERAL_PATHSPECS": "1",  # a "*" in a path is a star
    "LC_ALL": "C",
}
_log = logging.getLogger(__name__)
_MANY_PACKS = 50  # as git's own gc.autoPackLimit
_REPACK_END = 1.0  # seconds that closing waits for the thread, once git has been ended
_REPACK_RESTS = 20  # times as long as it has worked: requests come first
# Synced before the old packs are deleted; on one core, because nothing waits for it.
_REPACK = ("-c", "core.fsync=all", "-c", "pack.threads=1", "repack", "--geometric=2", "-d", "-q")


class BoundedGit(Git):
    """GitPython's, except that no command runs hooks, or stands still for longer than
    ``kill_after_timeout`` seconds (by default :data:`SECONDS`).

    Raises :class:`StoreBroken` if git was ended for that, or by any signal. A
    process that is returned itself (``as_process``) has no limit.
    """

    def execute(  # type: ignore[override]  # GitPython has an overload for each kind of result
        self,
        command: str | Sequence[Any],
        *,
        as_process: bool = False,
        kill_after_timeout: float | None = None,
        stdout_as_string: bool = True,
        strip_newline_in_stdout: bool = True,
        with_exceptions: bool = True,
        **options: Any,
    ) -> Any:
        """Run a command; returns what it printed."""
        if command[0] in {"git", self.GIT_PYTHON_GIT_EXECUTABLE}:
            command = [command[0], *_UNATTENDED, *command[1:]]
        if as_process:
            return super().execute(command, as_process=True, **options)
        seconds = SECONDS if kill_after_timeout is None else kill_after_timeout
        process: Any = super().execute(command, as_process=True, start_new_session=True, **options)
        try:
            out, err = communicate(process, seconds)
        except TimeoutError as error:
            raise StoreBroken(f"{_name(command)} {error}") from error
        finally:
            kill(process)
        status: int = process.returncode
        if status < 0:
            raise StoreBroken(f"{_name(command)} was ended by signal {-status}")
        if status and with_exceptions:
            raise GitCommandError(process.args, status, err.removesuffix(b"\n"), out)
        if strip_newline_in_stdout:
            out = out.removesuffix(b"\n")
        return os.fsdecode(out) if stdout_as_string else out


class BoundedRepo(Repo):
    """A repo whose commands are bounded."""

    GitCommandWrapperType = BoundedGit


def communicate(process: Any, seconds: float = SECONDS, stdin: bytes = b"") -> tuple[bytes, bytes]:
    """What a git process that leads a session of its own prints until its end.

    ``stdin`` is what it reads. Raises :class:`TimeoutError` if it has stalled for ``seconds``: it
    is still running then.
    """
    begun = since = time.monotonic()
    used: int | None = None
    given: bytes | None = stdin
    while True:
        try:
            out, err = process.communicate(given, timeout=min(_LOOK, seconds))
        except subprocess.TimeoutExpired as error:
            given, before, used = None, used, processor_time(process.pid)
            now = time.monotonic()
            since = since if used == before else now
            if now - since >= seconds:
                raise TimeoutError(f"stood still for {seconds:g} seconds") from error
            if now - begun >= _LONGEST:
                raise TimeoutError(f"took longer than {_LONGEST:g} seconds") from error
        else:
            return out, err


def receive(file: int, seconds: float) -> bytes:
    """Some more of what a git process prints; ``b""`` at the end.

    Raises :class:`TimeoutError` after ``seconds`` without any.
    """
    coming = select.poll()
    coming.register(file, select.POLLIN)
    if not coming.poll(1000 * seconds):
        raise TimeoutError(f"git did not answer within {seconds:g} seconds")
    return os.read(file, _CHUNK)


def terminate(process: Any) -> None:
    """End a git process that leads a process group, with its children: first by request, then by
    force. ``process`` is GitPython's, which it does not annotate.
    """
    for kind in (signal.SIGTERM, signal.SIGKILL):
        signal_group(process.pid, kind, has_leader=process.proc.poll() is None)
        with suppress(subprocess.TimeoutExpired):
            process.proc.wait(_GRACE)
            if kind == signal.SIGTERM:
                continue
            return


def kill(process: Any) -> None:
    """End a git process by force, with its children if it leads a process group, and close its
    pipes.

    Once nothing refers to a process, GitPython terminates it and waits: that would never end for
    one that hangs.
    """
    running = process.proc
    if running is None:
        return
    if running.poll() is None:
        with suppress(ProcessLookupError):
            if os.getpgid(running.pid) == running.pid:
                os.killpg(running.pid, signal.SIGKILL)
        running.kill()
        try:
            running.wait(_UNKILLABLE)
        except subprocess.TimeoutExpired:
            process.proc = None  # it waits for a disk that is gone: GitPython waits for it no more
    for pipe in filter(None, (running.stdin, running.stdout, running.stderr)):
        with suppress(BrokenPipeError):
            pipe.close()


def _name(command: str | Sequence[Any]) -> str:
    """``git`` and its subcommand, for messages."""
    words = command.split() if isinstance(command, str) else [*map(str, command)]
    skip = False
    for word in words[1:]:
        if not skip and not word.startswith("-"):
            return f"git {word}"
        skip = word in {"-c", "-C"}
    return "git"


class Branch:
    """A branch of the repo whose shared git folder is ``common``."""

    def __init__(self, common: Path, name: str) -> None:
        self._common = common
        self.name = name
        self.ref = f"refs/heads/{name}"
        self.path = common / self.ref
        self.log = common / "logs" / self.ref

    def read(self) -> bytes | None:
        """The branch's commit; ``None`` if it has none yet; :class:`StoreBroken` without a repo."""
        return read_ref(self._common, self.ref)

    @staticmethod
    def line(commit: bytes) -> bytes:
        """What the ref's file holds for a commit."""
        return commit.hex().encode() + b"\n"


def read_ref(common: Path, ref: str) -> bytes | None:
    """The commit of a ref (``refs/…``) in the repo whose folder is ``common``, read without git;
    ``None`` if there is no such ref. Raises :class:`StoreBroken` where it is damaged, or without a
    repo.
    """
    path = f"{common}/{ref}"
    try:
        data = _beginning(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return _packed_ref(common, ref)
    if not data.isascii():
        raise StoreBroken(f"{path} is damaged")
    text = data.decode().strip()
    if not _COMMIT_ID.fullmatch(text):
        raise StoreBroken(f"{path} does not hold a commit id")
    return bytes.fromhex(text)


def _beginning(path: str) -> bytes:
    """The first bytes of a file. A request reads the branch six times: by the system's calls that
    takes a seventh of the time that it takes by :class:`~pathlib.Path`.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, _LONGEST_REF)
    finally:
        os.close(file)


def _packed_ref(common: Path, ref: str) -> bytes | None:
    """The same from ``packed-refs``, into which ``git gc`` moves refs."""
    try:
        text = (common / "packed-refs").read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        text = ""
    for line in text.splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return bytes.fromhex(commit)
    if not (common / "HEAD").exists():
        raise StoreBroken(f"there is no repo at {common}")
    return None


class BareRepo(Struct, frozen=True):
    """The bridge's bare repo, opened and checked; ``common`` is its folder."""

    repo: Repo
    common: Path
    branch: Branch
    format: Format


def open_bare_repo(path: Path, branch: str) -> BareRepo:
    """Open and check a repo; :class:`StoreBroken` says what is wrong with it, and what to do."""
    try:
        repo = BoundedRepo(path, expand_vars=False)
    except NoSuchPathError as error:
        raise StoreBroken(
            f"there is no repo at {path}. Correct [site] repo, or have `{command()} init CLONE`"
            " create it again"
        ) from error
    except (InvalidGitRepositoryError, GitError, OSError) as error:
        reason = "" if isinstance(error, InvalidGitRepositoryError) else f": {error}"
        raise StoreBroken(
            f"{path} is not a git repo{reason}. Correct [site] repo, or have `{command()} init"
            " CLONE` create it"
        ) from error
    git_dir, common = Path(repo.git_dir).resolve(), Path(repo.common_dir).resolve()
    # It is this repo, whatever GIT_DIR in the environment says.
    repo.git.set_persistent_git_options(git_dir=str(git_dir))
    repo.git.update_environment(**_QUIET)
    try:
        settings = read_settings(repo, _OPENED)
        _refuse_working_tree(repo, path, common, settings)
        name, fmt = _branch(repo, common, branch), _format(common, settings)
        bare_repo = BareRepo(repo, common, name, fmt)
        refuse_worktrees(bare_repo)
    except BaseException:
        repo.close()
        raise
    return bare_repo


def _format(common: Path, settings: Mapping[str, str]) -> Format:
    """How the repo names objects. Refuses a repo that lacks objects."""
    if (common / "shallow").exists():
        raise StoreBroken(f"{common} is a shallow clone; run: git fetch --unshallow")
    if any(name.endswith((".promisor", ".partialclone")) for name in settings):
        raise StoreBroken(f"{common} is a partial clone; clone it again without --filter")
    storage = settings.get("extensions.refstorage", "files")
    if storage != "files":
        raise StoreBroken(f"{common} keeps its refs as {storage}; run: git refs migrate "
                          "--ref-format=files")  # fmt: skip
    return Format(settings.get("extensions.objectformat", "sha1"))


def _refuse_working_tree(repo: Repo, path: Path, common: Path, settings: Mapping[str, str]) -> None:
    """Refuse a repo whose branch is checked out: its files and index would fall behind, and the
    owner's next commit would undo every post since.
    """
    bare = settings.get("core.bare")
    if common.name == ".git" or Path(repo.git_dir).resolve() != common or bare == "false":
        raise StoreBroken(
            f"{path} is a clone with a working tree, and the bridge commits in a bare clone of its"
            f" own; beside bridge.toml, run: {command()} init {path}"
        )
    if (common / EARLIER_STATE).is_dir():
        raise StoreBroken(
            f"{path} was set up by an earlier version, which kept its things in that folder;"
            f" beside bridge.toml, run: {command()} init"
        )


def refuse_worktrees(bare_repo: BareRepo) -> None:
    """Refuse a bare repo to which a worktree with the branch was added: the owner's next commit
    there would undo every post since.
    """
    if not (bare_repo.common / "worktrees").is_dir():
        return
    for added in bare_repo.common.glob("worktrees/*"):
        try:
            head = (added / "HEAD").read_text("utf-8", "surrogateescape").strip()
            # Relative to this folder where worktree.useRelativePaths is set.
            link = added / (added / "gitdir").read_text("utf-8", "surrogateescape").strip()
        except OSError:
            continue  # it was removed just now
        if head == f"ref: {bare_repo.branch.ref}" and _may_exist(link, added):
            link = Path(os.path.normpath(link))
            raise StoreBroken(
                f"{bare_repo.branch.name} is checked out in {link.parent}, a worktree of the"
                f" bridge's own repo; run: git --git-dir={bare_repo.common} worktree remove"
                f" {link.parent}, and clone the repo instead"
            )


def _may_exist(link: Path, added: Path) -> bool:
    """Whether a worktree is there: also one in a folder that the bridge may not look into, or a
    locked one, which may be on a disk that is not mounted (git-worktree(1)).
    """
    try:
        return link.exists() or (added / "locked").exists()
    except OSError:
        return True


def _branch(repo: Repo, common: Path, configured: str) -> Branch:
    """The branch to work on: the one named, or the one that the repo's HEAD names."""
    head = (Path(repo.git_dir) / "HEAD").read_text("utf-8").strip()
    current = head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else ""
    name = configured or current
    if not name:
        raise StoreBroken(f"HEAD of {repo.git_dir} is detached; set [site] branch")
    if name != current:
        try:
            repo.git.check_ref_format(f"refs/heads/{name}")
        except GitCommandError as error:
            raise StoreBroken(f"{name!r} cannot be the name of a branch") from error
    branch = Branch(common, name)
    if branch.path.is_file() and branch.path.read_bytes().startswith(b"ref:"):
        raise StoreBroken(f"{name} only points to another branch; set [site] branch to that one")
    if branch.read() is None and name != current and repo.git.for_each_ref("refs/heads"):
        raise StoreBroken(f"there is no branch {name!r} in {common}; see: git branch --list")
    return branch


def read_settings(repo: Repo, pattern: str) -> dict[str, str]:
    """Git's own settings, from every file that it reads, whose names match; the last one wins.

    Names are in lower case, except for the part in the middle.
    """
    try:
        lines = repo.git.config("--null", "--get-regexp", pattern).split("\0")
    except GitCommandError:
        return {}  # none matches
    return dict(line.split("\n", 1) for line in lines if "\n" in line)


class Housekeeper:
    """Counts commits, and repacks from time to time in a thread of its own."""

    def __init__(self, bare_repo: BareRepo, *, seconds: float = SECONDS) -> None:
        """``seconds`` is how long git may stall before it is terminated."""
        self._bare_repo = bare_repo
        self._objects = bare_repo.common / "objects"
        self._seconds = seconds
        self._rounds = 0
        self._rest = 0.0  # not before
        self._thread: threading.Thread | None = None
        self._running: Any = None  # GitPython's process, which it does not annotate
        self._closed = False

    def committed(self) -> None:
        """Count a commit. Returns at once."""
        self._rounds += 1
        busy = self._thread is not None and self._thread.is_alive()
        if self._rounds < _MANY_PACKS or busy or time.monotonic() < self._rest:
            return
        self._rounds = 0
        thread = threading.Thread(target=self._tidy, name="housekeeping", daemon=True)
        start(thread)
        self._thread = thread

    def close(self) -> None:
        """Interrupt a running repack: git has not put anything into place yet."""
        self._closed = True
        process = self._running
        if process is not None:
            terminate(process)
        if self._thread:
            self._thread.join(_REPACK_END)

    def _tidy(self) -> None:
        """Repack, unless there is little to do, or another bridge is repacking."""
        try:
            packs = [*self._objects.joinpath("pack").glob("*.pack")]
            if len(packs) < _MANY_PACKS:
                return
            file = os.open(self._objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                begin = time.monotonic()
                self._repack()
                self._rest = time.monotonic() + _REPACK_RESTS * (time.monotonic() - begin)
            finally:
                os.close(file)
        except BlockingIOError:
            return
        except (OSError, GitError) as error:
            if not self._closed:
                _log.warning("small packs could not be joined: %s", error)

    def _repack(self) -> None:
        command = ["git", f"--git-dir={self._bare_repo.repo.git_dir}", *_REPACK]
        # A process group of its own, since git starts another process for the work.
        process = self._bare_repo.repo.git.execute(command, as_process=True, start_new_session=True)
        self._running = process
        if self._closed:
            terminate(process)
        try:
            _, err = communicate(process, self._seconds)
            process.wait(err)
        except TimeoutError as error:
            terminate(process)
            raise TimeoutError(f"git repack {error}") from error
        finally:
            kill(process)
            self._running = None
