"""What was about to happen in working trees: read by whoever comes after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge.store.worktree import Edit


@dataclass(frozen=True, slots=True)
class Journal:
    """Either files of our own commits, or a move to commits made elsewhere; empty when at rest.

    ``paths`` maps each path to the blobs before and after (``None``: no file), ``moves`` is the
    commit (or tree) that a working tree leaves and the one that it goes to.
    """

    paths: Mapping[str, Sequence[bytes | None]] = field(default_factory=dict)
    moves: tuple[bytes, bytes] | None = None

    @classmethod
    def of_files(cls, edits: Iterable[Edit]) -> Journal:
        """What a commit is about to do."""
        return cls(
            {
                edit.path: [entry.oid if entry else None for entry in (edit.before, edit.after)]
                for edit in edits
            }
        )

    def dump(self) -> bytes:
        """As the bytes of a file; at rest there are none, which takes no room on the disk."""
        if self == Journal():
            return b""
        paths = {path: [blob and blob.hex() for blob in both] for path, both in self.paths.items()}
        moves = [oid.hex() for oid in self.moves] if self.moves else None
        return json.dumps({"paths": paths, "moves": moves}).encode()

    @classmethod
    def load(cls, file: Path) -> Journal:
        """What the file says; one that was cut off while it was written had no effect yet."""
        try:
            text = file.read_bytes()
            if not text:
                return cls()
            data = json.loads(text)
        except (FileNotFoundError, ValueError):
            return cls()
        paths = {
            path: [None if blob is None else bytes.fromhex(blob) for blob in both]
            for path, both in data["paths"].items()
        }
        moves = data["moves"] and (bytes.fromhex(data["moves"][0]), bytes.fromhex(data["moves"][1]))
        return cls(paths, moves)
