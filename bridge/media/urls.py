"""Paths of media files in the content folder, and their URLs at the bridge."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

#: A path segment in the media folder: not hidden, not ``..``.
_SEGMENT = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,255}")


class UploadUrls:
    """Converts paths to URLs and back.

    ``folder`` is the media folder inside the content folder, ``public_url`` the bridge's public
    URL. URLs always begin with ``/media/``, whatever the folder's name.
    """

    def __init__(self, folder: str, public_url: str) -> None:
        self._prefix = f"{folder}/"
        self._base = f"{public_url.rstrip('/')}/media/"

    def url_of(self, path: str) -> str:
        """The URL of a path at the bridge."""
        return self._base + quote(path.removeprefix(self._prefix))

    def path_of(self, url: str) -> str | None:
        """The path for a URL of the bridge; ``None`` for any other URL. The file need not exist."""
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
        """The path for what follows ``/media/`` in a URL; ``None`` where it cannot be one."""
        path = self._prefix + tail
        return path if self.is_media(path) else None

    def is_media(self, path: str) -> bool:
        """Whether a path is a valid one inside the media folder."""
        if not path.startswith(self._prefix):
            return False
        inside = path.removeprefix(self._prefix)
        return all(_SEGMENT.fullmatch(part) for part in inside.split("/"))
