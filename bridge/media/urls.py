"""Where a media file is: its path in the content folder, and the URL at the bridge."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

#: What a path in the media folder may be made of: no hidden file, nothing that leads upwards.
_SEGMENT = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,255}")


class Addresses:
    """Paths to URLs and back.

    ``folder`` is the media folder inside the content folder, ``public_url`` where the world
    reaches the bridge. The URL does not show the folder's name: it always begins with ``/media/``.
    """

    def __init__(self, folder: str, public_url: str) -> None:
        self._prefix = f"{folder}/"
        self._base = f"{public_url.rstrip('/')}/media/"

    def url_of(self, path: str) -> str:
        """Where the bridge serves a path."""
        return self._base + quote(path.removeprefix(self._prefix))

    def path_of(self, url: str) -> str | None:
        """The path behind a URL of the bridge's, ``None`` for any other. Nothing is looked up."""
        base = urlsplit(self._base)
        try:
            given = urlsplit(url)
        except ValueError:
            return None
        origin = (given.scheme, given.netloc.lower())
        if origin != (base.scheme, base.netloc.lower()) or given.query:
            return None
        if not given.path.startswith(base.path):
            return None
        return self.path_at(unquote(given.path.removeprefix(base.path)))

    def path_at(self, tail: str) -> str | None:
        """The path for what stands behind ``/media/`` in a URL; ``None`` where none can be."""
        path = self._prefix + tail
        return path if self.is_media(path) else None

    def is_media(self, path: str) -> bool:
        """Whether a path is inside the media folder, and of a form that a file there may have."""
        if not path.startswith(self._prefix):
            return False
        inside = path.removeprefix(self._prefix)
        return all(_SEGMENT.fullmatch(part) for part in inside.split("/"))
