"""The result of the last build, in a small file, so that a restart continues from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bridge.rebuild.local.files import Tree
from bridge.store import Version


class BuildRecord(msgspec.Struct, frozen=True):
    """The version that was built last, and the files that it does without, with reasons.

    ``unread`` are those that Pelican passed over, ``content`` is the folder of its posts.
    ``settled`` is false while a build is under way, and after one that failed or was killed.
    """

    version: Version | None = None
    left_out: Mapping[str, str] = {}
    settled: bool = False
    unread: frozenset[str] = frozenset()
    content: str = ""


class BuildLedger:
    """The record on disk. If it is damaged, the whole site is built again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self.record = msgspec.json.decode(file.read_bytes(), type=BuildRecord)
        except (OSError, msgspec.DecodeError):
            self.record = BuildRecord()

    def begin(self) -> None:
        """A build begins; until :meth:`settle` the output may be incomplete."""
        if self.record.settled:
            self._write(msgspec.structs.replace(self.record, settled=False))

    def settle(
        self,
        version: Version,
        left_out: Mapping[str, str],
        unread: frozenset[str] = frozenset(),
        content: str = "",
    ) -> None:
        """The site shows this version."""
        record = BuildRecord(version, left_out, settled=True, unread=unread, content=content)
        self._write(record)

    def _write(self, record: BuildRecord) -> None:
        self.record = record
        Tree(self._file.parent).write(self._file.name, msgspec.json.encode(record))
