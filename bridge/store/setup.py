"""Finds and creates the repos of a site, for ``init``, ``check`` and ``demo``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import git
from msgspec import Struct

from bridge.runtime import private
from bridge.runtime.command_name import doc
from bridge.store import StoreBroken
from bridge.store.git import AUTHOR
from bridge.store.repo import BoundedGit, read_settings
from bridge.store.sync.local_remote import WorkingTree, local_path
from bridge.store.sync.transport import ASKPASS, authentication, other_user

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
#: Lines of git's that are no reason. The second is about ``GIT_ASKPASS``.
_NOISE = ("Cloning into", "error: unable to read askpass response")
#: Files that programs leave in a working tree, and that no site needs.
_MADE_AGAIN = re.compile(
    r"(^|/)(__pycache__|\.?venv|env|node_modules|\.DS_Store|\.[a-z-]+[-_]cache)(/|$)"
    r"|^(output|public|_site)/|\.(py[co]|swp|pid)$|~$"
)
#: Seconds; a remote that does not answer must not hold up ``init``.
_CATCH_UP_SECONDS = 60
#: The usual author is derived from this many commits.
_NEWEST = 100


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
        with open_repo(name) as repo:
            return repo.working_tree_dir is None
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return False


def clone_and_inspect(source: str, bare: Path, folder: Path, token: str = "") -> OwnerRepo:
    """Clone ``source`` to ``bare``, as :func:`clone_bare` does; its files go to ``folder``.

    Raises :class:`StoreBroken`.
    """
    remote = _absolute(source)
    clone_bare(remote, bare, "", token)
    _clone("--quiet", "--", str(bare), str(folder))
    with open_repo(folder) as repo:
        return OwnerRepo(folder.resolve(), remote, "", _author(repo), _usual_author(repo))


def inspect_clone(folder: Path, remote: str = "") -> OwnerRepo:
    """The repo that ``folder`` is part of, and ``remote``, if that was named, as its remote.

    Raises :class:`StoreBroken`: why it cannot be used, and what to do. Changes nothing.
    """
    start = "git init && git add . && git commit -m 'My site'"
    try:
        repo = git.Repo(folder, search_parent_directories=True, expand_vars=False)
    except git.NoSuchPathError as error:
        raise StoreBroken(
            f"{folder} is not there. Name the folder of a clone, or the URL of a repo, such as"
            " https://git.example.com/you/site.git"
        ) from error
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
            if found.remote == str(root) and not os.access(repo.git_dir, os.W_OK):
                raise StoreBroken(
                    f"{root} cannot be written by this user, and the bridge would push into it."
                    " Run init as a user that can write there, or name another repo to push to"
                    " with --remote"
                )
        except git.GitCommandError as error:
            raise StoreBroken(f"{root} cannot be read by git: {reason_of(error)}") from error
    return found


def copy_clone(root: Path, folder: Path) -> None:
    """Copy what is committed in a clone to another folder, without the files of submodules."""
    _clone("--quiet", "--shared", "--", str(root), str(folder))


def _clone(*arguments: str, **environment: str) -> None:
    """Make a clone of ours, in which the owner's hooks for every repo do not run: they are for
    work, and may start programs, or ask. Raises :class:`git.GitCommandError`.
    """
    # Not --origin: before 2.39, git refuses that together with --bare.
    ours = ("-c", f"core.hooksPath={os.devnull}", "-c", "clone.defaultRemoteName=origin")
    command = ["git", *ours, "clone", "--template=", *arguments]
    git.Git().execute(command, env=_UNATTENDED | environment)


def open_repo(path: Path | str) -> git.Repo:
    """Open a repo. Raises what :class:`git.Repo` does."""
    repo = git.Repo(path, expand_vars=False)
    if repo.working_tree_dir is None:
        # With "safe.bareRepository = explicit", git does not look for a bare one by itself.
        repo.git.set_persistent_git_options(git_dir=str(repo.git_dir))
    return repo


def files_named(root: Path, name: str) -> list[Path]:
    """The repo's files with this name in a working tree, at any depth."""
    with open_repo(root) as repo:
        paths = repo.git.ls_files("-z", "--", f":(glob)**/{name}").split("\0")
    return [root / path for path in paths if path]


def not_committed(repo: Path, paths: Sequence[str]) -> list[str]:
    """Those of these files that the newest commit of a repo does not have."""
    with open_repo(repo) as opened:
        literal = (f":(literal){path}" for path in paths)
        listed = opened.git.ls_tree("-z", "--name-only", "HEAD", "--", *literal).split("\0")
    return [path for path in paths if path not in listed]


def has_files_below(root: Path, folder: Path) -> bool:
    """Whether the repo has files in a folder of its working tree."""
    if not folder.is_relative_to(root):
        return False
    with open_repo(root) as repo:
        return bool(repo.git.ls_files("--", str(folder)))


def submodule_of(root: Path, folder: Path) -> Path | None:
    """The submodule of a working tree that a folder is, or is in."""
    inside = [each for each in (folder, *folder.parents) if each.is_relative_to(root)][:-1]
    if not inside:
        return None
    # git does not list what is in a submodule.
    with open_repo(root) as repo:
        listed = repo.git.ls_files("--stage", "-z", "--", f":(literal){inside[-1].name}")
    there = (entry.partition("\t") for entry in listed.split("\0"))
    found = {root / path for entry, _, path in there if entry.startswith("160000 ")}
    return next((each for each in inside if each in found), None)


def clone_bare(source: str, target: Path, branch: str, token: str = "") -> None:
    """The bridge's own clone of one branch of ``source``, which becomes its ``origin``.

    It has drafts, too, so only the bridge's user may access it. Where ``branch`` is ``""``, it is
    the one that ``source`` itself names. An existing clone is used again, and gets what is new in
    ``source``. ``token`` is as in ``[publish] token``. Raises :class:`StoreBroken` with git's own
    reason.
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
            # Not in the folder for temporary files, where programs may be forbidden.
            with tempfile.TemporaryDirectory(prefix=".askpass-", dir=target.parent) as folder:
                askpass = Path(folder, "askpass")
                private.write(askpass, ASKPASS)
                askpass.chmod(0o700)
                _clone(*arguments, **authentication(source, token, askpass))
        except BaseException:
            # Git does not remove a folder that it has not created, even when it is interrupted.
            shutil.rmtree(target, ignore_errors=True)
            raise
    except OSError as error:
        raise StoreBroken(f"{target} cannot be created: {error.strerror}") from error
    except git.GitCommandError as error:
        shown, reason = _CREDENTIALS.sub("", source), reason_of(error)
        path = local_path(source, Path())
        if "dubious ownership" in reason and path:
            raise StoreBroken(other_user(path)) from error
        remedy = (
            f"Try as the user that runs the bridge: git ls-remote {shown}. It must work without"
            " asking: with an SSH key without a passphrase, git's credential helper, or a token in"
            f" the environment variable BRIDGE_PUBLISH__TOKEN ({doc('git.md')})"
        )
        if "No space left" in reason:
            remedy = "Make space there"
        if "not found in upstream" in reason:
            remedy = f"Push your site there first: git push --set-upstream origin {branch}"
        raise StoreBroken(f"{shown} cannot be cloned: {reason}. {remedy}") from error
    with open_repo(target) as repo:
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
        raise StoreBroken(reason_of(error)) from error


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
    with open_repo(target) as repo:
        repo.git.remote("set-url", "origin", found.remote)


def git_folder(repo: Path) -> Path:
    """The folder of a repo's objects and branches."""
    with open_repo(repo) as opened:
        return Path(opened.common_dir).resolve()


def create_site_repo(folder: Path, *, name: str, email: str) -> None:
    """Make ``folder`` a repo with everything in it committed.

    ``name`` and ``email`` are the owner's, for this repo alone.
    """
    with git.Repo.init(folder, initial_branch="main") as repo:
        repo.git.config("user.name", name)
        repo.git.config("user.email", email)
        repo.git.add(all=True)
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", "A new site")


def _use_again(sources: Sequence[str], target: Path) -> None:
    """Raise :class:`StoreBroken` unless ``target`` is a bare clone of one of the sources."""
    try:
        with open_repo(target) as repo:
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
    with open_repo(bare) as repo:
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


def reason_of(error: git.GitCommandError) -> str:
    """Git's error message in one line and without credentials."""
    message = error.stderr.strip().removeprefix("stderr:").strip(" '\n")
    lines = (line.strip().removesuffix(".") for line in message.splitlines())
    text = "; ".join(line for line in lines if line and not line.startswith(_NOISE))
    return _CREDENTIALS.sub("", text) or "git gave no reason"
