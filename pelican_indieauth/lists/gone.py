"""Pages at the addresses of deleted posts: they say that the post is gone.

The bridge leaves a file for each such post in ``mentions/gone/`` of the content folder. Who was
told of the post by a webmention and asks again reads there that it is gone for good, whatever
status the host answers with (Webmention 3.1.5).
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

from pelican_indieauth.site import KEY, Site

logger = logging.getLogger(__name__)

FOLDER = "gone"
#: Where a build's settings have the tombstones that it has written.
WRITTEN = "indieauth_gone"
_PLAIN = re.compile(r"/[A-Za-z0-9/._~-]*")
#: Where what others say of posts is not shown, deleted posts are gone all the same.
_MENTIONS = "mentions"
_MOST = 100_000
_MOST_BYTES = 100_000


def addresses(settings: Mapping[str, Any]) -> list[str]:
    """The paths, on the site's host, at which this build has left a tombstone: those that the
    settings of any web server can hold."""
    root = urlsplit(str(settings.get("SITEURL") or "")).path.rstrip("/")
    found: list[str] = []
    for page in settings.get(WRITTEN, ()):
        path = f"{root}/{page}"
        folder = path.removesuffix("index.html")
        found += [each for each in dict.fromkeys((folder, path)) if _PLAIN.fullmatch(each)]
    return found


def pages(settings: Mapping[str, Any]) -> Iterator[str]:
    """The addresses of deleted posts, as their pages were saved. What is no such file is passed
    over with a warning."""
    site: Site | None = settings.get(KEY)
    # In a sub-site of another language there is nothing of the main one.
    if site is None or site.home != site.root:
        return
    folder = Path(settings["PATH"], site.mentions or _MENTIONS, FOLDER)
    for file in islice(sorted(folder.glob("*.json")), _MOST):
        try:
            told = json.loads(file.read_bytes()[:_MOST_BYTES])
            found = told["pages"]
            if not isinstance(found, list):
                raise TypeError(f"{found!r} is not a list")
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("%s does not say which page is gone: %s", file, error)
            continue
        yield from (page for page in found if isinstance(page, str))
