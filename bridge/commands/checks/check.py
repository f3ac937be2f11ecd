"""``micropub-bridge check``: runs every check and prints a line for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import replace

from bridge.commands.checks import Finding
from bridge.commands.checks.outside import check_outside
from bridge.commands.checks.repo import check_repo
from bridge.commands.checks.site import check_site
from bridge.commands.checks.syndication import check_syndication
from bridge.commands.serve import add_plugin_to_pythonpath
from bridge.runtime import private
from bridge.settings import Settings
from bridge.store.git import GitStore


def check(settings: Settings, file: Path) -> int:
    """Print the findings; returns the exit status, 1 if anything is broken. ``file`` is the
    settings file.
    """
    add_plugin_to_pythonpath()
    return asyncio.run(_report(settings, file))


def prove(settings: Settings) -> None:
    """Build the site once with the bridge and once with ``pelican``, and print what differs."""
    add_plugin_to_pythonpath()
    asyncio.run(_prove(settings))


async def _prove(settings: Settings) -> None:
    print("The site is built once with the bridge and once with pelican:", flush=True)
    # Submodules and large files are stored there from now on.
    private.make_folder(settings.site.state)
    store = GitStore(
        settings.site.repo, branch=settings.site.branch, author=settings.publish.author
    )
    try:
        head = store.head()
        if head is not None:
            async for finding in check_site(store, head, settings):
                print(_once_added(finding), flush=True)
    finally:
        store.close()


def _once_added(finding: Finding) -> Finding:
    """Downgrade a finding that follows from lines that ``init`` has just asked for."""
    if finding.subject != "plugin" or finding.is_good:
        return finding
    remedy = "Add the lines above, commit them, and run check."
    return replace(finding, broken=False, remedy=remedy)


async def _report(settings: Settings, file: Path) -> int:
    broken = 0
    async for finding in _findings(settings, file):
        print(finding, flush=True)
        broken += finding.broken and not finding.is_good
    print(f"\n{broken} to fix." if broken else "\nEverything works.")
    return 1 if broken else 0


async def _findings(settings: Settings, file: Path) -> AsyncIterator[Finding]:
    async for finding in check_repo(settings, file):
        yield finding
    async for finding in check_outside(settings):
        yield finding
    async for finding in check_syndication(settings):
        yield finding
