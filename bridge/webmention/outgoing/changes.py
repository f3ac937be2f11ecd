"""Finds the public posts that changed for readers between two commits, by an app or by hand, and
those whose displayed replies changed, which is a change to send upstream (Salmention).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

from msgspec import Struct, field

from bridge.content.file import Mf2Line, PelicanFile
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json, nested, without_endless_references
from bridge.net.web_url import host_of
from bridge.posts.catalogue import Catalogue
from bridge.site.current import without_guesses
from bridge.site.messages import IndexedPost, Source, shown_if_not_utf8
from bridge.store import BlobId, ContentStore, Difference

#: Statuses of posts that are on the site: ``hidden`` means unlisted, not secret.
PUBLIC = frozenset({"published", "hidden"})
_AT_ONCE = 500
#: Fields that the bridge itself updates, and that readers do not see.
_NOT_FOR_READERS = frozenset({"modified", "mf2"})
#: Properties that link to other pages, besides the links in the content.
RESPONSES = ("in-reply-to", "like-of", "repost-of", "bookmark-of", "tag-of", "quotation-of")


class PublicPost(Struct, frozen=True):
    """A public post as of one commit."""

    entry: IndexedPost
    file: PelicanFile

    def visible(self) -> tuple[object, ...]:
        """Everything in the file that readers can see; two equal values mean no visible change."""
        mf2 = Mf2Line.of(self.file)
        shown = {name: values for name, values in mf2.properties.items() if name != "syndication"}
        # A generated title may change with the content, which is not an edit of its own.
        unseen = _NOT_FOR_READERS | ({"title"} if mf2.synthetic_title else set())
        heads = tuple(
            (line.key, line.value)
            for line in self.file.lines
            if line.key and line.key not in unseen
        )
        return (heads, self.file.body, json.dumps(shown, sort_keys=True, default=list))


class PostChange(Struct, frozen=True):
    """A change of one post; ``old`` or ``new`` is ``None`` where it was or is not public."""

    old: PublicPost | None
    new: PublicPost | None


class ChangedPosts(Struct, frozen=True):
    """Finds changed posts in the differences that Pelican finds in ``folder``, the content folder,
    relative to the repo.
    """

    store: ContentStore
    catalogue: Catalogue
    folder: str

    async def posts(self, differences: Sequence[Difference]) -> list[PostChange]:
        """The posts with a visible change in a diff, each once, a renamed post included.

        Raises the errors of :mod:`bridge.errors` and :class:`~bridge.store.StoreError` where the
        site or the repo cannot be read now.
        """
        old = await self._public_posts([(each.path, each.old) for each in differences if each.old])
        new = await self._public_posts([(each.path, each.new) for each in differences if each.new])
        changed = list[PostChange]()
        used, index = set[str](), self.catalogue.index
        # A post that was moved by hand: only the index knows its former URL yet.
        moved = {now.url: url for url in old if url not in new and (now := index.find(url))}
        for url, seen in new.items():
            # A post that moved keeps its former URLs as aliases.
            urls = (url, *seen.entry.aliases, moved.get(url, ""))
            before = next((old[each] for each in urls if each in old), None)
            if before is not None:
                used.add(before.entry.url)
            if before is None or before.visible() != seen.visible() or before.entry.url != url:
                changed.append(PostChange(before, seen))
        for url, seen in old.items():
            # The post may be in another file by now, as after a folder was renamed in two commits.
            if url not in used and url not in new and not _is_public(index.find(url)):
                changed.append(PostChange(seen, None))
        return changed

    async def links(self, seen: PublicPost) -> list[str]:
        """The URLs in a post's file: of its response properties, then of the links in its rendered
        content.
        """
        file = seen.file
        shown = ""
        # A format that only the site can render; its links are read from the live page.
        with suppress(InvalidRequest):
            shown = await without_guesses(
                self.catalogue.site,
                lambda site: site.render(file.text_to_render, file.syntax.suffix).html,
            )
        properties = Mf2Line.of(seen.file).properties
        answered = [
            url
            for name in RESPONSES
            for value in properties.get(name, ())
            for url in urls_of(value)
        ]
        return list(dict.fromkeys((*answered, *hrefs(shown))))

    async def _public_posts(self, blobs: Sequence[tuple[str, BlobId]]) -> Mapping[str, PublicPost]:
        """The public posts among these files, by URL. Files with ``webmention: false`` in their Mf2
        line are left out.
        """
        suffixes = tuple(f".{suffix}" for suffix in self.catalogue.site.facts.suffixes)
        posts = [(path, blob) for path, blob in blobs if path.endswith(suffixes)]
        found: dict[str, PublicPost] = {}
        for start in range(0, len(posts), _AT_ONCE):
            some = posts[start : start + _AT_ONCE]
            sources = [
                # A file whose name is not UTF-8 has a page, too, and no message can carry its name.
                Source(shown_if_not_utf8(path) or path, blob.id, blob.data)
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
                        found[entry.url] = PublicPost(entry, file)
        return found


def _is_public(entry: IndexedPost | None) -> bool:
    return entry is not None and entry.status in PUBLIC


def urls_of(value: Json) -> Iterable[str]:
    """The URLs in a property's value: the value itself, or the ``url`` of an h-cite."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        properties = nested(value)
        urls = value.get("value") if properties is None else properties.get("url")
        for url in urls if isinstance(urls, list) else [urls]:
            if isinstance(url, str):
                yield url


def hrefs(html: str) -> list[str]:
    """The absolute http(s) URLs in the ``href`` of the ``a`` elements, in document order."""
    reader = _Anchors()
    reader.feed(without_endless_references(html))
    return reader.found


class _Anchors(HTMLParser):
    """Collects ``a[href]`` in one pass, in linear time."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = next((value or "" for name, value in attrs if name == "href"), "").strip()
        if tag == "a" and href.lower().startswith(("http://", "https://")):
            self.found.append(href)


_REPLY = "in-reply-to"
_TOMBSTONES = "gone/"
_OF_THE_BRIDGE = frozenset({"wm-checked", "wm-received"})


class ReplyChanges(Struct, frozen=True):
    """The change of one post's replies: the hosts they are from, the URLs of new and of removed
    ones.
    """

    hosts: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


class ReplyChangeFinder(Struct, frozen=True):
    """Finds changes of stored replies in a diff. ``folder`` is the mentions folder, relative to the
    repo.
    """

    store: ContentStore
    folder: str

    async def find(self, differences: Sequence[Difference]) -> Mapping[str, ReplyChanges]:
        """The changed replies in a diff, by the URL of the post that they reply to."""
        inside = [each for each in differences if self._is_mention(each.path)]
        found: dict[str, ReplyChanges] = {}
        for each in inside:
            old, new = await asyncio.to_thread(self._read, each)
            reply = new or old
            target, url = reply.get("wm-target"), reply.get("url")
            if reply.get("wm-property") != _REPLY or _shown(old) == _shown(new):
                continue
            if isinstance(target, str) and isinstance(url, str):
                changes = found.setdefault(target.partition("#")[0], ReplyChanges())
                changes.hosts.append(host_of(url))
                (changes.shown if new else changes.hidden).append(url)
        return found

    def _is_mention(self, path: str) -> bool:
        """Whether ``path`` is in a post's folder of mentions; tombstones and ``rules.json`` are
        not.
        """
        inner = path.removeprefix(f"{self.folder}/")
        return inner != path and inner.endswith(".json") and not inner.startswith(_TOMBSTONES)

    def _read(self, each: Difference) -> tuple[dict[str, Any], dict[str, Any]]:
        """A file's JSON object before and after; ``{}`` where it is absent or invalid."""
        versions = [_object(b"")] * 2
        for place, blob in enumerate((each.old, each.new)):
            if blob is not None:
                (found,) = self.store.blobs([blob])
                versions[place] = _object(found.data)
        return versions[0], versions[1]


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    """The part of a mention's file that its page shows, without the times of verification."""
    return {name: value for name, value in entry.items() if name not in _OF_THE_BRIDGE}


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
