"""Finds and creates the repos of a site, for ``init``, ``check`` and ``demo``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import git
from msgspec import Struct

from bridge.runtime import private
from bridge.store import StoreBroken
from bridge.store.git import AUTHOR
from bridge.store.repo import BoundedGit, read_settings
from bridge.store.sync.local_remote import HOOK_MARK, WorkingTree, local_path
from bridge.store.sync.transport import other_user

#: The bridge works unattended: what it has to be asked for now will be missing then, too. An ssh
#: that may only ask a program that says no finds its own key, or nothing.
_UNATTENDED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "force",
    "LC_ALL": "C",
}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
#: Files that programs leave in a working tree, and that no site needs.
_MADE_AGAIN = re.compile(
    r"(^|/)(__pycache__|\.?venv|env|node_modules|\.DS_Store|\.[a-z-]+[-_]cache)(/|$)"
    r"|^(output|public|_site)/|\.(py[co]|swp|pid)$|~$"
)
#: Seconds; a remote that does not answer must not hold up ``init``.
_CATCH_UP_SECONDS = 60
#: The usual author is derived from this many commits.
_NEWEST = 100
#: In the configuration of the owner's clone: the repo of the bridge that pushes into it.
_PUSHED_FROM = "micropub-bridge.repo"
_HOOK = Path(__file__).with_name("push-to-checkout.sh")


class OwnerRepo(Struct, frozen=True):
    """What ``init`` wants to know of the owner's repo.

    ``root`` is its working tree; ``remote`` the URL of the bridge's remote: that of the branch's
    upstream if it is on the network, else the clone itself; ``branch`` the one of that remote
    (``""``: the one that it names itself), ``author`` whom git is configured for (``""``: it is
    not), ``usual_author`` who has made most of the newest commits (``""``: programs).
    """

    root: Path
    remote: str
    branch: str
    author: str
    usual_author: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the remote is the owner's own clone."""
        return self.remote == str(self.root)


def is_remote(name: str) -> bool:
    """Whether this is the address of a repo (a URL, ``host:path``, a bare repo), not a clone."""
    if "://" in name or (local_path(name, Path()) is None and not Path(name).exists()):
        return True
    try:
        with _open(name) as repo:
            return repo.working_tree_dir is None
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return False


def clone_and_inspect(source: str, bare: Path, folder: Path) -> OwnerRepo:
    """Clone ``source`` to ``bare``, as :func:`clone_bare` does; its files go to ``folder``.

    Raises :class:`StoreBroken`.
    """
    remote = _absolute(source)
    clone_bare(remote, bare, "")
    _clone("--quiet", "--", str(bare), str(folder))
    with _open(folder) as repo:
        return OwnerRepo(folder.resolve(), remote, "", _author(repo), _usual_author(repo))


def inspect_clone(folder: Path, remote: str = "") -> OwnerRepo:
    """The repo that ``folder`` is part of, and ``remote``, if that was named, as its remote.

    Raises :class:`StoreBroken`: why it cannot be used, and what to do. Changes nothing.
    """
    start = "git init && git add . && git commit -m 'My site'"
    try:
        repo = git.Repo(folder, search_parent_directories=True, expand_vars=False)
    except git.NoSuchPathError as error:
        raise StoreBroken(f"{folder} is not there") from error
    except git.InvalidGitRepositoryError as error:
        raise StoreBroken(
            f"{folder} is not in a git repo, and posts will be commits. Run there: {start}"
        ) from error
    with repo:
        root = Path(repo.working_tree_dir or folder).resolve()
        if Path(repo.git_dir).stat().st_uid != os.geteuid():
            raise StoreBroken(other_user(root))
        try:
            if not repo.git.for_each_ref("refs/heads") and not repo.head.is_valid():
                raise StoreBroken(f"{root} has no commit yet. Run there: {start}")
            branch = "" if repo.head.is_detached else repo.head.ref.name
            if operation := WorkingTree(root, Path(repo.git_dir)).operation():
                raise StoreBroken(f"{operation}. Then run init again")
            upstream, url = _upstream(repo, branch)
            authors = _author(repo), _usual_author(repo)
            if remote:
                found = OwnerRepo(root, _absolute(remote), branch, *authors)
            elif url:
                found = OwnerRepo(root, url, upstream, *authors)
            else:
                found = OwnerRepo(root, str(root), branch, *authors)
            if found.is_local:
                _refuse_incomplete(repo, root, branch)
        except git.GitCommandError as error:
            raise StoreBroken(f"{root} cannot be read by git: {_reason(error)}") from error
    return found


def copy_clone(root: Path, folder: Path) -> None:
    """Copy what is committed in a clone to another folder, without the files of submodules."""
    _clone("--quiet", "--shared", "--", str(root), str(folder))


def _clone(*arguments: str) -> None:
    """Make a clone of ours, in which the owner's hooks for every repo do not run: they are for
    work, and may start programs, or ask. Raises :class:`git.GitCommandError`.
    """
    # Not --origin: before 2.39, git refuses that together with --bare.
    ours = ("-c", f"core.hooksPath={os.devnull}", "-c", "clone.defaultRemoteName=origin")
    git.Git().execute(["git", *ours, "clone", "--template=", *arguments], env=_UNATTENDED)


def _open(path: Path | str) -> git.Repo:
    """Open a repo. Raises what :class:`git.Repo` does."""
    repo = git.Repo(path, expand_vars=False)
    if repo.working_tree_dir is None:
        # With "safe.bareRepository = explicit", git does not look for a bare one by itself.
        repo.git.set_persistent_git_options(git_dir=str(repo.git_dir))
    return repo


def files_named(root: Path, name: str) -> list[Path]:
    """The repo's files with this name in a working tree, at any depth."""
    with _open(root) as repo:
        paths = repo.git.ls_files("-z", "--", f":(glob)**/{name}").split("\0")
    return [root / path for path in paths if path]


def not_committed(repo: Path, paths: Sequence[str]) -> list[str]:
    """Those of these files that the newest commit of a repo does not have."""
    with _open(repo) as opened:
        literal = (f":(literal){path}" for path in paths)
        listed = opened.git.ls_tree("-z", "--name-only", "HEAD", "--", *literal).split("\0")
    return [path for path in paths if path not in listed]


def has_files_below(root: Path, folder: Path) -> bool:
    """Whether the repo has files in a folder of its working tree."""
    if not folder.is_relative_to(root):
        return False
    with _open(root) as repo:
        return bool(repo.git.ls_files("--", str(folder)))


def submodule_of(root: Path, folder: Path) -> Path | None:
    """The submodule of a working tree that a folder is, or is in."""
    inside = [each for each in (folder, *folder.parents) if each.is_relative_to(root)][:-1]
    if not inside:
        return None
    # git does not list what is in a submodule.
    with _open(root) as repo:
        listed = repo.git.ls_files("--stage", "-z", "--", f":(literal){inside[-1].name}")
    there = (entry.partition("\t") for entry in listed.split("\0"))
    found = {root / path for entry, _, path in there if entry.startswith("160000 ")}
    return next((each for each in inside if each in found), None)


def keep_out(root: Path, paths: Iterable[Path]) -> None:
    """Have git ignore files of ours in the owner's working tree, by ``info/exclude``, which is not
    committed.

    Folders with committed files are left out: git would silently ignore the owner's new files
    there.
    """
    below = [path for path in paths if path.is_relative_to(root)]
    if not below:
        return
    with _open(root) as repo:
        listed = repo.git.ls_files("-z", "--", *below).split("\0")
        place = Path(root, repo.git.rev_parse("--git-path", "info/exclude"))
    files = [root / path for path in listed if path]
    tracked = {path for file in files for path in (file, *file.parents)}
    inside = [path.relative_to(root) for path in below if path not in tracked]
    known = place.read_text(encoding="utf-8") if place.exists() else ""
    missing = [line for path in inside if (line := f"/{path}") not in known.splitlines()]
    if missing:
        place.parent.mkdir(exist_ok=True)
        gap = "" if not known or known.endswith("\n") else "\n"
        place.write_text(known + gap + "\n".join(missing) + "\n", encoding="utf-8")


def clone_bare(source: str, target: Path, branch: str) -> None:
    """The bridge's own clone of one branch of ``source``, which becomes its ``origin``.

    It has drafts, too, so only the bridge's user may access it. Where ``branch`` is ``""``, it is
    the one that ``source`` itself names. An existing clone is used again, and gets what is new in
    ``source``. Raises :class:`StoreBroken` with git's own reason.
    """
    if target.exists():
        _use_again((source,), target)
        _catch_up(target)
        return
    only = ["--branch", branch] if branch else []
    arguments = ["--bare", "--single-branch", *only, "--", source, str(target)]
    try:
        private.make_folder(target)
        try:
            _clone(*arguments)
        except BaseException:
            # Git does not remove a folder that it has not created, even when it is interrupted.
            shutil.rmtree(target, ignore_errors=True)
            raise
    except OSError as error:
        raise StoreBroken(f"{target} cannot be created: {error.strerror}") from error
    except git.GitCommandError as error:
        shown, reason = _CREDENTIALS.sub("", source), _reason(error)
        path = local_path(source, Path())
        if "dubious ownership" in reason and path:
            raise StoreBroken(other_user(path)) from error
        remedy = "This machine must be able to read and push without being asked for a password"
        if "not found in upstream" in reason:
            remedy = f"Push your site there first: git push --set-upstream origin {branch}"
        raise StoreBroken(f"{shown} cannot be cloned: {reason}. {remedy}") from error
    with _open(target) as repo:
        # A bare clone has no rule for fetching: give it the one that every other clone has.
        name = repo.head.ref.name
        rule = f"+refs/heads/{name}:refs/remotes/origin/{name}"
        repo.git.config("remote.origin.fetch", rule)


def clone_recursively(bare: Path, url: str, version: str, folder: Path) -> None:
    """A clone with a working tree of a version, submodules included, as the owner would make it.

    ``url`` is where relative URLs of submodules start from. Raises :class:`StoreBroken`.
    """
    # By default git clones no submodule from a path; here the owner's own repo is one.
    allowed = ["-c", "protocol.file.allow=always"] if local_path(url, bare) else []
    quiet = ("-c", f"core.hooksPath={os.devnull}")
    here = ["git", *quiet, f"--git-dir={folder / '.git'}", f"--work-tree={folder}"]
    try:
        _clone("--quiet", "--no-checkout", "--", str(bare), str(folder))
        run = git.Git(str(folder)).execute
        run([*here, "remote", "set-url", "origin", url or str(bare)])
        run([*here, "checkout", "--quiet", "--detach", version])
        update = ["submodule", "--quiet", "update", "--init", "--recursive"]
        try:
            run(["git", *quiet, *allowed, *update], env=_UNATTENDED)
        except git.GitCommandError as error:
            # A repo within the repo that is not a submodule: everything else is checked out.
            if "No url found" not in str(error):
                raise
    except git.GitCommandError as error:
        raise StoreBroken(_reason(error)) from error


def only_in_folder(clone: Path) -> list[str]:
    """Paths in a working tree that no commit has as they are: changed, untracked, ignored."""
    command = ["git", "--no-optional-locks", "status", "--porcelain", "-z", "--ignored"]
    try:
        listed = git.Git(str(clone)).execute([*command, "--no-renames"])
    except git.GitCommandError:
        return []
    names = [line[3:] for line in str(listed).split("\0") if line]
    return [name for name in names if not _MADE_AGAIN.search(name)]


def clone_again(found: OwnerRepo, target: Path, branch: str) -> None:
    """A bare clone with everything in the owner's clone, pushed or not, whose ``origin`` is
    ``found.remote``. An unfinished one is replaced. Raises :class:`StoreBroken`."""
    with git.Repo(found.root, expand_vars=False) as repo:
        name = branch or ("" if repo.head.is_detached else repo.head.ref.name)
        _refuse_incomplete(repo, found.root, name)
    if target.exists():
        _use_again((str(found.root), found.remote), target)
        shutil.rmtree(target)
    clone_bare(str(found.root), target, name)
    with _open(target) as repo:
        repo.git.remote("set-url", "origin", found.remote)


def git_folder(repo: Path) -> Path:
    """The folder of a repo's objects and branches."""
    with _open(repo) as opened:
        return Path(opened.common_dir).resolve()


def allow_pushes_into(clone: Path) -> str:
    """Have git update the owner's working tree with every push. Returns what was done.

    Nothing else in the clone changes. Raises :class:`StoreBroken`.
    """
    with _open(clone) as repo:
        try:
            repo.git.config("receive.denyCurrentBranch", "updateInstead")
            hooks = Path(clone, repo.git.rev_parse("--git-path", "hooks"))
            elsewhere = repo.git.config("--get", "core.hooksPath", with_exceptions=False)
            if (clone / ".git").is_file() and repo.git_dir == repo.common_dir:
                repo.git.config("micropub-bridge.worktree", str(clone))
        except git.GitCommandError as error:
            raise StoreBroken(f"{clone} cannot be set up: {_reason(error)}") from error
    notice = f"In {clone}, receive.denyCurrentBranch is now updateInstead"
    hook = hooks / "push-to-checkout"
    if elsewhere or (hook.exists() and HOOK_MARK.encode() not in hook.read_bytes()):
        reason = "core.hooksPath is set" if elsewhere else f"{hook} is there already"
        return f"{notice}. {reason}: if you can, have it do what {_HOOK} does."
    try:
        hooks.mkdir(exist_ok=True)
        new = hook.with_name("push-to-checkout.new")
        new.write_bytes(_HOOK.read_bytes())
        new.chmod(new.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        new.replace(hook)
    except OSError as error:
        raise StoreBroken(f"the hook {hook} cannot be written: {error.strerror}") from error
    return f"{notice}, and the hook {hook} is installed."


def claim(clone: Path, bare: Path) -> str:
    """Note in the owner's clone which bridge's repo pushes there. Returns a warning if another
    one's does, else ``""``.
    """
    with _open(clone) as repo:
        before = repo.git.config("--get", _PUSHED_FROM, with_exceptions=False)
        repo.git.config("--replace-all", _PUSHED_FROM, str(bare))
    if not before or not _is_another(Path(before), bare):
        return ""
    return (
        f"Another bridge has its repo at {before}, for the same clone: run one of the two only, or"
        " other sites and networks are told of each post twice. Delete the folder of the one that"
        " you do not need."
    )


def _is_another(there: Path, bare: Path) -> bool:
    """Whether a folder is there that is not ``bare`` by another name."""
    try:
        there.stat()
        return not (bare.exists() and there.samefile(bare))
    except PermissionError:
        # Another user's.
        return True
    except OSError:
        return False


def create_site_repo(folder: Path, *, name: str, email: str) -> None:
    """Make ``folder`` a repo with everything in it committed.

    ``name`` and ``email`` are the owner's, for this repo alone.
    """
    with git.Repo.init(folder, initial_branch="main") as repo:
        repo.git.config("user.name", name)
        repo.git.config("user.email", email)
        repo.git.add(all=True)
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", "A new site")


def commit_file(folder: Path, path: str, change: Callable[[], None], message: str) -> None:
    """Change one file of a working tree and commit that alone.

    Raises :class:`StoreBroken` where the owner has changed it and not committed that.
    """
    with _open(folder) as repo:
        if repo.git.status("--porcelain", "--", path):
            raise StoreBroken(f"{folder / path} has changes of yours: commit them first")
        change()
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", message, "--", path)


def _use_again(sources: Sequence[str], target: Path) -> None:
    """Raise :class:`StoreBroken` unless ``target`` is a bare clone of one of the sources."""
    try:
        with _open(target) as repo:
            if repo.bare and {*sources} & {remote.url for remote in repo.remotes}:
                return
    except git.InvalidGitRepositoryError:
        pass
    raise StoreBroken(
        f"{target} is there already, and is not a clone of {sources[0]}. Move it away"
    )


def _catch_up(bare: Path) -> None:
    """Fetch what is new, if the branch can follow: what the bridge has committed there stays.

    Where the remote cannot be reached, the clone stays as it is: the bridge fetches later.
    """
    with _open(bare) as repo:
        name = repo.head.ref.name
    arguments = ("--quiet", "--no-auto-maintenance", "--", "origin", f"{name}:{name}")
    bounded = BoundedGit(str(bare))(git_dir=str(bare))
    with contextlib.suppress(git.GitCommandError, StoreBroken):
        bounded.fetch(*arguments, env=_UNATTENDED, kill_after_timeout=_CATCH_UP_SECONDS)


def _refuse_incomplete(repo: git.Repo, root: Path, branch: str) -> None:
    """Raise :class:`StoreBroken` where a bare clone of this clone would not have everything."""
    if not branch:
        names = [head.name for head in repo.heads]
        name = "main" if "main" in names else next(iter(names), "--create main")
        raise StoreBroken(f"No branch is checked out in {root}. Run: git -C {root} switch {name}")
    if Path(repo.common_dir, "shallow").exists():
        raise StoreBroken(f"{root} is a shallow clone. Run: git -C {root} fetch --unshallow")
    if repo.git.config("--get-regexp", r"^remote\..*\.promisor$", with_exceptions=False):
        raise StoreBroken(f"{root} is a partial clone. Clone it again without --filter")


def _upstream(repo: git.Repo, branch: str) -> tuple[str, str]:
    """The branch that ``branch`` follows, and its remote's URL, if that is on the network."""
    with repo.config_reader() as config:
        remote = str(config.get_value(f'branch "{branch}"', "remote", ""))
        merge = str(config.get_value(f'branch "{branch}"', "merge", ""))
        url = str(config.get_value(f'remote "{remote}"', "url", ""))
    if not url or local_path(url, Path()) is not None:
        return "", ""
    # As git resolves it: the owner may have a short name for their host.
    known = str(repo.git.ls_remote("--get-url", "--", remote))
    return merge.removeprefix("refs/heads/"), url if local_path(known, Path()) else known


def _absolute(url: str) -> str:
    """A remote that is a path, as it is from everywhere."""
    path = None if "://" in url else local_path(url, Path())
    return str(path.resolve()) if path is not None else url


def _author(repo: git.Repo) -> str:
    settings = read_settings(repo, r"^user\.(name|email)$")
    name, email = (settings.get(f"user.{key}", "").strip() for key in ("name", "email"))
    return f"{name} <{email}>" if name and email else ""


def _usual_author(repo: git.Repo) -> str:
    """Who has made most of the newest commits, programs such as ``dependabot[bot]`` apart."""
    log = repo.git.log(f"-{_NEWEST}", "--no-merges", "--format=%aN <%aE>")
    authors = [line for line in log.splitlines() if AUTHOR.fullmatch(line) and "[bot]" not in line]
    return max(authors, key=authors.count, default="")


def _reason(error: git.GitCommandError) -> str:
    """Git's error message in one line and without credentials."""
    message = error.stderr.strip().removeprefix("stderr:").strip(" '\n")
    lines = (line.strip() for line in message.splitlines())
    text = "; ".join(line for line in lines if line and not line.startswith("Cloning into"))
    return _CREDENTIALS.sub("", text) or "git gave no reason"
