"""Scaled copies of the site's photos (``sea-800w.jpg`` beside ``sea.jpg``), for ``srcset``."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pelican_indieauth.entry.urls import StaticFile

logger = logging.getLogger(__name__)

_COPY = re.compile(r"(?P<stem>.+)-(?P<width>\d+)w(?P<suffix>\.[A-Za-z0-9]+)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """A photo's size in pixels and its copies: widths, smallest first, with their paths."""

    width: int
    height: int
    copies: tuple[tuple[int, str], ...]


class ScaledCopies:
    """Finds the scaled copies of a photo among the site's static files by their names."""

    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        """``files`` is Pelican's record of the static files, by source path."""
        self._files = files
        self._widths: defaultdict[str, list[int]] = defaultdict(list)
        for path in files:
            match = _COPY.fullmatch(path)
            if match:
                self._widths[match["stem"] + match["suffix"]].append(int(match["width"]))

    def of(self, path: str | None) -> Sizes | None:
        """The sizes of the photo at ``path``; ``None`` where it has no copies or is not a photo."""
        if path is None or path not in self._widths or path not in self._files:
            return None
        # Imported only for sites with copies: the original's width has to be read.
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

        try:
            with Image.open(self._files[path].source_path) as photo:
                width, height = photo.size
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            logger.warning("the size of %s could not be read: %s", path, error)
            return None
        stem, _, suffix = path.rpartition(".")
        widths = sorted(each for each in self._widths[path] if each < width)
        return Sizes(width, height, tuple((each, f"{stem}-{each}w.{suffix}") for each in widths))
