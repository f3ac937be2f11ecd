"""The index of received mentions in the site's repo, kept at the newest version.

One file for each mention (``FOLDER/PATH-OF-POST/KIND-HASH12.json``), so that making it twice is
making it once, and two writers never meet in one file.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bridge.posts.addresses import canonical, hosts
from bridge.posts.commits import is_ours
from bridge.store import Blob, BlobId, Change, StoreBroken, Version
from bridge.store.git import GitStore
from bridge.webmention.incoming.rules import FILE as RULES
from bridge.webmention.incoming.rules import Known, Rules
from bridge.webmention.mention import KINDS, Target, folder_of, key_of

log = logging.getLogger(__name__)

#: How many mentions of a post and kind have files; the rest is counted.
MOST = 500
COUNTED = "more.json"
#: How many likes and reposts copies elsewhere have, where they are only counted.
COUNTS = "counts.json"
_FILE = re.compile(rf"(?:{'|'.join(KINDS.values())})-[0-9a-f]{{12}}\.json")
_LINK = re.compile(rb"https?://[^\s\"'<>()\[\]\\]{1,300}")
_POSTS = (".md", ".markdown", ".mkd", ".mdown", ".rst", ".html", ".htm", ".txt", ".org", ".adoc")


class StoredMention(NamedTuple):
    """A mention that has a file, as far as questions need it."""

    path: str
    blob: BlobId
    kind: str
    url: str
    source: str
    target: str
    author: str
    photo: str
    received: str
    checked: str
    via: str

    @property
    def key(self) -> str:
        """What makes two mentions of one post the same."""
        return key_of(self.kind, self.url)

    @property
    def digest(self) -> str:
        """``HASH12`` of its file."""
        return digest_of(self.path)


def digest_of(path: str) -> str:
    """``HASH12`` of a mention's file."""
    return path.rpartition("-")[2].removesuffix(".json")


class MentionFiles:
    """An index of the mentions folder and of the hosts that posts link to.

    Its methods block, and may be called from any thread. What the store raises goes through.
    """

    def __init__(self, store: GitStore, content: str, folder: str) -> None:
        """``content`` is the content folder in the repo, ``folder`` that of mentions inside it."""
        self._store = store
        content = content.strip("/")
        self._content = f"{content}/" if content not in {"", "."} else ""
        self.folder = f"{self._content}{folder.strip('/')}"
        self._lock = threading.RLock()
        self._version: Version | None = None
        self._kept: dict[str, StoredMention] = {}
        self._by_key: defaultdict[str, set[str]] = defaultdict(set)
        self._by_source: defaultdict[str, set[str]] = defaultdict(set)
        self._hosts: dict[str, frozenset[str]] = {}
        self._rules: tuple[BlobId | None, Rules] = (None, Rules())
        self._removed: frozenset[str] | None = None
        self._known: Known | None = None
        #: Files that are not mentions, with what is wrong with each.
        self.unread: dict[str, str] = {}

    def refresh(self) -> Version | None:
        """Follow the branch to its newest version, and return that."""
        with self._lock:
            head = self._store.head()
            if head == self._version or head is None:
                return head
            if self._version is None or not self._followed(self._version, head):
                for each in (self._kept, self._by_key, self._by_source):
                    each.clear()
                self._hosts.clear()
                self.unread.clear()
                self._removed = None
                self._learn(self._store.files(self._content.rstrip("/"), head))
            self._rules = self._read_rules(head)
            self._version, self._known = head, None
            return head

    @property
    def rules(self) -> Rules:
        """The owner's rules, as the last :meth:`refresh` found them."""
        return self._rules[1]

    @property
    def rules_blob(self) -> BlobId | None:
        """The id of their file's bytes."""
        return self._rules[0]

    def all(self) -> list[StoredMention]:
        """Every mention, the newest first."""
        with self._lock:
            return sorted(self._kept.values(), key=lambda each: (each.received, each.path))[::-1]

    def get(self, path: str) -> StoredMention | None:
        """The mention in a file."""
        with self._lock:
            return self._kept.get(path)

    def by_digest(self, digest: str) -> list[StoredMention]:
        """The mentions whose files have this ``HASH12``."""
        with self._lock:
            return [each for each in self._kept.values() if each.digest == digest]

    def of(self, source: str, post: Target) -> list[StoredMention]:
        """What a source has said of a post."""
        with self._lock:
            every = [self._kept[path] for path in sorted(self._by_source.get(source, ()))]
        return [each for each in every if post.is_at(each.target)]

    def same(self, key: str, post: Target) -> StoredMention | None:
        """The file that a mention of a post has already, perhaps under an earlier address."""
        with self._lock:
            every = [self._kept[path] for path in sorted(self._by_key.get(key, ()))]
        return next((each for each in every if post.is_at(each.target)), None)

    def about(self, post: Target) -> list[StoredMention]:
        """Every mention of a post."""
        with self._lock:
            return [each for each in self._kept.values() if post.is_at(each.target)]

    def uses(self, photo: str) -> int:
        """How many mentions show this picture."""
        with self._lock:
            return sum(each.photo == photo for each in self._kept.values())

    def face_of(self, author: str) -> StoredMention | None:
        """The newest mention of an author that has a picture."""
        with self._lock:
            found = [each for each in self._kept.values() if each.author == author and each.photo]
        return max(found, key=lambda each: each.received, default=None)

    def known(self) -> Known:
        """Who was approved before, and where the owner's posts link to."""
        with self._lock:
            if self._known is not None:
                return self._known
            authors = {canonical(each.author, frozenset()) for each in self._kept.values()}
            linked: set[str] = set()
            linked.update(*self._hosts.values())
            self._known = Known(frozenset(authors - {""}), frozenset(linked))
            return self._known

    def read(self, path: str) -> tuple[dict[str, Any], BlobId] | None:
        """What a mention's file says, and the id of its bytes; ``None`` where there is none."""
        blob = self.blob(path)
        entry = None if blob is None else _entry(blob.data)
        return None if blob is None or isinstance(entry, str) or entry is None else (entry, blob.id)

    def blob(self, path: str) -> Blob | None:
        """A file as it is in the newest version."""
        head = self._store.head()
        return None if head is None else self._store.read(path, head)

    def is_full(self, folder: str, kind: str) -> bool:
        """Whether there are as many mentions of this kind in a post's folder as have files."""
        start = f"{self.folder}/{folder}/{KINDS[kind]}-"
        with self._lock:
            return sum(path.startswith(start) for path in self._kept) >= MOST

    def counting(self, folder: str, kinds: Counter[str]) -> Change:
        """The change that counts some more mentions that have no files."""
        path = f"{self.folder}/{folder}/{COUNTED}"
        blob = self.blob(path)
        said = _entry(blob.data) if blob else {}
        counts = dict(said) if isinstance(said, dict) else {}
        for kind, count in kinds.items():
            before = counts.get(kind, 0)
            counts[kind] = count + (before if isinstance(before, int) else 0)
        data = f"{json.dumps(counts, indent=2, sort_keys=True)}\n".encode()
        return Change(path, data, blob.id if blob else None)

    def counted_at(self, post: Target, copy: str, counts: Mapping[str, int]) -> Change | None:
        """The change that says how many responses a copy elsewhere has; ``None`` for none."""
        path = f"{self.folder}/{folder_of(post.url)}/{COUNTS}"
        blob = self.blob(path)
        said = _entry(blob.data) if blob else {}
        old = dict(said) if isinstance(said, dict) else {}
        known = old.get("counts")
        every = dict(known) if isinstance(known, dict) else {}
        every.pop(copy, None)
        if kept := {kind: count for kind, count in counts.items() if count > 0}:
            every[copy] = kept
        new = {**old, "wm-target": post.url, "counts": every}
        if blob is None and not every:
            return None
        data = f"{json.dumps(new, indent=2, sort_keys=True)}\n".encode() if every else None
        if blob is not None and data == blob.data:
            return None
        return Change(path, data, blob.id if blob else None)

    def was_removed_by_hand(self, folder: str, name: str) -> bool:
        """Whether a file that is not there was taken away by a commit that is not the bridge's:
        so the owner says that they do not want it."""
        with self._lock:
            if self._removed is None:
                # A walk through the history: once, and after each removal.
                self._removed = frozenset(self._by_hand())
            return f"{self.folder}/{folder}/{name}" in self._removed

    def _by_hand(self) -> Iterator[str]:
        head, ours = self._store.head(), dict[Version, bool]()
        for removal in self._store.removals(self.folder, head) if head else ():
            if removal.version not in ours:
                message = self._store.bare_repo.repo.commit(removal.version).message
                text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
                ours[removal.version] = is_ours(text)
            if not ours[removal.version]:
                yield removal.path

    def _followed(self, old: Version, new: Version) -> bool:
        try:
            differences = self._store.diff(old, new)
        except StoreBroken:
            return False
        inside = [each for each in differences if each.path.startswith(self._content)]
        for each in inside:
            if self._forget(each.path) and each.new is None:
                self._removed = None
            self._hosts.pop(each.path, None)
            self.unread.pop(each.path, None)
        self._learn((each.path, each.new) for each in inside if each.new is not None)
        return True

    def _learn(self, files: Iterable[tuple[str, BlobId]]) -> None:
        wanted = [each for each in files if self._is_of_use(each[0])]
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            blobs = self._store.blobs(blob for _, blob in some)
            for (path, _), blob in zip(some, blobs, strict=True):
                self._note(path, blob)

    def _is_of_use(self, path: str) -> bool:
        if path.startswith(f"{self.folder}/"):
            return _FILE.fullmatch(path.rpartition("/")[2]) is not None
        return path.endswith(_POSTS)

    def _note(self, path: str, blob: Blob) -> None:
        if not path.startswith(f"{self.folder}/"):
            if linked := frozenset(_linked(blob.data)):
                self._hosts[path] = linked
            return
        entry = _entry(blob.data)
        if isinstance(entry, str):
            self.unread[path] = entry
            log.warning("%s is passed over: %s", path, entry)
            return
        author = entry.get("author")
        card: Mapping[str, Any] = author if isinstance(author, dict) else {}
        kept = self._kept[path] = StoredMention(
            path,
            blob.id,
            kind=str(entry.get("wm-property", "mention-of")),
            url=str(entry.get("url", "")),
            source=str(entry.get("wm-source", "")),
            target=str(entry.get("wm-target", "")),
            author=str(card.get("url", "")),
            photo=str(card.get("photo", "")),
            received=str(entry.get("wm-received", "")),
            checked=str(entry.get("wm-checked", "")),
            via=str(entry.get("wm-via", "")),
        )
        self._by_key[kept.key].add(path)
        self._by_source[kept.source].add(path)

    def _forget(self, path: str) -> bool:
        """Take a file out of the index; whether there was a mention in it."""
        kept = self._kept.pop(path, None)
        if kept is None:
            return False
        for index, key in ((self._by_key, kept.key), (self._by_source, kept.source)):
            index[key].discard(path)
            if not index[key]:
                del index[key]
        return True

    def _read_rules(self, head: Version) -> tuple[BlobId | None, Rules]:
        blob = self._store.read(f"{self.folder}/{RULES}", head)
        if blob is not None and blob.id == self._rules[0]:
            return self._rules
        rules = Rules.read(blob.data if blob else None)
        if rules.broken:
            log.warning("%s/%s cannot be used: %s", self.folder, RULES, rules.broken)
        return (blob.id if blob else None), rules


def _linked(data: bytes) -> Iterator[str]:
    """The hosts that a post links to."""
    for match in _LINK.findall(data):
        try:
            yield from hosts(match.decode("ascii", "replace"))
        except ValueError:
            continue


def _entry(data: bytes) -> dict[str, Any] | str:
    """What a file says, or what is wrong with it."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return said if isinstance(said, dict) else "it is not a JSON object"
