"""The resident build: a process that keeps Pelican and the parsed posts in memory.

The bridge talks to it through :mod:`.builder`; everything else in this folder runs in the process
itself (``python -m bridge.rebuild.resident``), so that the bridge never imports Pelican for it.

Read in this order: :mod:`.warm_site` (one build), :mod:`.pelican.reading` (the cache of parsed
files), :mod:`.pelican.planning` (which pages there will be), :mod:`.reuse.templates` and
:mod:`.reuse.trace` (what a page is made from), :mod:`.reuse.inputs` (whether that has changed),
:mod:`.pelican.plugins` (which plugins are supported).
"""

from __future__ import annotations

from importlib import metadata

#: The first Pelican with all the parts that are used here.
_OLDEST = (4, 12)


class UnsupportedSiteError(Exception):
    """The resident build does not support this site. The text says why, ``remedy`` what helps."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


#: What helps against a Pelican that is too old.
NEWER_PELICAN = "Install a newer Pelican, if the theme and the plugins allow it"


def too_old() -> str | None:
    """Why the installed Pelican cannot be kept in memory; ``None`` if it can."""
    version = metadata.version("pelican")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= _OLDEST:
        return None
    oldest = ".".join(map(str, _OLDEST))
    return f"Pelican {version} is older than the resident build needs ({oldest})"
