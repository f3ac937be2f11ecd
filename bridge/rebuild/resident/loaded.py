"""Loads a site's settings and plugins once, and detects when a file they have read has changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from msgspec import Struct
from pelican import Pelican
from pelican.settings import read_settings

from bridge.rebuild.local.plain_pelican import keep_git_out, owners_path, unreadable
from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.pelican import plugins
from bridge.rebuild.resident.pelican.reading import CachedFileChanged, stamps
from bridge.rebuild.resident.reuse import opened
from bridge.site.pelican.loading import run_as_pelican


class SitePaths(Struct, frozen=True):
    """The paths of a site: the checkout; settings, content and current folder in it; the staging
    folder.

    ``own`` are folders in the checkout of files that come and go with posts. ``cache`` is a file
    for what readers make of posts, ``rest`` a hash of everything in the site that is not a post.
    """

    checkout: Path
    settings: str
    content: str
    staged: Path
    own: tuple[str, ...]
    cache: Path | None = None
    rest: str = ""
    run_in: str = ""


class LoadedSite:
    """Pelican with a site's settings and plugins. Raises :class:`UnsupportedSiteError` for some.

    ``unreadable`` are folders of plugins that may not be read.
    """

    def __init__(self, site_paths: SitePaths) -> None:
        self._checkout = site_paths.checkout
        opened.watch(site_paths.checkout / site_paths.content)
        with opened.noting() as at_start:
            self.pelican, names_plugins = _pelican(site_paths)
        self._has_read = stamps(at_start)
        self._history = self._git_history() if opened.asked_git() else None
        self.unreadable = unreadable(self.pelican.settings.get("PLUGIN_PATHS") or ())
        opened.note_denied(self.unreadable)
        plugins.check(self.pelican, names_plugins=names_plugins)

    def also_read(self, paths: Collection[str]) -> None:
        """Note files that were read later, and whose contents are cached: by compiled templates."""
        self._has_read |= stamps(paths)

    def check_unchanged(self) -> None:
        """Raise :class:`~.reading.CachedFileChanged` if the site has to be loaded again."""
        now = stamps(self._has_read)
        if now != self._has_read:
            path = min(path for path, stamp in now.items() if stamp != self._has_read[path])
            name = Path(path)
            if name.is_relative_to(self._checkout):
                name = name.relative_to(self._checkout)
            raise CachedFileChanged(
                f"the settings, a plugin or a template look at {name}, which has changed"
            )
        if self._history is not None and self._git_history() != self._history:
            raise CachedFileChanged("the settings or a plugin ask git, and there is a new commit")

    def _git_history(self) -> tuple[bytes, ...]:
        """What git's answers depend on: the commit, and the repo's tags."""
        files = [self._checkout / ".git" / name for name in ("HEAD", "packed-refs")]
        return tuple(file.read_bytes() if file.exists() else b"" for file in files)


def _pelican(site_paths: SitePaths) -> tuple[Pelican, bool]:
    """Pelican with the site's settings and plugins, as its command line makes it.

    And whether the settings name plugins.
    """
    root = site_paths.checkout
    content, settings_file = root / site_paths.content, root / site_paths.settings
    run_as_pelican(root / site_paths.run_in, content, settings_file)
    # Git has no empty folders, and Pelican needs this one even without a post.
    content.mkdir(parents=True, exist_ok=True)
    override = {
        "OUTPUT_PATH": str(site_paths.staged),
        "DEBUG": False,
        # What Pelican would cache on disk is cached here.
        "CACHE_CONTENT": False,
        "LOAD_CONTENT_CACHE": False,
    }
    with owners_path(str(content), str(root)):
        settings = read_settings(str(settings_file), override=override)
    if Path(settings["PATH"]).parent != content.parent:
        raise UnsupportedSiteError(
            f"PATH leads through a link to {site_paths.content}, from which other files are beside"
            " the posts",
            "Name that folder in PATH, if the posts allow it",
        )
    settings["PATH"] = str(content)
    # Where none are named Pelican loads all that are installed, and puts their names there.
    names_plugins = settings.get("PLUGINS") is not None
    pelican = Pelican(settings)
    keep_git_out(pelican.settings)
    return pelican, names_plugins
