"""Makes the site's processes as the settings want them."""

from __future__ import annotations

from pathlib import Path

from bridge.settings import Settings, prefix_of
from bridge.site.current import CurrentSite, VersionFiles
from bridge.site.messages import Start
from bridge.site.process import SiteProcess
from bridge.site.starting import Sandbox
from bridge.store import ContentStore


def make_sandbox(settings: Settings, state: Path, *, objects: Path | None = None) -> Sandbox:
    """What the site's code may see. ``objects`` are those of the repo, for ``git log``."""
    return Sandbox(
        state=state,
        folders=settings.site.folders,
        objects=objects,
        extra=settings.site.environment,
        protected=(settings.site.repo, settings.indieauth.database, state, Path.cwd()),
    )


def start_of(settings: Settings, checkout: Path) -> Start:
    """What the site's process is told."""
    content = settings.content.folder
    return Start(
        checkout=str(checkout),
        settings=settings.site.settings,
        # Nothing said would be the folder that the site's settings name.
        content=content or ".",
        uploads=f"{prefix_of(content)}{settings.media.folder}",
        template=settings.content.path,
        siteurl=settings.site.me,
        run_in=settings.run_in,
    )


def make_current_site(
    settings: Settings, store: ContentStore, checkout: VersionFiles, sandbox: Sandbox
) -> CurrentSite:
    """The site, read in ``checkout``."""
    start = start_of(settings, checkout.folder)
    return CurrentSite(
        store,
        checkout,
        lambda: SiteProcess(start, sandbox),
        content=settings.content.folder,
        uploads=start.uploads,
        mentions=settings.webmention.folder,
    )
