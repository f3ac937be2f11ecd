"""No building here: another program watches the repo."""

from __future__ import annotations

from pathlib import Path

from bridge.rebuild import BuildStatus
from bridge.store import Version


class NoRebuild:
    """Takes note of changes and does nothing about them."""

    is_local = False
    output: Path | None = None
    previews: Path | None = None

    async def start(self) -> None:
        """Nothing to begin."""

    def changed(self, version: Version) -> None:
        """Another program finds it in the repo."""

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """No one here knows when a page is live, so waiting would be in vain."""
        del version, page, seconds
        return False

    def status(self) -> BuildStatus:
        """Always idle."""
        return BuildStatus()

    async def close(self) -> None:
        """Nothing to end."""
