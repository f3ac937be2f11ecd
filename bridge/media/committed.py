"""The media folder as the newest commit has it."""

from __future__ import annotations

from bridge.media.names import is_scaled, is_source
from bridge.store import BlobId, ContentStore, StoreBroken, Version


class Committed:
    """An index of the committed media, brought up to date whenever the branch has moved.

    The source of a post that lies among them is none of them: it may be a draft, which no one is to
    read, and is not deleted like a photo.

    Its methods block, and are called under the library's lock. Paths are relative to the content
    folder, as everywhere in this package. What the store raises goes through.
    """

    def __init__(self, store: ContentStore, root: str, folder: str) -> None:
        self._store = store
        self._root = root
        self._folder = folder
        self._version: Version | None = None
        self._blobs: dict[str, BlobId] = {}
        self._paths: dict[BlobId, str] = {}

    def blobs(self) -> dict[str, BlobId]:
        """Every committed file and its blob id. Not to be changed."""
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
        """Where these bytes are committed already, if anywhere."""
        self.blobs()
        return self._paths.get(BlobId(blob))

    def read(self, path: str) -> bytes | None:
        """A committed file's bytes."""
        version = self._store.head()
        blob = None if version is None else self._store.read(self.in_repo(path), version)
        return None if blob is None else blob.data

    def in_repo(self, path: str) -> str:
        """The path of a file as the store knows it."""
        return f"{self._root}{path}"

    def from_repo(self, path: str) -> str | None:
        """The path of a file as this package knows it; ``None`` for what is none of the media."""
        inside = path.startswith(f"{self._root}{self._folder}/")
        return path.removeprefix(self._root) if inside and not is_source(path) else None

    def _listed(self, version: Version) -> dict[str, BlobId]:
        files = self._store.files(self.in_repo(self._folder), version)
        found = ((self.from_repo(path), blob) for path, blob in files)
        return {path: blob for path, blob in found if path is not None}

    def _followed(self, old: Version, new: Version) -> bool:
        """Apply what has changed; ``False`` where the old version is not there any more."""
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
