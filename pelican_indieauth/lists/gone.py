"""Pages at the URLs of deleted posts, which say that the post is gone.

The bridge leaves a file for each in ``mentions/gone/`` of the content folder. A webmention receiver
that fetches the URL again reads there that the post was deleted, whatever status the host sends
(Webmention 3.1.5).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pelican_indieauth.site import KEY, PluginSettings

logger = logging.getLogger(__name__)

FOLDER = "gone"
#: The tombstones that a build has written, by its output folder. They are not kept in the settings,
#: which other plugins keep, and which must not look as if pages changed them.
WRITTEN: dict[str, list[str]] = {}
_PLAIN = re.compile(r"/[A-Za-z0-9/._~-]*")
#: The default folder; tombstones are written even where mentions are not shown.
_MENTIONS = "mentions"
_MOST = 100_000
_MOST_BYTES = 100_000


def addresses(output_path: str, settings: Mapping[str, Any]) -> list[str]:
    """The URL paths of the tombstones in this build that are valid in any web server's
    configuration.
    """
    root = urlsplit(str(settings.get("SITEURL") or "")).path.rstrip("/")
    found: list[str] = []
    for page in WRITTEN.get(output_path, ()):
        path = f"{root}/{page}"
        folder = path.removesuffix("index.html")
        found += [each for each in dict.fromkeys((folder, path)) if _PLAIN.fullmatch(each)]
    return found


def pages(settings: Mapping[str, Any]) -> Iterator[str]:
    """The output paths of deleted posts. Invalid files are skipped with a warning."""
    site: PluginSettings | None = settings.get(KEY)
    # A subsite for another language has no tombstones of the main site.
    if site is None or site.home != site.root:
        return
    folder = Path(settings["PATH"], site.mentions or _MENTIONS, FOLDER)
    for file in islice(sorted(folder.glob("*.json")), _MOST):
        try:
            tombstone = json.loads(file.read_bytes()[:_MOST_BYTES])
            found = tombstone["pages"]
            if not isinstance(found, list):
                raise TypeError(f"{found!r} is not a list")
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("%s is not a valid tombstone: %s", file, error)
            continue
        yield from (page for page in found if isinstance(page, str))
