"""The resident build: one process that keeps Pelican warm.

The bridge talks to it from :mod:`.builder`; everything else in this folder runs in the process
itself (``python -m bridge.rebuild.resident``), so that the bridge never imports Pelican for it.

Read in this order: :mod:`.site` (one build), :mod:`.reading` (what is kept of parsed files),
:mod:`.planning` (which pages there will be), :mod:`.tracing` and :mod:`.facts` (what a page was
made from, and whether that is still so), :mod:`.plugins` (which plugins this bears).
"""

from __future__ import annotations

from importlib import metadata

#: The first Pelican with all the parts that are used here.
_OLDEST = (4, 12)


def too_old() -> str | None:
    """Why the Pelican that is installed is not one to be kept warm; ``None`` if it is."""
    version = metadata.version("pelican")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= _OLDEST:
        return None
    oldest = ".".join(map(str, _OLDEST))
    return f"Pelican {version} is older than the resident build needs ({oldest})"
