"""The checks of the repo, its remote, and what is private."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import git

from bridge.commands.checks import Finding
from bridge.commands.checks.site import check_site
from bridge.rebuild.output_folder import ONLY_PAGES, others_in, why_not, writes_pages
from bridge.runtime import private
from bridge.settings import Settings
from bridge.store import StoreError, Version
from bridge.store.git import GitStore
from bridge.store.sync.refusals import remedy
from bridge.store.sync.remote import LAST_ERROR
from bridge.store.sync.round import SyncRound
from bridge.store.sync.transport import Transport, TransportError

_LEAST_GIT = (2, 32)
#: Bytes that a post and its index need at least.
_LEAST_FREE = 1_000_000


async def check_repo(settings: Settings, file: Path) -> AsyncIterator[Finding]:
    """Check the repo first, which all other checks need. ``file`` is ``bridge.toml``."""
    try:
        store = GitStore(
            settings.site.repo, branch=settings.site.branch, author=settings.publish.author
        )
    except StoreError as error:
        yield Finding("repo", str(error), "See [site] repo and branch in bridge.toml.")
        return
    try:
        head = store.head()
        if head is None:
            yield Finding("repo", "its branch has no commit", "Commit your site there first.")
            return
        yield _check_access(store, settings)
        if too_old := _check_git(git.Git().version_info):
            yield too_old
        if unusable := await asyncio.to_thread(_check_output, settings, store):
            yield unusable
        yield _check_private(file, settings.site.state, settings)
        remote, newest = await asyncio.to_thread(_check_remote, store, head, settings)
        yield remote
        async for finding in check_site(store, newest, settings):
            yield finding
    finally:
        store.close()


def _check_access(store: GitStore, settings: Settings) -> Finding:
    state = settings.site.state
    try:
        private.make_folder(state)
    except OSError as error:
        remedy = "Create it for the user that runs the bridge, or set [site] state."
        return Finding("repo", f"the folder {state} cannot be created: {error.strerror}", remedy)
    places = [state, store.bare_repo.common, store.bare_repo.common / "objects"]
    full = next((place for place in places if shutil.disk_usage(place).free < _LEAST_FREE), None)
    if full is not None:
        return Finding("repo", f"the disk of {full} is full", "Make space there.")
    closed = next((place for place in places if not os.access(place, os.W_OK)), None)
    if closed is None:
        return Finding("repo", f"{settings.site.repo} can be read and written")
    return Finding(
        "repo",
        f"{closed} cannot be written",
        "Give the user that runs the bridge write access to all of it.",
    )


def _check_output(settings: Settings, store: GitStore) -> Finding | None:
    """Whether the bridge can write the pages, and may."""
    if not writes_pages(settings):
        return None
    if problem := why_not(settings, store):
        return Finding("output", f"[rebuild] output, {problem}", f"{ONLY_PAGES}.")
    output = Path(settings.rebuild.output)
    # Path.exists() raises an error for what is in a folder that may not be entered.
    there = next(each for each in (output, *output.parents) if os.path.exists(each))  # noqa: PTH110
    if os.access(there, os.W_OK | os.X_OK):
        warning = others_in(settings)
        remedy = "If these are not pages of this site, set [rebuild] output to a new folder."
        return Finding("output", warning, remedy, broken=False) if warning else None
    return Finding(
        "output",
        f"{there} cannot be written",
        "Make the user that runs the bridge its owner, or set [rebuild] output to another folder.",
    )


def _check_git(version: tuple[int, ...]) -> Finding | None:
    """``git repack --geometric`` is what keeps the number of packs small."""
    if version >= _LEAST_GIT:
        return None
    found, least = (".".join(map(str, each)) for each in (version, _LEAST_GIT))
    return Finding(
        "git",
        f"git {found} cannot combine small packs: with each post the repo gets slower",
        f"Install git {least} or newer.",
        broken=False,
    )


def _check_private(file: Path, state: Path, settings: Settings) -> Finding:
    """Check that other users cannot read secrets and drafts; restricts permissions where they
    could.
    """
    database = private.database_files(settings.indieauth.database)
    paths = [file, state, *database, *private.database_files(state / "index.sqlite")]
    opened = private.tighten(paths)
    if still := [str(path) for path in opened if private.is_open(path)]:
        return Finding(
            "privacy",
            f"other users of this machine can open {', '.join(still)}",
            f"As their owner run: chmod go= {' '.join(still)}",
            broken=False,
        )
    if opened:
        listed = ", ".join(str(path) for path in opened)
        return Finding(
            "privacy",
            f"{listed} could be opened by other users of this machine, which was corrected",
        )
    return Finding("privacy", "settings, state and database are accessible to this user only")


def _check_remote(store: GitStore, head: Version, settings: Settings) -> tuple[Finding, Version]:
    """Whether the remote can be used; and the commit to check, which is the remote's where that is
    what the bridge fetches as soon as it runs.
    """
    name = settings.publish.remote
    if not name:
        return Finding("remote", "none is configured ([publish] remote is empty)"), head
    state, token = settings.site.state, settings.publish.token
    transport = Transport(store.bare_repo, name, token, state, store.disk)
    if not transport.url():
        finding = Finding(
            "remote",
            f"the repo has no remote named {name!r}",
            f"git -C {settings.site.repo} remote add {name} URL, or set [publish] remote.",
        )
        return finding, head
    try:
        transport.fetch()
        transport.try_push()
        main = transport.main_branch()
    except TransportError as error:
        finding = Finding(
            "remote",
            f"{name} cannot be pushed to: {error}",
            remedy(str(error), settings.site.repo),
        )
        return finding, head
    sync = SyncRound(store, transport, lambda _: False)
    apart = sync.counts()
    newest = sync.theirs()
    if apart is not None and apart.behind and (said := _last_refusal(state)):
        # Hooks and rules of the remote's are not asked by the trial.
        finding = Finding(
            "remote",
            f"{name} lacks {apart.behind} of the bridge's commits. The last push failed: {said}",
            remedy(said, settings.site.repo),
        )
        return finding, head
    checked, fact = head, f"{name} can be read and pushed to"
    if newest is not None and apart is not None and apart.ahead and not apart.behind:
        checked, fact = newest, f"{fact}; its newest commit, {newest[:10]}, is checked here"
    ours = store.bare_repo.branch.name
    if main in {"", ours}:
        return Finding("remote", fact), checked
    finding = Finding(
        "remote",
        f"{fact}. Posts go to its branch {ours}, and the branch that is checked out there, or its"
        f" default branch, is {main}",
        f"If you have renamed it: stop the bridge, git -C {settings.site.repo} branch -m {ours}"
        f" {main}, correct [site] branch if it is set, and start it again.",
        # Without the branch nothing is pushed, unless it is one that is created again.
        broken=newest is None and not settings.site.branch,
    )
    return finding, checked


def _last_refusal(state: Path) -> str:
    """Why the bridge's last attempt failed; ``""`` if it did not."""
    try:
        return (state / LAST_ERROR).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
