"""A stored file, as other packages see it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from bridge.media.formats.sniff import KINDS
from bridge.media.names import scaled

#: What a file is served as that is in the media folder without having come through here.
UNKNOWN_TYPE = "application/octet-stream"


class MediaFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An upload and what is known of it.

    ``path`` is relative to the content folder (``media/2026/11/sea.jpg``), so that
    ``{static}/`` and it make a link in Pelican's notation. ``digest`` is the SHA-256 of the bytes
    that the client sent, ``blob`` git's name for the bytes that are stored. ``copies`` are the
    widths of the scaled copies beside it (``sea-800w.jpg``).
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
        """This file's path and those of its copies."""
        return (self.path, *(scaled(self.path, width) for width in self.copies))


def from_path(path: str) -> MediaFile:
    """What a path alone tells of a file: its type by its extension, the month of its upload."""
    kind = KINDS.get(path.rpartition(".")[2].lower())
    return MediaFile(path=path, type=kind.type if kind else UNKNOWN_TYPE, published=_month(path))


def _month(path: str) -> datetime:
    parts = path.split("/")
    try:
        return datetime(int(parts[-3]), int(parts[-2]), 1, tzinfo=UTC)
    except (IndexError, ValueError):
        return datetime.fromtimestamp(0, UTC)
