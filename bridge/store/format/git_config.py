"""Reads git's own configuration, from every file that it has."""

from __future__ import annotations

from git import GitCommandError, Repo


def read_settings(repo: Repo, pattern: str) -> dict[str, str]:
    """The settings whose names (in lower case, but for the middle part) match; the last wins."""
    try:
        lines = repo.git.config("--null", "--get-regexp", pattern).split("\0")
    except GitCommandError:
        return {}  # none matches
    return dict(line.split("\n", 1) for line in lines if "\n" in line)
