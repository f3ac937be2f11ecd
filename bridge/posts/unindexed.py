"""Posts that may conflict with a new one while the index is still being built.

Reading 100,000 posts as Pelican does takes minutes on a site with plugins. An address nearly always
comes from a slug, a title or the name of a file: these are looked through at once, and only the
files that come into question are read.
"""

from __future__ import annotations

import asyncio
import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import unescape
from itertools import islice

from bridge.settings import prefix_of
from bridge.site.messages import Ask, Source
from bridge.site.protocol import SiteReader
from bridge.store import BlobId, ContentStore, StoreBroken, Version

_BATCH = 500
#: How much of a file may be front matter.
_HEAD = 16_384
_LONGEST = 500
#: So many files are read for one post; those come first that are likeliest to be in its way.
_MOST = 200
_KEY = re.compile(
    r"^[ \t]*(?::|<meta\s+name=[\"'])?(title|slug|url|save_as)(?:[\"']\s+content=[\"']|:)\s*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_ALIASES = re.compile(r'"aliases":\s*\[([^\]]*)\]')
_HTML_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_OTHER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Known:
    """A file: its bytes' id, the words of its name and head, and a title that becomes its slug."""

    blob: BlobId
    words: str
    title: str = ""


class Unindexed:
    """The names and heads of every file that may be a post. One call at a time."""

    def __init__(self, store: ContentStore, folder: str) -> None:
        """``folder`` is the content folder."""
        self._store = store
        self._folder = folder
        self._version: Version | None = None
        self._files: dict[str, _Known] = {}
        # A request that is given up leaves its look behind.
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Drop everything: the index is complete."""
        with self._lock:
            self._version = None
            self._files = {}

    def bring_to(self, head: Version, suffixes: Iterable[str]) -> None:
        """Read the files of a version with these suffixes. Raises what the store does."""
        with self._lock:
            self._bring_to(head, suffixes)

    def _bring_to(self, head: Version, suffixes: Iterable[str]) -> None:
        if self._version == head:
            return
        endings = tuple(f".{suffix}" for suffix in suffixes)
        new = {path: blob for path, blob in self._new(head) if path.endswith(endings)}
        waiting = iter(new.items())
        while batch := list(islice(waiting, _BATCH)):
            blobs = self._store.blobs(blob for _, blob in batch)
            for (path, _), blob in zip(batch, blobs, strict=True):
                self._files[path] = _known(path, blob.id, blob.data)
        self._version = head

    async def slugify(self, site: SiteReader) -> None:
        """Have the site slugify the titles, where they become the slugs."""
        titled = await asyncio.to_thread(self._titled)
        for start in range(0, len(titled), _BATCH):
            batch = titled[start : start + _BATCH]
            answer = await site.ask(Ask(slugs=tuple(each.title for _, each in batch)))
            for (path, each), slug in zip(batch, answer.slugs, strict=True):
                self._files[path] = replace(each, words=f"{each.words}{_words(slug)}-", title="")

    def near(self, slugs: Sequence[str]) -> list[Source]:
        """The files that may have one of these slugs."""
        wanted = {f"-{words}-" for words in map(_words, slugs) if words}
        with self._lock:
            found = [
                (len(each.words), path, each.blob)
                for path, each in self._files.items()
                if any(words in each.words for words in wanted)
            ]
        # One that says little else is the likeliest to have it for its slug.
        chosen = sorted(found)[:_MOST]
        blobs = self._store.blobs(blob for _, _, blob in chosen)
        return [
            Source(path, blob.id, blob.data)
            for (_, path, _), blob in zip(chosen, blobs, strict=True)
        ]

    def _titled(self) -> list[tuple[str, _Known]]:
        with self._lock:
            return [(path, each) for path, each in self._files.items() if each.title]

    def _new(self, head: Version) -> Iterable[tuple[str, BlobId]]:
        """What is to be looked at; what is gone is forgotten."""
        if self._version is not None:
            try:
                changes = self._store.diff(self._version, head)
            except StoreBroken:
                pass
            else:
                inside = [each for each in changes if each.path.startswith(prefix_of(self._folder))]
                for each in inside:
                    self._files.pop(each.path, None)
                return [(each.path, each.new) for each in inside if each.new]
        self._version, self._files = None, {}
        return self._store.files(self._folder, head)


def _known(path: str, blob: BlobId, data: bytes) -> _Known:
    head = data[:_HEAD].decode("utf-8", "replace").lstrip("\ufeff\n")
    if path.endswith((".html", ".htm")):
        title = "".join(_HTML_TITLE.findall(head)[:1])
    else:
        head = head.partition("\n\n")[0] if _KEY.search(head.partition("\n\n")[0]) else head
        title = head.partition("\n")[0]
    said = {key.lower(): value for key, value in _KEY.findall(head)}
    title = unescape(said.pop("title", title)).strip()[:_LONGEST]
    aliases = "".join(_ALIASES.findall(head)[:1])
    name = path.rpartition("/")[2].rpartition(".")[0]
    parts = [name, *said.values(), aliases]
    words = "-".join(filter(None, (_words(part)[:_LONGEST] for part in parts)))
    return _Known(blob, f"-{words}-", "" if "slug" in said else title)


def _plain(text: str) -> str:
    """The letters without their accents."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(each for each in apart if not unicodedata.combining(each))


def _words(text: str) -> str:
    """The words of a text as most sites have them in addresses, between hyphens."""
    return _OTHER.sub("-", _plain(text).lower()).strip("-")
