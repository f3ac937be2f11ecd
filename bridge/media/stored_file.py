"""The record of a stored file."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from bridge.media.formats.sniff import KINDS
from bridge.media.names import scaled

#: The type of a file in the media folder that was not uploaded here and is not recognised.
UNKNOWN_TYPE = "application/octet-stream"


class MediaFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored file and what is known about it.

    ``path`` is relative to the content folder (``media/2026/11/sea.jpg``); ``{static}/`` and the
    path make a Pelican link. ``digest`` is the SHA-256 of the uploaded bytes, ``blob`` the git blob
    id of the stored ones. ``copies`` are the widths of the scaled copies (``sea-800w.jpg``).
    """

    path: str
    type: str
    published: datetime
    size: int = 0
    digest: str = ""
    blob: str = ""
    width: int | None = None
    height: int | None = None
    alt: str = ""
    copies: tuple[int, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of this file and its scaled copies."""
        return (self.path, *(scaled(self.path, width) for width in self.copies))


def from_path(path: str) -> MediaFile:
    """The record that a path alone gives: type by extension, upload time by month."""
    kind = KINDS.get(path.rpartition(".")[2].lower())
    return MediaFile(path=path, type=kind.type if kind else UNKNOWN_TYPE, published=_month(path))


def _month(path: str) -> datetime:
    parts = path.split("/")
    try:
        return datetime(int(parts[-3]), int(parts[-2]), 1, tzinfo=UTC)
    except (IndexError, ValueError):
        return datetime.fromtimestamp(0, UTC)
