"""Index of the media folder as of the newest commit."""

from __future__ import annotations

from bridge.media.names import is_scaled, is_source
from bridge.store import BlobId, ContentStore, StoreBroken, Version


class Committed:
    """The committed media files, updated whenever the branch has moved.

    Sources of posts in the media folder are not included: they may be drafts, which must not be
    served, and they are not deleted like media files.

    The methods block and are called under the library's lock. Paths are relative to the content
    folder, as everywhere in this package. Errors of the store propagate.
    """

    def __init__(self, store: ContentStore, root: str, folder: str) -> None:
        self._store = store
        self._root = root
        self._folder = folder
        self._version: Version | None = None
        self._blobs: dict[str, BlobId] = {}
        self._paths: dict[BlobId, str] = {}

    def blobs(self) -> dict[str, BlobId]:
        """The blob id of every committed file, by path. Read-only."""
        version = self._store.head()
        if version != self._version:
            if version is None:
                self._blobs.clear()
            elif self._version is None or not self._followed(self._version, version):
                self._blobs = self._listed(version)
            self._paths = {blob: path for path, blob in self._blobs.items() if not is_scaled(path)}
            self._version = version
        return self._blobs

    def path_of(self, blob: str) -> str | None:
        """The path under which these bytes are committed, or ``None``."""
        self.blobs()
        return self._paths.get(BlobId(blob))

    def read(self, path: str) -> bytes | None:
        """The bytes of a committed file, or ``None``."""
        version = self._store.head()
        blob = None if version is None else self._store.read(self.in_repo(path), version)
        return None if blob is None else blob.data

    def in_repo(self, path: str) -> str:
        """A path relative to the repo."""
        return f"{self._root}{path}"

    def from_repo(self, path: str) -> str | None:
        """A repo path relative to the content folder; ``None`` for a file that is not media."""
        inside = path.startswith(f"{self._root}{self._folder}/")
        return path.removeprefix(self._root) if inside and not is_source(path) else None

    def _listed(self, version: Version) -> dict[str, BlobId]:
        files = self._store.files(self.in_repo(self._folder), version)
        found = ((self.from_repo(path), blob) for path, blob in files)
        return {path: blob for path, blob in found if path is not None}

    def _followed(self, old: Version, new: Version) -> bool:
        """Apply the changes since a commit; false where that commit is no longer in the repo."""
        try:
            differences = self._store.diff(old, new)
        except StoreBroken:
            return False
        for each in differences:
            path = self.from_repo(each.path)
            if path is not None and each.new is not None:
                self._blobs[path] = each.new
            elif path is not None:
                self._blobs.pop(path, None)
        return True
