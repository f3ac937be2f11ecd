"""Opening a repo: what is there, and whether the bridge can keep its promises in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from git import GitCommandError, GitError, InvalidGitRepositoryError, NoSuchPathError, Repo

from bridge.store import StoreBroken
from bridge.store.git_config import read_settings
from bridge.store.objects import Format
from bridge.store.refs import Branch

_AUTHOR = re.compile(r"\s*([^<>\n]*[^<>\s])\s*<([^<>\s]+)>\s*")
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer
    "GIT_OPTIONAL_LOCKS": "0",  # reading takes no lock
    "GIT_NO_REPLACE_OBJECTS": "1",  # an id means its own bytes
    "GIT_LITERAL_PATHSPECS": "1",  # a "*" in a path is a star
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A repo that can be used.

    ``common`` is the git folder with objects and refs, ``root`` the working tree that belongs to
    it, ``None`` for a bare repo.
    """

    repo: Repo
    common: Path
    root: Path | None
    branch: Branch
    format: Format


def open_place(path: Path, branch: str) -> Place:
    """Look at a repo; :class:`StoreBroken` says what is wrong with it and how to mend it."""
    try:
        repo = Repo(path, expand_vars=False)
    except NoSuchPathError as error:
        raise StoreBroken(f"there is no repo at {path}") from error
    except (InvalidGitRepositoryError, GitError, OSError) as error:
        raise StoreBroken(f"{path} is not a git repo: {error}") from error
    git_dir, common = Path(repo.git_dir).resolve(), Path(repo.common_dir).resolve()
    # Whatever GIT_DIR says in our environment, this repo is meant.
    repo.git.set_persistent_git_options(git_dir=str(git_dir))
    repo.git.update_environment(**_QUIET)
    try:
        fmt = _format(repo, common)
        return Place(repo, common, _root(repo, common), _branch(repo, common, branch), fmt)
    except BaseException:
        repo.close()
        raise


def author(repo: Repo, wanted: str, otherwise: str) -> str:
    """``Name <address>`` of commits: as wanted, else what git itself would take, else the last."""
    if wanted:
        return _author(wanted)
    try:
        return _author(repo.git.var("GIT_AUTHOR_IDENT").rpartition(">")[0] + ">")
    except GitCommandError as error:
        if otherwise:
            return _author(otherwise)
        raise StoreBroken(
            "git does not know whose the commits are; set [publish] author ="
            ' "Name <you@example.com>", or run: git config --global user.name and user.email'
        ) from error


def _author(text: str) -> str:
    match = _AUTHOR.fullmatch(text)
    if match is None:
        raise StoreBroken(f'the author {text!r} does not read "Name <you@example.com>"')
    return f"{match[1]} <{match[2]}>"


def _format(repo: Repo, common: Path) -> Format:
    """How the repo names objects; refuses repos that hold less than all of them."""
    if (common / "shallow").exists():
        raise StoreBroken(f"{common} is a shallow clone; run: git fetch --unshallow")
    extensions = read_settings(repo, r"^extensions\.")
    if read_settings(repo, r"^remote\..*\.promisor$|^extensions\.partialclone$"):
        raise StoreBroken(f"{common} is a partial clone; clone it again without --filter")
    storage = extensions.get("extensions.refstorage", "files")
    if storage != "files":
        raise StoreBroken(f"{common} keeps its refs as {storage}; run: git refs migrate "
                          "--ref-format=files")  # fmt: skip
    return Format(extensions.get("extensions.objectformat", "sha1"))


def _root(repo: Repo, common: Path) -> Path | None:
    """The repo's own working tree, which is not the one of a linked worktree."""
    if read_settings(repo, r"^core\.bare$").get("core.bare") == "true":
        return None
    if Path(repo.git_dir).resolve() != common:
        return common.parent if common.name == ".git" else None
    tree = repo.working_tree_dir
    configured = read_settings(repo, r"^core\.worktree$").get("core.worktree")
    if configured:
        return (common / configured).resolve()
    return Path(tree).resolve() if tree else None


def _branch(repo: Repo, common: Path, wanted: str) -> Branch:
    """The branch to work on: the one named, or the one that the repo's HEAD names."""
    head = (Path(repo.git_dir) / "HEAD").read_text("utf-8").strip()
    current = head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else ""
    name = wanted or current
    if not name:
        raise StoreBroken(f"HEAD of {repo.git_dir} is detached; set [site] branch")
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
