"""Index of the received mentions in the site's repo, which follows the branch.

Each mention has a file of its own (``FOLDER/PATH-OF-POST/KIND-HASH12.json``): storing one twice is
idempotent, and two writers never conflict over a file.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bridge.posts.commits import is_ours
from bridge.posts.linked import found_differences, found_files
from bridge.posts.urls import canonical, hosts, one_spelling
from bridge.store import Blob, BlobId, Change, StoreBroken, Version
from bridge.store.git import GitStore
from bridge.webmention.incoming.moderation.rules import FILE as RULES
from bridge.webmention.incoming.moderation.rules import Known, Rules
from bridge.webmention.mention import KINDS, MentionTarget, folder_of, key_of

log = logging.getLogger(__name__)

#: Largest number of files of one kind for one post. Further mentions are only counted, in
#: ``more.json``.
MAX_FILES = 500
OVERFLOW_COUNTS = "more.json"
#: Like and repost counts of the post's syndicated copies, for targets with ``likes = "count"``.
COPY_COUNTS = "counts.json"
_FILE = re.compile(rf"(?:{'|'.join(KINDS.values())})-[0-9a-f]{{12}}\.json")
_LINK = re.compile(rb"https?://[^\s\"'<>()\[\]\\]{1,300}")
_POSTS = (".md", ".markdown", ".mkd", ".mdown", ".rst", ".html", ".htm", ".txt", ".org", ".adoc")


class StoredMention(NamedTuple):
    """The fields of a mention's file that the index answers queries with; all are text as
    stored.
    """

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
        """Identity of a mention within its post: kind and canonical URL."""
        return key_of(self.kind, self.url)

    @property
    def digest(self) -> str:
        """The ``HASH12`` of the file's name."""
        return digest_of(self.path)


def digest_of(path: str) -> str:
    """The ``HASH12`` in the name of the mention file at ``path``."""
    return path.rpartition("-")[2].removesuffix(".json")


class MentionFiles:
    """An index of the mentions folder, and of the hosts that the site's posts link to.

    The methods block and may be called from any thread. Errors of the store propagate.
    """

    def __init__(self, store: GitStore, content: str, folder: str) -> None:
        """``content`` is the content folder, relative to the repo; ``folder`` the mentions folder,
        relative to the content folder.
        """
        self._store = store
        content = content.strip("/")
        self._content = f"{content}/" if content not in {"", "."} else ""
        self.folder = f"{self._content}{folder.strip('/')}"
        self._lock = threading.RLock()
        self._version: Version | None = None
        self._mentions: dict[str, StoredMention] = {}
        self._by_key: defaultdict[str, set[str]] = defaultdict(set)
        self._by_source: defaultdict[str, set[str]] = defaultdict(set)
        self._hosts: dict[str, frozenset[str]] = {}
        self._rules: tuple[BlobId | None, Rules] = (None, Rules())
        self._removed: frozenset[str] | None = None
        self._known: Known | None = None
        #: Files that could not be parsed as mentions, by path, with the reason.
        self.unread: dict[str, str] = {}

    def refresh(self) -> Version | None:
        """Update the index to the branch's newest commit and return that; ``None`` while the branch
        has no commit.
        """
        with self._lock:
            head = self._store.head()
            if head == self._version or head is None:
                return head
            if self._version is None or not self._apply_diff(self._version, head):
                for each in (self._mentions, self._by_key, self._by_source):
                    each.clear()
                self._hosts.clear()
                self.unread.clear()
                self._removed = None
                self._index_files(found_files(self._store, self._content.rstrip("/"), head))
            self._rules = self._read_rules(head)
            self._version, self._known = head, None
            return head

    @property
    def rules(self) -> Rules:
        """The moderation rules as of the last :meth:`refresh`."""
        return self._rules[1]

    @property
    def rules_blob(self) -> BlobId | None:
        """The blob id of ``rules.json``; ``None`` while there is no such file."""
        return self._rules[0]

    def all(self) -> list[StoredMention]:
        """Every stored mention, newest first."""
        with self._lock:
            return sorted(self._mentions.values(), key=lambda each: (each.received, each.path))[
                ::-1
            ]

    def get(self, path: str) -> StoredMention | None:
        """The mention in the file at ``path``, or ``None``."""
        with self._lock:
            return self._mentions.get(path)

    def by_digest(self, digest: str) -> list[StoredMention]:
        """The mentions whose file names have this ``HASH12``; two posts may each have one."""
        with self._lock:
            return [each for each in self._mentions.values() if each.digest == digest]

    def of(self, source: str, post: MentionTarget) -> list[StoredMention]:
        """The mentions of ``post`` that were received from the URL ``source``."""
        with self._lock:
            every = [
                self._mentions[path]
                for path in sorted(self._by_source.get(one_spelling(source), ()))
            ]
        return [each for each in every if post.is_at(each.target)]

    def same(self, key: str, post: MentionTarget) -> StoredMention | None:
        """The stored mention of ``post`` with this key, also under a former URL of the post."""
        with self._lock:
            every = [self._mentions[path] for path in sorted(self._by_key.get(key, ()))]
        return next((each for each in every if post.is_at(each.target)), None)

    def about(self, post: MentionTarget) -> list[StoredMention]:
        """Every stored mention of ``post``."""
        with self._lock:
            return [each for each in self._mentions.values() if post.is_at(each.target)]

    def count_with_photo(self, photo: str) -> int:
        """How many mentions use this author picture (a path inside the content folder)."""
        with self._lock:
            return sum(each.photo == photo for each in self._mentions.values())

    def face_of(self, author: str) -> StoredMention | None:
        """The newest mention by the author with this URL that has a picture."""
        with self._lock:
            found = [
                each for each in self._mentions.values() if each.author == author and each.photo
            ]
        return max(found, key=lambda each: each.received, default=None)

    def known(self) -> Known:
        """The authors that were approved before, and the hosts that the site's posts link to."""
        with self._lock:
            if self._known is not None:
                return self._known
            authors = {canonical(each.author, frozenset()) for each in self._mentions.values()}
            linked: set[str] = set()
            linked.update(*self._hosts.values())
            self._known = Known(frozenset(authors - {""}), frozenset(linked))
            return self._known

    def read(self, path: str) -> tuple[dict[str, Any], BlobId] | None:
        """The JF2 object in the file at ``path`` and its blob id; ``None`` where the file is absent
        or invalid.
        """
        blob = self.blob(path)
        entry = None if blob is None else _entry(blob.data)
        return None if blob is None or isinstance(entry, str) or entry is None else (entry, blob.id)

    def blob(self, path: str) -> Blob | None:
        """The file at ``path`` in the newest commit, or ``None``."""
        head = self._store.head()
        return None if head is None else self._store.read(path, head)

    def is_full(self, folder: str, kind: str) -> bool:
        """Whether a post's folder has reached :data:`MAX_FILES` mentions of this kind."""
        start = f"{self.folder}/{folder}/{KINDS[kind]}-"
        with self._lock:
            return sum(path.startswith(start) for path in self._mentions) >= MAX_FILES

    def counts_change(self, folder: str, kinds: Counter[str]) -> Change:
        """The change that adds ``kinds`` to the counts of mentions without files
        (``more.json``).
        """
        path = f"{self.folder}/{folder}/{OVERFLOW_COUNTS}"
        blob = self.blob(path)
        parsed = _entry(blob.data) if blob else {}
        counts = dict(parsed) if isinstance(parsed, dict) else {}
        for kind, count in kinds.items():
            before = counts.get(kind, 0)
            counts[kind] = count + (before if isinstance(before, int) else 0)
        data = f"{json.dumps(counts, indent=2, sort_keys=True)}\n".encode()
        return Change(path, data, blob.id if blob else None)

    def copy_counts_change(
        self, post: MentionTarget, copy: str, counts: Mapping[str, int]
    ) -> Change | None:
        """The change that stores the like and repost counts of the copy at the URL ``copy``.

        ``None`` where the file would not change.
        """
        path = f"{self.folder}/{folder_of(post.url)}/{COPY_COUNTS}"
        blob = self.blob(path)
        parsed = _entry(blob.data) if blob else {}
        old = dict(parsed) if isinstance(parsed, dict) else {}
        known = old.get("counts")
        every = dict(known) if isinstance(known, dict) else {}
        every.pop(copy, None)
        if stored := {kind: count for kind, count in counts.items() if count > 0}:
            every[copy] = stored
        new = {**old, "wm-target": post.url, "counts": every}
        if blob is None and not every:
            return None
        data = f"{json.dumps(new, indent=2, sort_keys=True)}\n".encode() if every else None
        if blob is not None and data == blob.data:
            return None
        return Change(path, data, blob.id if blob else None)

    def was_removed_by_hand(self, folder: str, name: str) -> bool:
        """Whether the owner has deleted this mention's file: a commit that the bridge did not make
        removed it. Such a mention is not stored again.
        """
        with self._lock:
            if self._removed is None:
                # Reads the history of the folder, so it is done once, and again after each removal.
                self._removed = frozenset(self._by_hand())
            return f"{self.folder}/{folder}/{name}" in self._removed

    def edited_by_hand(self, path: str) -> frozenset[str]:
        """The keys of the mention file at ``path`` that commits which the bridge did not make have
        changed since the file was made.
        """
        head, edited, newer = self._store.head(), set[str](), None
        for commit in self._store.log(head, path=path) if head else ():
            blob = self._store.read(path, commit.version)
            entry = None if blob is None else _entry(blob.data)
            if blob is None:
                break
            if newer is not None and isinstance(entry, dict):
                edited.update(key for key in {*entry, *newer} if entry.get(key) != newer.get(key))
            newer = entry if isinstance(entry, dict) and not is_ours(commit.message) else None
        return frozenset(edited)

    def _by_hand(self) -> Iterator[str]:
        head, ours = self._store.head(), dict[Version, bool]()
        for removal in self._store.removals([self.folder], head) if head else ():
            if removal.version not in ours:
                commit = self._store.database.read(bytes.fromhex(removal.version), "commit")
                message = commit.partition(b"\n\n")[2].decode("utf-8", "replace")
                ours[removal.version] = is_ours(message)
            if not ours[removal.version]:
                yield removal.path

    def _apply_diff(self, old: Version, new: Version) -> bool:
        try:
            found = found_differences(self._store, self._content.rstrip("/"), old, new)
        except StoreBroken:
            return False
        for each in found:
            if self._forget(each.path) and each.new is None:
                self._removed = None
            self._hosts.pop(each.path, None)
            self.unread.pop(each.path, None)
        self._index_files((each.path, each.new) for each in found if each.new is not None)
        return True

    def _index_files(self, files: Iterable[tuple[str, BlobId]]) -> None:
        wanted = [each for each in files if self._is_indexed(each[0])]
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            blobs = self._store.blobs(blob for _, blob in some)
            for (path, _), blob in zip(some, blobs, strict=True):
                self._index_file(path, blob)

    def _is_indexed(self, path: str) -> bool:
        if path.startswith(f"{self.folder}/"):
            return _FILE.fullmatch(path.rpartition("/")[2]) is not None
        return path.endswith(_POSTS)

    def _index_file(self, path: str, blob: Blob) -> None:
        if not path.startswith(f"{self.folder}/"):
            if linked := frozenset(_linked_hosts(blob.data)):
                self._hosts[path] = linked
            return
        entry = _entry(blob.data)
        if isinstance(entry, str):
            self.unread[path] = entry
            log.warning("%s is ignored: %s", path, entry)
            return
        author = entry.get("author")
        card: Mapping[str, Any] = author if isinstance(author, dict) else {}
        stored = self._mentions[path] = StoredMention(
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
        self._by_key[stored.key].add(path)
        # A file may have the spelling that was sent, from an earlier version or another service.
        self._by_source[one_spelling(stored.source)].add(path)

    def _forget(self, path: str) -> bool:
        """Remove a file from the index; true if it was a mention."""
        stored = self._mentions.pop(path, None)
        if stored is None:
            return False
        source = one_spelling(stored.source)
        for index, key in ((self._by_key, stored.key), (self._by_source, source)):
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


def _linked_hosts(data: bytes) -> Iterator[str]:
    """The hosts of the absolute URLs in a post's source file."""
    for match in _LINK.findall(data):
        try:
            yield from hosts(match.decode("ascii", "replace"))
        except ValueError:
            continue


def _entry(data: bytes) -> dict[str, Any] | str:
    """The file's JSON object, or a text that says why it is not one."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return parsed if isinstance(parsed, dict) else "it is not a JSON object"
