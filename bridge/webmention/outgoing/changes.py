"""Finds the posts that changed for readers between two commits, of an app or by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser

from bridge.content.file.front_matter import PelicanFile
from bridge.content.file.mf2 import Mf2Line
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json
from bridge.posts.catalogue import Catalogue
from bridge.site.known import without_guesses
from bridge.site.messages import IndexedPost, Source
from bridge.store import BlobId, ContentStore, Difference

#: What the world is shown: ``hidden`` is unlisted, not secret.
PUBLIC = frozenset({"published", "hidden"})
_AT_ONCE = 500
#: What the bridge writes into a post after it was sent, which its readers do not see change.
_NOT_FOR_READERS = frozenset({"modified", "mf2"})
#: The properties that point at other pages, besides links in the text.
RESPONSES = ("in-reply-to", "like-of", "repost-of", "bookmark-of", "tag-of", "quotation-of")


@dataclass(frozen=True, slots=True)
class Seen:
    """A public post as one version has it."""

    entry: IndexedPost
    file: PelicanFile

    def said(self) -> tuple[object, ...]:
        """What its readers may see change."""
        mf2 = Mf2Line.of(self.file)
        shown = {name: values for name, values in mf2.properties.items() if name != "syndication"}
        # A synthetic title is not the owner's text: it improves when more is known.
        unseen = _NOT_FOR_READERS | ({"title"} if mf2.synthetic_title else set())
        heads = tuple(
            (line.key, line.value)
            for line in self.file.lines
            if line.key and line.key not in unseen
        )
        return (heads, self.file.body, json.dumps(shown, sort_keys=True, default=list))


@dataclass(frozen=True, slots=True)
class Changed:
    """One post that was public before, or is now; ``None`` where it was not, or is not."""

    old: Seen | None
    new: Seen | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Looks at what lies between two versions. ``folder`` is the content folder."""

    store: ContentStore
    catalogue: Catalogue
    folder: str

    async def posts(self, differences: Sequence[Difference]) -> list[Changed]:
        """The posts that changed for their readers, each once.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError` where the
        site or the repo cannot be read now.
        """
        inside = [each for each in differences if each.path.startswith(f"{self.folder}/")]
        old = await self._seen([(each.path, each.old) for each in inside if each.old])
        new = await self._seen([(each.path, each.new) for each in inside if each.new])
        changed = list[Changed]()
        used = set[str]()
        for url, seen in new.items():
            # A post that moved was there before, under one of the URLs that it remembers.
            before = next((old[each] for each in (url, *seen.entry.aliases) if each in old), None)
            if before is not None:
                used.add(before.entry.url)
            if before is None or before.said() != seen.said() or before.entry.url != url:
                changed.append(Changed(before, seen))
        index = self.catalogue.index
        for url, seen in old.items():
            # Another file may have the post by now, as where a folder was renamed in two steps.
            if url not in used and url not in new and not _is_public(index.find(url)):
                changed.append(Changed(seen, None))
        return changed

    async def links(self, seen: Seen) -> list[str]:
        """What a post links to, as far as its file tells: its text as the site renders it, and
        the pages that it responds to."""
        file = seen.file
        shown = ""
        # A format of the site's own may say anything; the page tells.
        with suppress(InvalidRequest):
            shown = await without_guesses(
                self.catalogue.site, lambda site: site.render(file.body, file.syntax.suffix).html
            )
        properties = Mf2Line.of(seen.file).properties
        answered = [
            url
            for name in RESPONSES
            for value in properties.get(name, ())
            for url in urls_of(value)
        ]
        return list(dict.fromkeys((*answered, *hrefs(shown))))

    async def _seen(self, blobs: Sequence[tuple[str, BlobId]]) -> Mapping[str, Seen]:
        """The public posts among some files, by URL."""
        suffixes = tuple(f".{suffix}" for suffix in self.catalogue.site.facts.suffixes)
        posts = [(path, blob) for path, blob in blobs if path.endswith(suffixes)]
        found: dict[str, Seen] = {}
        for start in range(0, len(posts), _AT_ONCE):
            some = posts[start : start + _AT_ONCE]
            sources = [
                Source(path, blob.id, blob.data)
                for (path, _), blob in zip(
                    some, self.store.blobs(blob for _, blob in some), strict=True
                )
            ]
            for source, entry in zip(
                sources, await self.catalogue.site.describe(sources), strict=True
            ):
                if isinstance(entry, IndexedPost) and _is_public(entry):
                    text = source.data.decode("utf-8", "replace")
                    file = PelicanFile.parse(text, source.path)
                    if Mf2Line.of(file).rest.get("webmention") is not False:
                        found[entry.url] = Seen(entry, file)
        return found


def _is_public(entry: IndexedPost | None) -> bool:
    return entry is not None and entry.status in PUBLIC


def urls_of(value: Json) -> Iterable[str]:
    """The addresses that a property's value names: itself, or that of what it cites."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        properties = value.get("properties")
        urls = properties.get("url") if isinstance(properties, dict) else value.get("value")
        for url in urls if isinstance(urls, list) else [urls]:
            if isinstance(url, str):
                yield url


def hrefs(html: str) -> list[str]:
    """The links of a piece of HTML that lead to other pages, in order."""
    reader = _Anchors()
    reader.feed(html)
    return reader.found


class _Anchors(HTMLParser):
    """Links, in one pass whose cost grows with the length alone."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = next((value or "" for name, value in attrs if name == "href"), "").strip()
        if tag == "a" and href.lower().startswith(("http://", "https://")):
            self.found.append(href)
