"""Git's objects as bytes: ids, trees, commits, and packs of them (gitformat-pack).

Nothing here touches a disk. GitPython's own writers do not sync what they write, so the store
writes its packs itself; what stands here is only as much of git's format as that takes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["commit", "tree", "blob"]
#: Names to what they hold, as one git tree has them.
Tree = Mapping[bytes, "Entry"]

FOLDER = b"40000"
FILE = b"100644"
#: The modes that are files with bytes of their own: not symlinks, submodules or folders.
FILE_MODES = frozenset({b"100644", b"100755", b"100664"})

_PACK_TYPE: Mapping[Kind, int] = {"commit": 1, "tree": 2, "blob": 3}
_SAMPLE = 4096  # bytes that tell whether a file can be compressed at all


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tree holds under a name: the file mode as git writes it, and the object's id."""

    mode: bytes
    oid: bytes

    @property
    def is_folder(self) -> bool:
        """Whether this is another tree."""
        return self.mode == FOLDER

    @property
    def is_file(self) -> bool:
        """Whether this is a plain file, and not a symlink or a submodule."""
        return self.mode in FILE_MODES


@dataclass(frozen=True, slots=True)
class Object:
    """One object that is to be written."""

    kind: Kind
    oid: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack and its index, as the bytes of two files; ``name`` is what git calls them by."""

    name: str
    pack: bytes
    idx: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """How a repo names its objects: ``sha1``, or ``sha256``."""

    algorithm: str = "sha1"

    @property
    def width(self) -> int:
        """The number of bytes of an id."""
        return 32 if self.algorithm == "sha256" else 20

    def digest(self, data: bytes) -> bytes:
        """The repo's hash of some bytes."""
        return hashlib.new(self.algorithm, data, usedforsecurity=False).digest()

    def object(self, kind: Kind, data: bytes) -> Object:
        """An object with the id that git gives to it."""
        name = hashlib.new(self.algorithm, b"%s %d\0" % (kind.encode(), len(data)))
        name.update(data)
        return Object(kind, name.digest(), data)

    def tree(self, entries: Tree) -> Object:
        """A tree, in git's order: a folder sorts as if its name ended in a slash."""
        ordered = sorted(
            entries.items(), key=lambda item: item[0] + b"/" if item[1].is_folder else item[0]
        )
        data = b"".join(b"%s %s\0%s" % (entry.mode, name, entry.oid) for name, entry in ordered)
        return self.object("tree", data)

    def parse_tree(self, data: bytes) -> dict[bytes, Entry]:
        """The entries of a tree, in its order."""
        entries: dict[bytes, Entry] = {}
        start, width = 0, self.width
        while start < len(data):
            space = data.index(b" ", start)
            end = data.index(b"\0", space)
            after = end + 1 + width
            entries[data[space + 1 : end]] = Entry(data[start:space], data[end + 1 : after])
            start = after
        return entries

    def commit(
        self, tree: bytes, parents: Iterable[bytes], author: str, committer: str, message: str
    ) -> Object:
        """A commit. ``author`` and ``committer`` are ``Name <address> seconds zone``."""
        lines = [f"tree {tree.hex()}"]
        lines += [f"parent {parent.hex()}" for parent in parents]
        lines += [f"author {author}", f"committer {committer}", "", _message(message)]
        return self.object("commit", "\n".join(lines).encode("utf-8", "replace"))

    def pack(self, objects: Iterable[Object]) -> Pack:
        """Objects as one pack, each whole: nobody waits for deltas while an app waits for us."""
        unique = {item.oid: item for item in objects}
        parts = [struct.pack(">4sLL", b"PACK", 2, len(unique))]
        offset = len(parts[0])
        index: list[tuple[bytes, int, int]] = []
        for item in unique.values():
            packed = _pack_header(item) + _deflate(item.data)
            index.append((item.oid, zlib.crc32(packed), offset))
            parts.append(packed)
            offset += len(packed)
        body = b"".join(parts)
        checksum = self.digest(body)
        return Pack(f"pack-{checksum.hex()}", body + checksum, self._pack_index(index, checksum))

    def _pack_index(self, index: list[tuple[bytes, int, int]], checksum: bytes) -> bytes:
        """The ``.idx`` of a pack, version 2: ids, checksums and offsets, sorted by id."""
        index.sort()
        counts = [0] * 256
        for oid, _, _ in index:
            counts[oid[0]] += 1
        for value in range(1, 256):
            counts[value] += counts[value - 1]
        number = len(index)
        body = b"".join(
            (
                b"\377tOc\0\0\0\2",
                struct.pack(">256L", *counts),
                b"".join(oid for oid, _, _ in index),
                struct.pack(f">{number}L", *(crc for _, crc, _ in index)),
                struct.pack(f">{number}L", *(offset for _, _, offset in index)),
                checksum,
            )
        )
        return body + self.digest(body)


def _message(text: str) -> str:
    """A commit message as git keeps it: no NUL, one newline at its end."""
    return text.replace("\0", "").rstrip("\n") + "\n"


def _pack_header(item: Object) -> bytes:
    """The type and the size of an object in a pack: four bits, then seven at a time."""
    size = len(item.data)
    byte = (_PACK_TYPE[item.kind] << 4) | (size & 15)
    size >>= 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


def _deflate(data: bytes) -> bytes:
    """Compressed quickly; a photo, which cannot be compressed, is only wrapped."""
    sample = data[:_SAMPLE]
    stubborn = len(data) > _SAMPLE and len(zlib.compress(sample, 1)) > len(sample) * 0.95
    return zlib.compress(data, 0 if stubborn else 1)
