"""``micropub-bridge check``: every check, a line each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from bridge.checks import Finding
from bridge.checks.inside import check_inside
from bridge.checks.outside import check_outside
from bridge.serve import lend_plugin
from bridge.settings import Settings


def check(settings: Settings, file: Path) -> int:
    """Print what was found. ``file`` is where the settings are. Returns 1 if anything is broken."""
    lend_plugin()
    return asyncio.run(_report(settings, file))


async def _report(settings: Settings, file: Path) -> int:
    broken = 0
    async for finding in _findings(settings, file):
        print(finding, flush=True)
        broken += finding.broken and not finding.is_good
    print(f"\n{broken} to mend." if broken else "\nEverything works.")
    return 1 if broken else 0


async def _findings(settings: Settings, file: Path) -> AsyncIterator[Finding]:
    async for finding in check_inside(settings, file):
        yield finding
    async for finding in check_outside(settings):
        yield finding
