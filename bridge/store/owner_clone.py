"""Changes to the owner's clone: git takes pushes there and updates its files, and ignores ours."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import git

from bridge.store import StoreBroken
from bridge.store.setup import open_repo, reason_of
from bridge.store.sync.local_remote import HOOK_MARK

#: In the configuration of the owner's clone: the repo of the bridge that pushes into it.
_PUSHED_FROM = "micropub-bridge.repo"
_HOOK = Path(__file__).with_name("push-to-checkout.sh")


def allow_pushes_into(clone: Path) -> str:
    """Have git update the owner's working tree with every push. Returns what was done.

    Nothing else in the clone changes. Raises :class:`StoreBroken`.
    """
    with open_repo(clone) as repo:
        try:
            repo.git.config("receive.denyCurrentBranch", "updateInstead")
            hooks = Path(clone, repo.git.rev_parse("--git-path", "hooks"))
            elsewhere = repo.git.config("--get", "core.hooksPath", with_exceptions=False)
            if (clone / ".git").is_file() and repo.git_dir == repo.common_dir:
                repo.git.config("micropub-bridge.worktree", str(clone))
        except git.GitCommandError as error:
            raise StoreBroken(f"{clone} cannot be set up: {reason_of(error)}") from error
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
    with open_repo(clone) as repo:
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


def keep_out(root: Path, paths: Iterable[Path]) -> None:
    """Have git ignore files of ours in the owner's working tree, by ``info/exclude``, which is not
    committed.

    Folders with committed files are left out: git would silently ignore the owner's new files
    there.
    """
    below = [path for path in paths if path.is_relative_to(root)]
    if not below:
        return
    with open_repo(root) as repo:
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


def commit_file(folder: Path, path: str, change: Callable[[], None], message: str) -> None:
    """Change one file of a working tree and commit that alone.

    Raises :class:`StoreBroken` where the owner has changed it and not committed that.
    """
    with open_repo(folder) as repo:
        if repo.git.status("--porcelain", "--", path):
            raise StoreBroken(f"{folder / path} has changes of yours: commit them first")
        change()
        repo.git.commit("--quiet", "--no-gpg-sign", "--message", message, "--", path)
