"""A stored file: its record, an upload that becomes one, and one that is open."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bridge.media.formats.sniff import HEAD, KINDS, Kind, identify
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


def recovered(path: str, data: bytes, stored: float, others: Iterable[str]) -> MediaFile:
    """The record of a pending file whose journal line was lost: of its bytes, of the time at which
    it was stored, and of the ``others`` that may be its scaled copies.
    """
    base, _, extension = path.rpartition(".")
    copy = re.compile(rf"{re.escape(base)}-(\d+)w\.{re.escape(extension)}")
    return replace(
        from_path(path),
        published=datetime.fromtimestamp(stored, UTC),
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        blob=blob_id(data),
        copies=tuple(sorted(int(match[1]) for match in map(copy.fullmatch, others) if match)),
    )


def _month(path: str) -> datetime:
    parts = path.split("/")
    try:
        return datetime(int(parts[-3]), int(parts[-2]), 1, tzinfo=UTC)
    except (IndexError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def blob_id(data: bytes) -> str:
    """The git blob id (SHA-1) of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Incoming(Struct, frozen=True):
    """A checked and cleaned upload that has no path yet."""

    filename: str
    alt: str
    digest: str
    kind: Kind
    data: bytes
    width: int | None = None
    height: int | None = None
    copies: tuple[tuple[int, bytes], ...] = ()


class OpenUpload(Struct, frozen=True):
    """A stored file, opened for reading; the caller closes it."""

    file: BinaryIO
    type: str
    size: int
    etag: str


def opened(file: BinaryIO, tag: str | None) -> OpenUpload:
    """An open file, to be served; ``tag`` names its contents if they are known."""
    head = file.read(HEAD)
    file.seek(0)
    status = os.fstat(file.fileno())
    kind = identify(head)
    return OpenUpload(
        file,
        # The type of a file that came by git is detected from its bytes.
        type=kind.type if kind else UNKNOWN_TYPE,
        size=status.st_size,
        etag=tag or f"{status.st_mtime_ns:x}-{status.st_size:x}",
    )
