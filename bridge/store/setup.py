"""Making the repos that a site lives in: for ``init`` and ``demo``, never while serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import git

from bridge.store import StoreBroken


@dataclass(frozen=True, slots=True)
class Found:
    """What ``init`` wants to know of the owner's repo. ``origin`` is a URL, ``""`` for none."""

    root: Path
    origin: str
    branch: str


def find_repo(folder: Path) -> Found | None:
    """The repo that ``folder`` is part of; ``None`` where there is none, or no commit in it."""
    try:
        with git.Repo(folder, search_parent_directories=True) as repo:
            root = Path(repo.working_tree_dir or repo.git_dir)
            origins = [remote.url for remote in repo.remotes if remote.name == "origin"]
            repo.head.commit  # noqa: B018 - raises where nothing is committed
            return Found(root, next(iter(origins), ""), repo.head.ref.name)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError, TypeError):
        return None


def clone_bare(source: str, target: Path) -> None:
    """The bridge's own clone of ``source``, which becomes its ``origin``.

    Raises :class:`StoreBroken` with git's own reason.
    """
    try:
        with git.Repo.clone_from(source, target, bare=True) as repo:
            # A bare clone has no rule for fetching: give it the one that every other clone has.
            with repo.config_writer() as config:
                config.set_value('remote "origin"', "fetch", "+refs/heads/*:refs/remotes/origin/*")
            repo.remote("origin").fetch()
    except git.GitCommandError as error:
        reason = error.stderr.strip().removeprefix("stderr:").strip(" '\n")
        raise StoreBroken(f"{source} cannot be cloned: {reason}") from error


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


def try_push(folder: Path, remote: str, branch: str) -> str | None:
    """What a push would be refused for, ``None`` if it would not. Nothing is pushed.

    Tried with a branch of its own name, since a remote that has moved on is no defect.

    Asks no question on a terminal.
    """
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    try:
        with git.Repo(folder) as repo, repo.git.custom_environment(**quiet):
            name = branch or repo.head.ref.name
            try:
                repo.git.fetch(remote, "--quiet")
                trial = f"refs/heads/{name}:refs/heads/micropub-bridge-check"
                repo.git.push(remote, trial, "--dry-run", "--quiet")
            except git.GitCommandError as error:
                last = error.stderr.strip().strip("' ").splitlines()[-1:] or ["no reason given"]
                return last[0]
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        return f"no repo at {error}"
    return None
