"""Posts whose replies changed: these are sent on upstream (Salmention)."""

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
class Answered:
    """The hosts whose replies changed, links that are new on the page, and those that are gone."""

    hosts: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Looks at the files of received mentions, in ``folder`` of the repo."""

    store: ContentStore
    folder: str

    async def changed(self, differences: Sequence[Difference]) -> Mapping[str, Answered]:
        """What changed, by the URLs of the posts that it is shown below."""
        inside = [each for each in differences if self._is_mention(each.path)]
        found: dict[str, Answered] = {}
        for each in inside:
            old, new = await asyncio.to_thread(self._read, each)
            told = new or old
            target, url = told.get("wm-target"), told.get("url")
            if told.get("wm-property") != _REPLY or _shown(old) == _shown(new):
                continue
            if isinstance(target, str) and isinstance(url, str):
                answered = found.setdefault(target.partition("#")[0], Answered())
                answered.hosts.append(host_of(url))
                (answered.shown if new else answered.hidden).append(url)
        return found

    def _is_mention(self, path: str) -> bool:
        """One file for each mention, in a folder for each post; rules and tombstones are others."""
        inner = path.removeprefix(f"{self.folder}/")
        return inner != path and inner.endswith(".json") and not inner.startswith(_TOMBSTONES)

    def _read(self, each: Difference) -> tuple[dict[str, Any], dict[str, Any]]:
        """A file's JSON object before and after; empty where there is none that can be read."""
        said = [_object(b"")] * 2
        for place, blob in enumerate((each.old, each.new)):
            if blob is not None:
                (found,) = self.store.blobs([blob])
                said[place] = _object(found.data)
        return said[0], said[1]


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    """What a page shows of a mention; not when it was looked at last."""
    return {name: value for name, value in told.items() if name not in _OF_THE_BRIDGE}


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
