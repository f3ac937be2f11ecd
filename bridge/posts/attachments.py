"""Stores a post's uploads in the media library, and adds pending files to the post's commit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bridge.content.file.front_matter import PelicanFile
from bridge.media.formats.sniff import sniff
from bridge.media.library import MediaLibrary
from bridge.micropub.action import Upload
from bridge.micropub.post import Json, Post
from bridge.store import Change

#: Our own files, as a post's file names them.
_OWN = re.compile(r"\{static\}/([^\s\"'()<>\\]+)")
_PROPERTIES = {"image": "photo", "video": "video", "audio": "audio"}


class Attachments:
    """Joins the publisher and the media library."""

    def __init__(self, library: MediaLibrary) -> None:
        self._library = library

    async def store_uploads(self, post: Post, uploads: Sequence[Upload]) -> Post:
        """The post with each upload's URL among its properties, in the order of the request.

        Raises UnsupportedMediaType before any of the files is stored.
        """
        for upload in uploads:
            sniff(upload.data)
        properties: dict[str, list[Json]] = {}
        for upload in sorted(uploads, key=lambda each: each.index):
            file = await self._library.accept(upload.data, upload.filename, alt=upload.alt)
            url = self._library.url_of(file)
            # A file that came under no name of its own is what its bytes say it is.
            family = file.type.partition("/")[0]
            name = _PROPERTIES.get(family, "file") if upload.property == "file" else upload.property
            values = properties.setdefault(name, list(post.all(name)))
            values.insert(upload.index, {"value": url, "alt": upload.alt} if upload.alt else url)
        return post.with_properties({name: tuple(values) for name, values in properties.items()})

    async def pending(self, file: PelicanFile) -> tuple[Change, ...]:
        """The files that a post uses and that no commit has yet."""
        return await self._library.pending(_OWN.findall(file.text()))
