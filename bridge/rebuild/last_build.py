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
    ``code`` is what built it (:func:`~bridge.runtime.process.installed_code`).
    """

    version: Version | None = None
    left_out: Mapping[str, str] = {}
    settled: bool = False
    unread: frozenset[str] = frozenset()
    content: str = ""
    code: str = ""


class BuildLedger:
    """The record on disk. If it is damaged, the whole site is built again.

    So it is where ``code`` is another than that of the last build, and with all files: what broke
    a build may not break one by a newer Pelican, plugin or bridge.
    """

    def __init__(self, file: Path, code: str = "") -> None:
        self._file = file
        self._code = code
        try:
            self.record = msgspec.json.decode(file.read_bytes(), type=BuildRecord)
        except (OSError, msgspec.DecodeError):
            self.record = BuildRecord()
        if self.record.code != code:
            self.record = msgspec.structs.replace(self.record, left_out={}, settled=False)

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
        self._write(BuildRecord(version, left_out, True, unread, content, self._code))

    def _write(self, record: BuildRecord) -> None:
        self.record = record
        Tree(self._file.parent).write(self._file.name, msgspec.json.encode(record))
