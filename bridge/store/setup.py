"""The repos that a site lives in, found and made: for ``init``, ``check`` and ``demo`` alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import git

from bridge.store import StoreBroken

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
_SCP_LIKE = re.compile(r"[^/\\]+:")


@dataclass(frozen=True, slots=True)
class Found:
    """What ``init`` wants to know of the owner's repo.

    ``root`` is its working tree, ``remote`` the URL that the branch is pushed to (``""``: none),
    ``branch`` the one that is checked out (``""``: none), ``author`` whose commits these are
    (``""``: git has not been told).
    """

    root: Path
    remote: str
    branch: str
    author: str


def is_remote(name: str) -> bool:
    """Whether this is the address of a repo (a URL, ``host:path``, a bare repo), not a clone."""
    if "://" in name or (_SCP_LIKE.match(name) and not Path(name).exists()):
        return True
    try:
        with git.Repo(name, expand_vars=False) as repo:
            return repo.working_tree_dir is None
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return False


def look_into(source: str, bare: Path, folder: Path) -> Found:
    """Clone ``source`` to ``bare``, as :func:`clone_bare` does; its files go to ``folder``.

    Raises :class:`StoreBroken`.
    """
    remote = _absolute(source, Path())
    clone_bare(remote, bare, "")
    git.Git().clone("--quiet", "--", str(bare), str(folder))
    return Found(folder.resolve(), remote, branch="", author="")


def look_at(folder: Path) -> Found:
    """The repo that ``folder`` is part of. Raises :class:`StoreBroken`: why not, and what to do."""
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
        try:
            if not repo.git.for_each_ref("refs/heads"):
                raise StoreBroken(f"{root} has no commit yet. Run there: {start}")
            branch = "" if repo.head.is_detached else repo.head.ref.name
            return Found(root, _remote(repo, root, branch), branch, _author(repo))
        except git.GitCommandError as error:
            raise StoreBroken(f"{root} cannot be read by git: {_reason(error)}") from error


def files_named(root: Path, name: str) -> list[Path]:
    """Where in a working tree the repo has files of this name, in folders of any depth."""
    with git.Repo(root, expand_vars=False) as repo:
        paths = repo.git.ls_files("-z", "--", f":(glob)**/{name}").split("\0")
    return [root / path for path in paths if path]


def has_file(repo: Path, path: str) -> bool:
    """Whether the newest commit of a repo has this file."""
    with git.Repo(repo, expand_vars=False) as opened:
        return bool(opened.git.ls_tree("--name-only", "HEAD", "--", f":(literal){path}"))


def keep_out(root: Path, paths: Iterable[Path]) -> None:
    """Have git ignore files of ours in the owner's working tree, by a list that is in no commit."""
    inside = [path.relative_to(root) for path in paths if path.is_relative_to(root)]
    with git.Repo(root, expand_vars=False) as repo:
        place = Path(root, repo.git.rev_parse("--git-path", "info/exclude"))
    known = place.read_text(encoding="utf-8") if place.exists() else ""
    missing = [line for path in inside if (line := f"/{path}") not in known.splitlines()]
    if missing:
        place.parent.mkdir(exist_ok=True)
        gap = "" if not known or known.endswith("\n") else "\n"
        place.write_text(known + gap + "\n".join(missing) + "\n", encoding="utf-8")


def clone_bare(source: str, target: Path, branch: str) -> None:
    """The bridge's own clone of one branch of ``source``, which becomes its ``origin``.

    Where ``branch`` is ``""``, it is the one that ``source`` itself names. A clone that is there
    already is used again. Raises :class:`StoreBroken` with git's own reason.
    """
    if target.exists():
        _use_again(source, target)
        return
    wanted = ["--branch", branch] if branch else []
    arguments = ["--bare", "--single-branch", *wanted, "--", source, str(target)]
    try:
        git.Git().clone(*arguments, env=_UNATTENDED)
    except git.GitCommandError as error:
        shown, reason = _CREDENTIALS.sub("", source), _reason(error)
        remedy = "This machine must be able to read and push without being asked for a password"
        if "not found in upstream" in reason:
            remedy = f"Push your site there first: git push --set-upstream origin {branch}"
        raise StoreBroken(f"{shown} cannot be cloned: {reason}. {remedy}") from error
    with git.Repo(target, expand_vars=False) as repo, repo.config_writer() as config:
        # A bare clone has no rule for fetching: give it the one that every other clone has.
        name = repo.head.ref.name
        rule = f"+refs/heads/{name}:refs/remotes/origin/{name}"
        config.set_value('remote "origin"', "fetch", rule)


def found_site(folder: Path, remote: Path, *, name: str, email: str) -> None:
    """Make ``folder`` a repo with everything in it committed, and ``remote`` its bare origin.

    ``name`` and ``email`` are the owner's, for this repo alone.
    """
    with git.Repo.init(folder, initial_branch="main") as repo:
        with repo.config_writer() as config:
            config.set_value("user", "name", name)
            config.set_value("user", "email", email)
        repo.git.add(all=True)
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", "A new site")
        git.Repo.init(remote, bare=True, initial_branch="main").close()
        repo.create_remote("origin", str(remote))
        repo.git.push("--set-upstream", "origin", "main")


def commit_file(folder: Path, path: str, change: Callable[[], None], message: str) -> None:
    """Change one file of a working tree and commit that alone.

    Raises :class:`StoreBroken` where the owner has changed it and not committed that.
    """
    with git.Repo(folder, expand_vars=False) as repo:
        if repo.git.status("--porcelain", "--", path):
            raise StoreBroken(f"{folder / path} has changes of yours: commit them first")
        change()
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", message, "--", path)


def _use_again(source: str, target: Path) -> None:
    try:
        with git.Repo(target, expand_vars=False) as repo:
            if repo.bare and source in [remote.url for remote in repo.remotes]:
                return
    except git.InvalidGitRepositoryError:
        pass
    raise StoreBroken(f"{target} is there already, and is no clone of {source}. Move it away")


def _remote(repo: git.Repo, root: Path, branch: str) -> str:
    """Where the branch is pushed to: what it follows, else ``origin``, else the only remote."""
    names = repo.git.remote().splitlines()
    with repo.config_reader() as config:
        followed = config.get_value(f'branch "{branch}"', "remote", "")
    only = names if len(names) == 1 else []
    name = next((each for each in (followed, "origin", *only) if each in names), None)
    if name is None:
        return ""
    url = str(repo.git.ls_remote("--get-url", "--", name))
    return _absolute(url, root)


def _absolute(url: str, root: Path) -> str:
    """A remote that is a path, as it is from everywhere."""
    is_path = "://" not in url and not _SCP_LIKE.match(url)
    return str((root / url).resolve()) if is_path else url


def _author(repo: git.Repo) -> str:
    with repo.config_reader() as config:
        name, email = (str(config.get_value("user", key, "")) for key in ("name", "email"))
    return f"{name.strip()} <{email.strip()}>" if name and email else ""


def _reason(error: git.GitCommandError) -> str:
    """What git said, in one line and without what would let somebody in."""
    said = error.stderr.strip().removeprefix("stderr:").strip(" '\n")
    lines = (line.strip() for line in said.splitlines())
    text = "; ".join(line for line in lines if line and not line.startswith("Cloning into"))
    return _CREDENTIALS.sub("", text) or "git gave no reason"
