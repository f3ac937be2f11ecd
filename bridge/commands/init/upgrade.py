"""``init`` with an existing ``bridge.toml``: upgrades a set-up of an earlier version.

Earlier versions could commit in the owner's own clone, and kept their state in the repo's folder.
Now the bridge has a bare clone of its own and keeps its state in ``[site] state``.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from bridge.commands.init.existing_site import find_site
from bridge.commands.progress import step
from bridge.errors import Refused
from bridge.runtime.command_name import command
from bridge.settings import Settings, SettingsError
from bridge.settings_file import load
from bridge.store import StoreBroken
from bridge.store.owner_clone import allow_pushes_into, keep_out
from bridge.store.repo import EARLIER_STATE
from bridge.store.setup import (
    OwnerRepo,
    clone_again,
    clone_bare,
    git_folder,
    inspect_clone,
    is_remote,
)

#: State that cannot be derived from the repo, and its present path.
_KEPT = {
    "media/files": "keep/media/files",
    "media/uploads.jsonl": "keep/media/uploads.jsonl",
    "rebuild/output.json": "rebuild/output.json",
    "rebuild/built.json": "rebuild/built.json",
    "rebuild/undeployed.json": "rebuild/undeployed.json",
}


def upgrade(config: Path, site: str, remote: str) -> str:
    """Upgrade an earlier set-up; returns what was done, for the owner.

    ``config`` is kept except for settings that must change. ``site`` and ``remote`` are as for
    :func:`~bridge.commands.init.init.init`. Raises :class:`~bridge.errors.Refused` where there is
    nothing to do, or something is in the way.
    """
    settings = load(config, os.environ)
    repo = settings.site.repo
    try:
        if not repo.exists():
            return _make_again(config, settings, site, remote)
        if not is_remote(str(repo)):
            return _leave_clone(config, settings, remote)
        if not (repo / EARLIER_STATE).is_dir():
            raise Refused(
                f"{config} exists already. `{command()} check` tests the set-up again. Edit that"
                " file, or delete it to start over."
            )
        return f"Kept {config}.\n{_move_state(repo, settings)}"
    except StoreBroken as error:
        raise Refused(f"{error}.") from error


def _make_again(config: Path, settings: Settings, site: str, remote: str) -> str:
    """Create the missing bare clone that ``bridge.toml`` names."""
    repo = settings.site.repo
    if not site:
        raise Refused(
            f"{config} exists, but its repo, {repo}, does not. To create it again,"
            f" give your clone or its remote: {command()} init CLONE"
        )
    found = OwnerRepo(Path(), site, settings.site.branch, "")
    if not is_remote(site):
        found = inspect_clone(Path(site), remote)
    with step("Cloning the site"):
        branch = settings.site.branch or found.branch
        clone_bare(found.remote, repo, branch, settings.publish.token)
    return f"Kept {config} and created {repo}. {_set_up(found)}"


def _leave_clone(config: Path, settings: Settings, remote: str) -> str:
    """Replace the owner's clone by a bare one that has all its commits, pushed or not."""
    clone = settings.site.repo
    found = inspect_clone(clone, remote or ("" if settings.publish.remote else str(clone)))
    bare = config.parent.resolve() / "site.git"
    changes: dict[tuple[str, str], str] = {("site", "repo"): str(bare)}
    if settings.publish.remote != "origin":
        changes["publish", "remote"] = "origin"
    if not settings.publish.author and found.author:
        changes["publish", "author"] = found.author
    if not settings.rebuild.output and settings.rebuild.mode in {"resident", "command"}:
        # Pages stay in the folder that a web server may be serving.
        site = find_site(found.root, found.root, named=settings.site.settings)
        changes["rebuild", "output"] = str(site.output)
    text = _changed(config, changes)
    clone_again(found, bare, settings.site.branch)
    moved = _move_state(clone, settings)
    names = ("bridge.toml", "site.git", "state", "indieauth.sqlite*")
    keep_out(found.root, [config.parent.resolve() / name for name in names])
    remote = _set_up(found)
    new = config.with_name(f"{config.name}.new")
    new.write_text(text, encoding="utf-8")
    shutil.copymode(config, new)
    new.replace(config)
    changed_settings = "\n".join(
        f"    [{s}] {key} = {value!r}" for (s, key), value in changes.items()
    )
    named = "BRIDGE_SITE__REPO" in os.environ
    also = f"\nSet BRIDGE_SITE__REPO to {bare}, too." if named else ""
    return f"""\
The bridge now has a bare clone of its own. These settings in {config} have changed:

{changed_settings}

{remote}
{moved}{also}"""


def _set_up(found: OwnerRepo) -> str:
    if is_remote(found.remote):
        return f"Posts are pushed to {found.remote}."
    return (
        f"Posts are pushed to your clone, {found.remote}. {allow_pushes_into(Path(found.remote))}"
    )


def _move_state(repo: Path, settings: Settings) -> str:
    """Move the state out of the repo's folder. Derived state is dropped."""
    common = git_folder(repo)
    earlier, state = common / EARLIER_STATE, settings.site.state
    if not earlier.is_dir():
        return ""
    _unlock(common, earlier)
    moves = dict(_KEPT)
    if not settings.rebuild.output:
        moves["output"] = "output"
    for old, new in moves.items():
        source, target = earlier / old, state / new
        if source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    # If the state is on another disk, the copies are on it before the originals are removed.
    os.sync()
    shutil.rmtree(earlier)
    return f"The bridge's state was moved from {common} to {state}."


def _unlock(common: Path, earlier: Path) -> None:
    """Remove locks that a killed earlier version left: hard links of its own files."""
    own = {file.stat().st_ino for file in earlier.glob("tmp/*")}
    for lock in [*common.glob("*.lock"), *common.rglob("refs/heads/**/*.lock")]:
        if lock.stat().st_ino in own:
            lock.unlink()


def _changed(config: Path, changes: dict[tuple[str, str], str]) -> str:
    """The text of ``bridge.toml`` with changed values, otherwise unchanged."""
    text = config.read_text(encoding="utf-8")
    expected: dict[str, Any] = tomllib.loads(text)
    for (section, key), value in changes.items():
        text = _set(text, section, key, value)
        expected.setdefault(section, {})[key] = value
    try:
        if tomllib.loads(text) == expected:
            return text
    except tomllib.TOMLDecodeError:
        pass  # an unusual notation: the owner has to change it
    todo = "; ".join(f"[{section}] {key} = {value!r}" for (section, key), value in changes.items())
    raise SettingsError(str(config), "", "it cannot be changed automatically", f"Set {todo}")


def _set(text: str, section: str, key: str, value: str) -> str:
    line = f"{key} = {_quote(value)}"
    head = re.search(rf"(?m)^\[{section}\][^\n]*\n?", text)
    if head is None:
        return f"{text.rstrip()}\n\n[{section}]\n{line}\n"
    rest = text[head.end() :]
    end = re.search(r"(?m)^\[", rest)
    body, after = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    present = re.compile(rf'(?m)^{key}\s*=\s*("[^"\n]*"|\'[^\'\n]*\')')
    body = present.sub(lambda _: line, body, count=1) if present.search(body) else f"{line}\n{body}"
    start = head[0] if head[0].endswith("\n") else f"{head[0]}\n"
    return text[: head.start()] + start + body + after


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
