"""Which posts use which uploads: an index of the posts' files that reads each version once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bridge.posts.index import PostIndex
from bridge.store import BlobId, ContentStore

_AT_ONCE = 500

#: The addresses of the posts that use a file, by the file's path.
Uses: TypeAlias = Mapping[str, Sequence[str]]


class UsedFiles:
    """``folder`` is that of the uploads, in the content folder."""

    def __init__(self, store: ContentStore, index: PostIndex, folder: str) -> None:
        self._store = store
        self._index = index
        self._named = re.compile(rf"(?<![\w-]){re.escape(folder.strip('/'))}/[^\s\"'()<>\\|?#]+")
        self._known: dict[str, frozenset[str]] = {}

    def now(self) -> Uses:
        """All files in use, according to the index. Blocks; raises what the store does."""
        posts, known = self._index.sources(), self._known
        new = [blob for _, blob in posts if blob not in known]
        found = dict[str, frozenset[str]]()
        for start in range(0, len(new), _AT_ONCE):
            for each in self._store.blobs(map(BlobId, new[start : start + _AT_ONCE])):
                text = each.data.decode(errors="replace")
                found[each.id] = frozenset(self._named.findall(text))
        current = known | found
        self._known = {blob: current[blob] for _, blob in posts}
        uses: dict[str, list[str]] = {}
        for url, blob in posts:
            for path in current[blob]:
                uses.setdefault(path, []).append(url)
        return uses
