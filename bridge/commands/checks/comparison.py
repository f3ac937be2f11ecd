"""Compares the bridge's build with that of ``pelican`` in a fresh clone of the repo."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bridge.commands.checks import Finding
from bridge.commands.progress import step
from bridge.rebuild.local.files import Tree
from bridge.rebuild.rebuilder import importing_from
from bridge.rebuild.resident.verify import differing, stable
from bridge.runtime import private, process
from bridge.runtime.command_name import DEFAULT_FILE
from bridge.runtime.confinement import Grants, all_but
from bridge.settings import Settings
from bridge.site.launch import confined_argv, unconfined
from bridge.store import StoreBroken, Version
from bridge.store.git import GitStore
from bridge.store.setup import clone_recursively, only_in_folder
from bridge.store.sync.transport import Transport

_SECONDS = 900.0
_SHOWN = 10
_TIME = re.compile(rb"\b\d\d:\d\d(:\d\d(\.\d+)?)?\b")
_USUAL_CAUSES = "Look for a plugin that uses the network, the time, or files outside of the repo."


async def check_comparison(
    store: GitStore, head: Version, built: Path, settings: Settings, causes: Sequence[str]
) -> Finding:
    """Compare the output in ``built``, made by the bridge, with that of ``pelican``.

    ``causes`` are known limits of the bridge's build that may explain differences.
    """
    folder = built.with_name("plain")
    try:
        with step("Making a fresh clone of the repo"):
            await asyncio.to_thread(_clone, store, head, settings, folder / "clone")
        other, total, has_git = await _differing_files(store, head, built, settings, folder)
    except StoreBroken as error:
        return Finding(
            "comparison",
            f"the repo cannot be cloned: {error}",
            "Make `git clone --recurse-submodules` work for your repo.",
            broken=False,
        )
    except _PelicanFailed as failure:
        return Finding(
            "comparison",
            f"`pelican` fails in a fresh clone of the repo: {failure}",
            "Commit the files that it needs, or name their folder in the settings.",
            broken=False,
        )
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return _finding(other, total, causes, has_git=has_git)


async def _differing_files(
    store: GitStore, head: Version, built: Path, settings: Settings, folder: Path
) -> tuple[Sequence[str], int, bool]:
    """The files that differ from those of ``pelican`` in ``folder``, the number of all files, and
    whether ``pelican`` copies those of git, too.

    Raises :class:`_PelicanFailed`, and :class:`~bridge.store.StoreBroken` for another clone.
    """
    with step("Building the clone with pelican"):
        await _build(settings, folder, "first")
    plain = {*Tree(folder / "first").walk()}
    names = {name for name in plain.union(Tree(built).walk()) if not _is_git_data(name)}
    other = await asyncio.to_thread(differing, built, folder / "first", names)
    if other:
        # A page with the time of the build differs from itself. A fresh clone has nothing that a
        # build leaves, such as Pelican's cache.
        with step("Building another clone, to find what differs with each build"):
            await asyncio.to_thread(shutil.rmtree, folder / "clone", ignore_errors=True)
            await asyncio.to_thread(_clone, store, head, settings, folder / "clone")
            await _build(settings, folder, "second")
        other = await asyncio.to_thread(stable, folder / "first", folder / "second", other)
        other = [name for name in other if not _differ_by_time(built, folder / "first", name)]
    return other, len(names), any(map(_is_git_data, plain))


def _is_git_data(name: str) -> bool:
    """Whether a file belongs to git's own data in a clone, which the bridge does not publish."""
    return ".git" in name.split("/")


def _finding(
    other: Sequence[str], total: int, causes: Sequence[str], *, has_git: bool = False
) -> Finding:
    """The finding on the files that differ, ``other``, out of ``total``. ``has_git``: ``pelican``
    copies what git keeps to the output.
    """
    if not other and has_git:
        return Finding(
            "comparison",
            f"`pelican` builds the same {total} files in a clone, and copies .git, which contains"
            " all drafts and deleted posts",
            'The bridge does not publish it. For other hosts, add ".git" to IGNORE_FILES.',
            broken=False,
        )
    if not other:
        return Finding("comparison", f"`pelican` builds the same {total} files in a clone")
    more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
    return Finding(
        "comparison",
        f"{len(other)} of {total} files differ from what `pelican` builds in a clone:"
        f" {', '.join(other[:_SHOWN])}{more}",
        f"Possible causes: {'; '.join(causes)}" if causes else _USUAL_CAUSES,
        broken=False,
    )


def check_folder(settings: Settings, store: GitStore) -> Finding | None:
    """Uncommitted and ignored files in the owner's clone, if that is on this machine;
    ``None`` if there are none.
    """
    name, state = settings.publish.remote, settings.site.state
    if not name:
        return None
    transport = Transport(store.bare_repo, name, settings.publish.token, state, store.disk)
    if not transport.url() or transport.local is None:
        return None
    names = only_in_folder(transport.local.path)
    if not names:
        return None
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return Finding(
        "your folder",
        f"{transport.local.path} has files that are not committed:"
        f" {', '.join(names[:_SHOWN])}{more}",
        "Commit the ones that the site needs: the bridge builds from commits.",
        broken=False,
    )


def _grants(settings: Settings, folder: Path) -> Grants:
    hidden = [
        *(settings.site.repo, settings.site.state, DEFAULT_FILE.absolute()),
        *private.database_files(settings.indieauth.database),
    ]
    write = (folder, Path(tempfile.gettempdir()), Path.home() / ".cache")
    return all_but(hidden, write=write)


def _differ_by_time(built: Path, plain: Path, name: str) -> bool:
    """Whether two files differ only in times of day, such as those of a sitemap."""
    one, other = built / name, plain / name
    if not (one.is_file() and other.is_file()):
        return False
    return _TIME.sub(b"", one.read_bytes()) == _TIME.sub(b"", other.read_bytes())


class _PelicanFailed(Exception):
    """The build failed; the text is the end of its output."""


def _clone(store: GitStore, head: Version, settings: Settings, folder: Path) -> None:
    transport = Transport(
        store.bare_repo, settings.publish.remote, "", settings.site.state, store.disk
    )
    clone_recursively(store.bare_repo.common, transport.url(), head, folder)


async def _build(settings: Settings, folder: Path, output: str) -> None:
    """Build as the owner would by hand, in this command's environment.

    The site's code sees all that it would then, except for the bridge's secrets and the owner's.
    """
    clone, file = folder / "clone", settings.site.settings
    given = process.environment(settings.site.environment)
    environment = importing_from((clone / file).parent, given)
    # Without the plugin the order of posts with equal dates depends on the hash seed.
    environment["PYTHONHASHSEED"] = "0"
    # Pelican breaks its messages into lines as wide as the terminal, in the middle of words.
    environment["COLUMNS"] = "1000"
    content = clone / settings.content.folder
    content.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pelican", str(content), "-s", str(clone / file)]
    argv += ["-o", str(folder / output)]
    if settings.rebuild.confined:
        grants = await asyncio.to_thread(_grants, settings, folder)
        argv = [*confined_argv(argv, grants, folder / "grants.json")]
        environment = unconfined(environment)
    try:
        ended = await process.run(
            argv,
            folder=clone / settings.run_in,
            env=environment,
            seconds=_SECONDS,
        )
    except process.TookTooLong as error:
        raise _PelicanFailed(str(error)) from error
    if ended.code != 0:
        raise _PelicanFailed(" ".join(ended.text.split())[-500:])
