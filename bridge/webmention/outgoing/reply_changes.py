"""Finds posts whose displayed replies changed, which is a change to send upstream (Salmention)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.store import ContentStore, Difference
from bridge.webmention.outgoing.delivery import host_of

_REPLY = "in-reply-to"
_TOMBSTONES = "gone/"
_OF_THE_BRIDGE = frozenset({"wm-checked", "wm-received"})


@dataclass(frozen=True, slots=True)
class ReplyChanges:
    """The change of one post's replies: the hosts they are from, the URLs of new and of removed
    ones.
    """

    hosts: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReplyChangeFinder:
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
            told = new or old
            target, url = told.get("wm-target"), told.get("url")
            if told.get("wm-property") != _REPLY or _shown(old) == _shown(new):
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
        said = [_object(b"")] * 2
        for place, blob in enumerate((each.old, each.new)):
            if blob is not None:
                (found,) = self.store.blobs([blob])
                said[place] = _object(found.data)
        return said[0], said[1]


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    """The part of a mention's file that its page shows, without the times of verification."""
    return {name: value for name, value in told.items() if name not in _OF_THE_BRIDGE}


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
